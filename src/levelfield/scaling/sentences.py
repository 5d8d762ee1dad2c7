"""Verdicts in words: what was found, over which range, on what data, by which recipe, and how far from the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

from levelfield.scaling.analysis import BudgetVerdict, Comparison, Currency, Interval
from levelfield.units import PAPER_FLOPS

CURRENCY_WORDS: dict[Currency, str] = {"flops": "training FLOPs", "device_seconds": "device-seconds"}


def comparison_sentence(
    comparison: Comparison, *, span: tuple[float, float] | None, top_flops: float | None, data: str, recipe: str
) -> str:
    """The overall verdict of ``comparison`` with everything it holds for; ``span`` is the range it rests on."""
    currency = CURRENCY_WORDS[comparison.currency]
    parts = [f"At equal {currency} {finding(comparison)}"]
    if span is not None:
        parts.append(f"over {span[0]:.2g} to {span[1]:.2g} {currency}")
    elif comparison.ancova.offset is not None:
        parts.append(described(comparison))
    if comparison.confounds:
        names = ", ".join(each.name.replace("_", " ") for each in comparison.confounds)
        parts.append(f"confounded with {names}")
    parts.append(f"data: {data}")
    parts.append(f"recipe: {recipe}")
    if top_flops is not None:
        parts.append(_distance(top_flops))
    return "; ".join(parts) + "."


def finding(comparison: Comparison) -> str:
    """The overall verdict alone, as a clause."""
    a, b, overall = comparison.a, comparison.b, comparison.overall
    measured = f" ({percent(overall.difference)})" if overall.difference is not None else ""
    because = f" ({overall.reasons[0]})" if overall.reasons else ""
    if overall.verdict == "better":
        return f"{a} has a lower loss than {b}{measured}"
    if overall.verdict == "worse":
        return f"{a} has a higher loss than {b}{measured}"
    if overall.verdict == "equivalent":
        return f"{a} and {b} are equivalent within {100 * comparison.margin:.3g} % of loss{measured}"
    return f"one cannot tell {a} from {b}{measured}{because}"


def described(comparison: Comparison) -> str:
    """What rows without fresh seeds show, as a clause that claims nothing."""
    ancova, unit = comparison.ancova, CURRENCY_WORDS[comparison.currency]
    assert ancova.offset is not None  # asked for only where there is a trend
    assert ancova.middle is not None
    side = "below" if ancova.offset.estimate < 0 else "above"
    return (
        f"not claimed but seen: at {ancova.middle:.2g} {unit} the loss of {comparison.a} lies {side} that of "
        f"{comparison.b} ({percent(ancova.offset)})"
    )


def percent(interval: Interval) -> str:
    """An interval of ln(a / b) as a change in per cent: ``−10.0 % [−12.1 %, −7.8 %]``."""
    estimate, low, high = (
        f"{100 * math.expm1(value):+.1f} %".replace("-", "−")
        for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate} [{low}, {high}]"


def headline(comparisons: Sequence[Comparison], families: Sequence[str]) -> str:
    """The study's answer in one line: both currencies where they agree, "depends on the currency" where they do not."""
    if len(families) < 2:
        return f"No verdict: {families[0]} alone cannot be compared."
    told = []
    for a, b in dict.fromkeys((comparison.a, comparison.b) for comparison in comparisons):
        by_currency: dict[Currency, Comparison] = {c.currency: c for c in comparisons if (c.a, c.b) == (a, b)}
        told.append(_pair_headline(by_currency))
    return " ".join(told)


def _pair_headline(by_currency: dict[Currency, Comparison]) -> str:
    flops = by_currency["flops"]
    seconds = by_currency.get("device_seconds", flops)  # somebody's table may state no timings
    verdicts = {flops.overall.verdict, seconds.overall.verdict}
    if verdicts == {"better", "worse"}:
        return (
            f"It depends on the currency: at equal training FLOPs {finding(flops)}; "
            f"at equal device-seconds {finding(seconds)}."
        )
    if verdicts == {"cannot tell"}:
        return f"Cannot tell: {_reason(flops.overall)}."
    if len(verdicts) == 1:
        where = "At equal training FLOPs" if seconds is flops else "In both currencies"
        return f"{where} {finding(flops)}."
    return f"At equal training FLOPs {finding(flops)}; at equal device-seconds {finding(seconds)}."


def _reason(overall: BudgetVerdict) -> str:
    return overall.reasons[0] if overall.reasons else "the numbers decide nothing"


def _distance(top_flops: float) -> str:
    decades = math.log10(PAPER_FLOPS / top_flops)
    if abs(decades) < 0.05:
        return f"the top budget is that of the paper's largest run ({PAPER_FLOPS:.0e} FLOPs)"
    where = "below" if decades > 0 else "above"
    return f"the top budget lies {abs(decades):.1f} decades {where} the paper's {PAPER_FLOPS:.0e} FLOPs"
