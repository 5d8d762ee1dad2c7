"""What the A/A controls came to, in words: one that nothing could have failed has shown nothing."""

from __future__ import annotations

from levelfield.report.words import numbers
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.verdicts import Control


def is_blind(analysis: Analysis, control: Control) -> bool:
    """Whether its interval is so wide that a difference as large as the margin would have passed, too."""
    half = half_width(control)
    margins = [comparison.margin for comparison in analysis.comparisons]
    return control.passed and half is not None and bool(margins) and half > min(margins)


def half_width(control: Control) -> float | None:
    """Half the width of its interval, in ln loss."""
    difference = control.difference
    return None if difference is None else (difference.high - difference.low) / 2


def control_outcome(analysis: Analysis, control: Control) -> str:
    """``passed``, ``ALARM``, or that it tells nothing and why."""
    half = half_width(control)
    if not control.passed:
        return "ALARM"
    if half is None:
        return "nothing was tested"
    if is_blind(analysis, control):
        return f"no alarm, but too noisy to detect anything below {_rounded(half)}"
    return "passed"


def controls_clause(analysis: Analysis) -> str:
    """All of them in a clause: alarms first, then those that could not have raised one."""
    controls = analysis.controls
    if not controls:
        return "no A/A control was run"
    alarms = [control for control in controls if not control.passed]
    if alarms:
        return f"{len(alarms)} of {len(controls)} A/A controls failed"
    idle = [control for control in controls if half_width(control) is None]
    blind = [control for control in controls if is_blind(analysis, control)]
    if not idle and not blind:
        return "all A/A controls passed"
    told = []
    if passed := len(controls) - len(idle) - len(blind):
        told.append(f"{passed} A/A {'controls' if passed > 1 else 'control'} passed")
    if blind:
        below = {numbers.family_name(control.family): half_width(control) or 0.0 for control in blind}
        names = numbers.listed([f"{name} ({_rounded(half)})" for name, half in below.items()])
        told.append(f"too noisy to detect anything within its own interval: the A/A control of {names}")
    if idle:
        told.append(f"{len(idle)} A/A {'controls' if len(idle) > 1 else 'control'} tested nothing")
    return "; ".join(told)


def _rounded(half: float) -> str:
    return numbers.margin(float(f"{half:.2g}"))
