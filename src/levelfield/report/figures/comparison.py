"""Family against family: the verdict at a glance, and the difference at every budget, in each currency."""

from __future__ import annotations

import math
from typing import TypeAlias

from levelfield.report.figures import theme
from levelfield.report.figures.axes import Axis, log_axis, percent_axis
from levelfield.report.figures.canvas import Canvas, Mark
from levelfield.report.figures.figure import Figure, Panel, slug
from levelfield.report.figures.loss import CURRENCY_TITLES
from levelfield.report.words import numbers
from levelfield.report.words.controls import control_outcome, controls_clause, is_blind
from levelfield.report.words.told import all_told, told
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.verdicts import BudgetVerdict, Comparison, Control

_READING = (
    "Grey strip: the margin within which the families count as equal. Filled: decided; hollow: cannot tell. "
    "Bars: intervals over runs, held-out examples and the choice of recipes, holding for every verdict at once. Line "
    "and shade: the difference between the rungs, with a band that holds over all of it. Dashed: its straight trend; "
    "triangle: where that crosses zero, with its interval."
)
_DECIDED = ("better", "worse", "equivalent")
_Row: TypeAlias = tuple[str, Interval | None, str, bool]
"""A row's name, its interval where there is one, what a reader is told on touching it, and whether it decides."""


def verdict_words(comparison: Comparison, verdict: BudgetVerdict) -> str:
    """``better`` in words that name the winner: "NFNet better"."""
    a, b = numbers.family_name(comparison.a), numbers.family_name(comparison.b)
    return {"better": f"{a} better", "worse": f"{b} better"}.get(verdict.verdict, verdict.verdict)


def verdict_figure(analysis: Analysis) -> Figure:
    """The overall differences and the A/A controls on one scale, the margin as a strip."""
    title = "Overall difference"
    rows: list[_Row] = []
    for comparison in analysis.comparisons:
        overall = comparison.overall
        words = f"{_pair(comparison)} in {CURRENCY_TITLES[comparison.currency]}: {verdict_words(comparison, overall)}"
        label = CURRENCY_TITLES[comparison.currency]
        if len({(c.a, c.b) for c in analysis.comparisons}) > 1:
            label = f"{_pair(comparison)}, {label}"
        rows.append((label, overall.difference, words, overall.verdict in _DECIDED))
    if all(difference is None for _, difference, _, _ in rows):
        return Figure(name="verdict", title=title, absent="There is no overall difference to draw.")
    for control in analysis.controls:
        if control.difference is not None:
            name = numbers.family_name(control.family)
            outcome, seen = control_outcome(analysis, control), control.passed and not is_blind(analysis, control)
            rows.append((f"A/A: {name}", control.difference, f"A/A control, {name}: {outcome}", seen))
    first = analysis.comparisons[0]
    panel = _verdict_panel(rows, first, analysis)
    reading = (
        f"Left of zero {numbers.family_name(first.a)} has the lower loss. Grey strip: {numbers.margin(first.margin)}, "
        "the margin fixed in advance within which the families count as equal. Hollow: cannot tell, depends on "
        "compute, or too noisy to tell anything. A/A: a family against itself on other seeds. Bars: "
        f"{_level(analysis)} intervals."
    )
    return Figure(name="verdict", title=title, caption=_verdict_caption(analysis), reading=reading, panels=(panel,))


def difference_figure(analysis: Analysis) -> Figure:
    """ln(loss a / loss b) at every shared budget, one panel a currency."""
    title = "Difference at equal compute"
    drawable = [c for c in analysis.comparisons if any(v.difference is not None for v in c.per_budget)]
    if not drawable:
        why = "Two families must share a budget with fresh seeds on both sides; none do."
        return Figure(name="difference", title=title, absent=why)
    styles = theme.family_styles(analysis.families)
    panels = tuple(_difference_panel(comparison, styles, len(drawable)) for comparison in drawable)
    refused = []
    for comparison in analysis.comparisons:
        if comparison not in drawable:
            why = all_told(comparison.overall.reasons) or "refused"
            refused.append(f"By {CURRENCY_TITLES[comparison.currency]} nothing is drawn: {why}.")
    reading, caption = " ".join([_READING, *refused]), _difference_caption(drawable)
    return Figure(name="difference", title=title, caption=caption, reading=reading, panels=panels)


def _verdict_panel(rows: list[_Row], first: Comparison, analysis: Analysis) -> Panel:
    ends = [bound for _, interval, _, _ in rows if interval for bound in (interval.low, interval.high)]
    margin = first.margin
    a, b = numbers.family_name(first.a), numbers.family_name(first.b)
    left = int(theme.CHARACTER_WIDTH * max(len(label) for label, *_ in rows)) + 10
    ticks = tuple((-float(index), label) for index, (label, *_) in enumerate(rows))
    canvas = Canvas(
        x=percent_axis(f"loss of {a} relative to {b} in %", [*ends, -1.3 * margin, 1.3 * margin]),
        y=Axis(title="", low=0.6 - len(rows), high=0.6, ticks=ticks, log=False, grid=False),
        left=min(left, 190),
        height=96 + 34 * len(rows),
    )
    canvas.strip(-margin, margin, vertical=True)
    canvas.upright(0.0)
    styles = theme.family_styles(analysis.families)
    canvas.note(canvas.x.low, 0.6, f"← {a} better", color=styles[first.a].text, dy=-12)
    canvas.note(canvas.x.high, 0.6, f"{b} better →", color=styles[first.b].text, align="right", dy=-12)
    for index, (_, interval, words, decided) in enumerate(rows):
        if interval is None:
            canvas.note(canvas.x.high, -float(index), "no interval", color=theme.MUTED, align="right")
            continue
        text = f"{words}\n{numbers.ratio_interval(interval)}"
        mark = Mark(x=interval.estimate, y=-float(index), low=interval.low, high=interval.high, text=text)
        color = theme.MUTED if words.startswith("A/A") else theme.INK
        canvas.points([mark], color=color, shape="diamond", hollow=not decided, size=90, sideways=True)
    description = f"Overall difference between {a} and {b}"
    return Panel(name="verdict", title="Overall difference", specification=canvas.specification(description))


def _difference_panel(comparison: Comparison, styles: dict[str, theme.FamilyStyle], number: int) -> Panel:
    verdicts = [v for v in comparison.per_budget if v.difference is not None]
    bounds = [bound for v in verdicts if v.difference for bound in (v.difference.low, v.difference.high)]
    bounds += [bound for point in comparison.curve.points for bound in (point.low, point.high)]
    margin = comparison.margin
    a, b = numbers.family_name(comparison.a), numbers.family_name(comparison.b)
    x_title = "training compute in FLOPs" if comparison.currency == "flops" else "training time in device-seconds"
    canvas = Canvas(
        x=log_axis(x_title, [v.budget for v in verdicts], room=0.1),
        y=percent_axis(f"loss of {a} relative to {b} in %", [*bounds, -1.3 * margin, 1.3 * margin], room=0.14),
    )
    canvas.strip(-margin, margin)
    canvas.level(0.0)
    canvas.note(canvas.x.high, canvas.y.high, f"↑ {b} better", color=styles[comparison.b].text, align="right", dy=7)
    canvas.note(canvas.x.high, canvas.y.low, f"↓ {a} better", color=styles[comparison.a].text, align="right", dy=-7)
    _draw_between(canvas, comparison, verdicts)
    for hollow in (False, True):
        marks = [_mark(comparison, v) for v in verdicts if (v.verdict not in _DECIDED) == hollow]
        canvas.points(marks, color=theme.INK, shape="diamond", hollow=hollow, size=80)
    currency = comparison.currency.replace("_", "-")
    pair = f"{_pair(comparison)}, " if number > 2 else ""
    title = f"{pair}{CURRENCY_TITLES[comparison.currency]}"
    name = (
        f"difference-{currency}" if number <= 2 else f"difference-{slug(comparison.a)}-{slug(comparison.b)}-{currency}"
    )
    description = f"Relative difference of loss against {CURRENCY_TITLES[comparison.currency]}"
    return Panel(name=name, title=title[0].upper() + title[1:], specification=canvas.specification(description))


def _draw_between(canvas: Canvas, comparison: Comparison, verdicts: list[BudgetVerdict]) -> None:
    """The curve with its band, its trend and the crossover; without a curve, a line through the verdicts."""
    curve, place = comparison.curve, comparison.crossover.place
    if not curve.points:
        canvas.line([(v.budget, v.difference.estimate) for v in verdicts if v.difference], color=theme.MUTED, width=1.2)
        return
    canvas.band(curve.points, color=theme.INK)
    canvas.line([(point.x, point.y) for point in curve.points], color=theme.MUTED, width=1.2)
    canvas.line([(point.x, point.y) for point in comparison.ancova.line], color=theme.MUTED, dash=(5, 3), width=1.2)
    if place is not None:
        where = numbers.currency(place.estimate, comparison.currency)
        text = f"the trend crosses zero at {where}\n{all_told(comparison.crossover.status)}"
        mark = Mark(x=place.estimate, y=0.0, low=place.low, high=place.high, text=text)
        canvas.points([mark], color=theme.MUTED, shape="triangle-up", size=60, sideways=True)


def _mark(comparison: Comparison, verdict: BudgetVerdict) -> Mark:
    difference = verdict.difference
    assert difference is not None  # filtered by _difference_panel
    lines = [
        f"at {numbers.currency(verdict.budget, comparison.currency)}: {verdict_words(comparison, verdict)}",
        numbers.ratio_interval(difference),
        *map(told, verdict.reasons),
    ]
    return Mark(
        x=verdict.budget, y=difference.estimate, low=difference.low, high=difference.high, text="\n".join(lines)
    )


def _pair(comparison: Comparison | Control) -> str:
    if isinstance(comparison, Control):
        return numbers.family_name(comparison.family)
    return f"{numbers.family_name(comparison.a)} against {numbers.family_name(comparison.b)}"


def _difference_caption(comparisons: list[Comparison]) -> str:
    """Over what the difference ranges, and at how many budgets it decides anything."""
    parts = []
    for comparison in comparisons:
        tally: dict[str, int] = {}
        for verdict in comparison.per_budget:
            words = verdict_words(comparison, verdict)
            tally[words] = tally.get(words, 0) + 1
        counts = numbers.listed([f"{words} at {number}" for words, number in tally.items()])
        seen = [verdict.difference.estimate for verdict in comparison.per_budget if verdict.difference]
        low, high = numbers.signed_percent(min(seen)), numbers.signed_percent(max(seen))
        span = f"is {low}" if low == high else f"lies between {low} and {high}"
        a, b = numbers.family_name(comparison.a), numbers.family_name(comparison.b)
        parts.append(
            f"by {CURRENCY_TITLES[comparison.currency]} the loss of {a} relative to {b} {span}: {counts} of "
            f"{len(comparison.per_budget)} budgets"
        )
    return numbers.sentence("; ".join(parts))


def _verdict_caption(analysis: Analysis) -> str:
    said = []
    for comparison in analysis.comparisons:
        words, difference = verdict_words(comparison, comparison.overall), comparison.overall.difference
        a, b = numbers.family_name(comparison.a), numbers.family_name(comparison.b)
        currency = CURRENCY_TITLES[comparison.currency]
        if difference is None:
            said.append(f"at equal {currency} no interval could be drawn")
            continue
        side = "below" if difference.estimate < 0 else "above"
        size = numbers.percent(abs(math.expm1(difference.estimate)))
        mean = "on the mean of the budgets " if comparison.overall.verdict == "depends on compute" else ""
        said.append(f"at equal {currency} the loss of {a} lies {mean}{size} {side} that of {b} ({words})")
    return numbers.sentence(f"{'; '.join(said)}; {controls_clause(analysis)}")


def _level(analysis: Analysis) -> str:
    shown = [c.overall.difference for c in analysis.comparisons if c.overall.difference]
    return numbers.percent(shown[0].level, 0)
