"""Held-out loss against compute: the paper's second figure, for this study, in both currencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from levelfield.records.measure import Measure
from levelfield.records.observation import Observation
from levelfield.report.facts import LockedPrediction
from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis
from levelfield.report.figures.canvas import Canvas, EndLabel, Mark, Shift
from levelfield.report.figures.figure import Figure, Panel
from levelfield.report.figures.thinned import evenly, told_thinned
from levelfield.report.words import numbers
from levelfield.report.words.loss import loss_caption, loss_reading
from levelfield.report.words.measures import after, axis
from levelfield.report.words.told import told
from levelfield.scaling.results.analysis import Analysis, Winner
from levelfield.scaling.results.laws import CURRENCIES, Currency, LawFit, LawRow

CURRENCY_TITLES: dict[Currency, str] = {"flops": "training FLOPs", "device_seconds": "device-seconds"}

_WILDEST = 1.5
"""How far beyond the winners' means, as a factor, an interval or a search run may stretch the axis."""
_MOST_RUNS = 1000
"""Search runs that are drawn one by one."""
_Runs: TypeAlias = Sequence[tuple[float, Observation]]
"""Runs with what each cost, in the panel's currency."""
_APART = 8.0
"""px between the families' marks at one budget."""


def loss_figure(
    analysis: Analysis, observations: Sequence[Observation], predictions: Sequence[LockedPrediction] = ()
) -> Figure:
    """All search runs faint, winners with intervals, the chosen law with its band, chance and floor where known.

    Where no winner was measured on fresh seeds the points are those that the laws rest on. Locked ``predictions`` stand
    where their rung is, with what was seen there. The points set the height of a panel: search runs above it are
    counted in words, since a bad learning rate must not flatten what is compared.
    """
    title = f"Held-out {analysis.measure.name} against compute"
    drawn = [_panel(analysis, observations, predictions, currency) for currency in CURRENCIES]
    if not any(drawn):
        absent = "No winner has been measured on fresh seeds, and there is no law: nothing to draw against compute."
        return Figure(name="loss", title=title, absent=absent)
    panels, above = zip(*(each for each in drawn if each is not None), strict=True)
    searched = [(0.0, run) for run in observations if run.role == "search"]
    reading = loss_reading(analysis, observations, predictions, len(panels), above[0])
    reading += told_thinned(len(_drawn_runs(searched)), len(searched), "search runs")
    return Figure(name="loss", title=title, caption=loss_caption(analysis), reading=reading, panels=panels)


def winner_cost(winner: Winner, currency: Currency) -> float | None:
    return winner.budget_flops if currency == "flops" else winner.device_seconds


def winner_text(winner: Winner, currency: Currency = "flops") -> str:
    """A winner in words, one fact a line."""
    cost = winner_cost(winner, currency)
    lines = [
        f"{numbers.model_name(winner.family, winner.model)}",
        numbers.currency(cost, currency) if cost is not None else "",
        f"loss {numbers.loss_interval(winner.loss)}, {winner.num_seeds} seeds",
        f"{numbers.count(winner.params)} parameters, {numbers.count(winner.examples)} examples"
        if winner.params is not None and winner.examples is not None
        else "",
        "near chance: shown, not fitted" if winner.near_chance else "",
        "more than 4 epochs: data-limited" if winner.data_limited else "",
        f"a bound on {', '.join(winner.edges)}" if winner.edges else "",
    ]
    return "\n".join(filter(None, lines))


def _panel(
    analysis: Analysis,
    observations: Sequence[Observation],
    predictions: Sequence[LockedPrediction],
    currency: Currency,
) -> tuple[Panel, list[str]] | None:
    """The panel, and what lies above it."""
    points = _points(analysis, currency)
    if not points:
        return None
    runs = [(cost, run) for run in observations if run.role == "search" and (cost := _run_cost(run, currency))]
    imported = [(cost, run) for run in observations if run.role == "imported" and (cost := _run_cost(run, currency))]
    laws = [law for law in analysis.laws if law.chosen and law.currency == currency]
    levels = _levels(observations)
    locked = list(predictions) if currency == "flops" else []  # what a rung will cost in seconds was not predicted
    canvas = _canvas(points, [*runs, *imported], locked, levels, currency, analysis.measure)
    styles = theme.family_styles(analysis.families)
    sides = _side_by_side(analysis.families) if currency == "flops" else dict.fromkeys(styles, (0.0, 0.0))
    for y, text in levels:
        if canvas.y.low < y < canvas.y.high:
            canvas.level(y, text)
    _draw_runs(canvas, _drawn_runs(runs), styles, sides)
    _draw_imported(canvas, imported, styles)
    for law in laws:
        _draw_law(canvas, law, styles[law.family])
    for family, style in styles.items():
        own = sorted((point for point in points if point.family == family), key=lambda point: point.mark.x)
        if not any(law.family == family for law in laws):
            joined = [(point.mark.x, point.mark.y) for point in own]
            canvas.line(joined, color=style.color, dash=style.dash, opacity=0.45, width=1.2)
        for hollow in (False, True):
            marks = [point.mark for point in own if point.hollow == hollow]
            canvas.points(marks, color=style.color, shape=style.shape, hollow=hollow, shift=sides[family])
        _draw_locked(canvas, [p for p in locked if p.family == family], style, sides[family])
        if own:
            name = numbers.family_name(family)
            canvas.end_label(EndLabel(y=own[-1].mark.y, text=f"{style.glyph} {name}", color=style.text))
    name, title = f"loss-{currency.replace('_', '-')}", f"Against {CURRENCY_TITLES[currency]}"
    description = f"Held-out {analysis.measure.name} against {CURRENCY_TITLES[currency]}"
    num_above = sum(run.loss > canvas.y.high for _, run in (*runs, *imported))
    above = [f"{num_above} run{'s' * (num_above > 1)}"] * (num_above > 0)
    above += [f"{text}{after(analysis.measure)}" for y, text in levels if y >= canvas.y.high]
    return Panel(name=name, title=title, specification=canvas.specification(description)), above


def _drawn_runs(runs: _Runs) -> _Runs:
    """Of search runs beyond ``_MOST_RUNS`` some of every rung, evenly spaced from its best to its worst."""
    if len(runs) <= _MOST_RUNS:
        return runs
    rungs: dict[tuple[str, float], list[tuple[float, Observation]]] = {}
    for cost, run in sorted(runs, key=lambda each: each[1].loss):
        rungs.setdefault((run.family, run.budget_flops), []).append((cost, run))
    most = max(2, _MOST_RUNS // len(rungs))
    return [each for own in rungs.values() for each in evenly(own, most)]


def _draw_runs(canvas: Canvas, runs: _Runs, styles: dict[str, theme.FamilyStyle], sides: dict[str, Shift]) -> None:
    for family, style in styles.items():
        own = [(cost, run) for cost, run in runs if run.family == family and _inside(canvas, run)]
        marks = [Mark(x=cost, y=run.loss, text=_run_text(run)) for cost, run in own]
        canvas.points(marks, color=style.color, shape=style.shape, size=14, opacity=0.28, shift=sides[family])


def _draw_imported(canvas: Canvas, runs: _Runs, styles: dict[str, theme.FamilyStyle]) -> None:
    for family in sorted({run.family for _, run in runs}):
        style = styles.get(family, theme.FALLBACK)
        own = [(cost, run) for cost, run in runs if run.family == family and _inside(canvas, run)]
        marks = [Mark(x=cost, y=run.loss, text=_imported_text(run)) for cost, run in own]
        canvas.points(marks, color=style.color, shape=style.shape, size=30, hollow=True)


def _inside(canvas: Canvas, run: Observation) -> bool:
    return canvas.y.low <= run.loss <= canvas.y.high


def _side_by_side(families: tuple[str, ...]) -> dict[str, Shift]:
    """Every family a little beside the others, since all of them stand at the same budgets."""
    middle = (len(families) - 1) / 2
    return {family: (_APART * (index - middle), 0.0) for index, family in enumerate(families)}


def _canvas(
    points: list[_Point],
    runs: _Runs,
    locked: list[LockedPrediction],
    levels: list[tuple[float, str]],
    currency: Currency,
    measure: Measure,
) -> Canvas:
    marks = [point.mark for point in points]
    low, high = min(mark.y for mark in marks) / _WILDEST, max(mark.y for mark in marks) * _WILDEST
    losses = [min(max(y, low), high) for mark in marks for y in (mark.y, mark.low, mark.high) if y is not None]
    losses += [min(max(run.loss, low), high) for _, run in runs]
    losses += [seen for prediction in locked for seen in (prediction.predicted.estimate, prediction.seen) if seen]
    losses += [y for y, _ in levels if min(losses) / 3 < y < max(losses) * 1.15]
    costs = [mark.x for mark in marks] + [cost for cost, _ in runs]
    costs += [prediction.budget_flops for prediction in locked]
    x_title = "training compute in FLOPs" if currency == "flops" else "training time in device-seconds"
    return Canvas(
        x=log_axis(x_title, costs),
        y=log_axis(f"{axis(measure)} (lower is better)", losses, text=numbers.plain, room=0.1),
    )


def _draw_law(canvas: Canvas, law: LawFit, style: theme.FamilyStyle) -> None:
    """Solid where the law was fitted, thin and broken where it is prolonged."""
    canvas.band(law.curve, color=style.color)
    slack = 1e-6
    inside = [p for p in law.curve if law.fitted_low * (1 - slack) <= p.x <= law.fitted_high * (1 + slack)]
    before = [p for p in law.curve if p.x <= law.fitted_low * (1 + slack)]
    after = [p for p in law.curve if p.x >= law.fitted_high * (1 - slack)]
    canvas.line([(p.x, p.y) for p in inside], color=style.color, dash=style.dash)
    for part in (before, after):
        canvas.line([(p.x, p.y) for p in part], color=style.color, dash=(1, 3), width=1.4)


def _draw_locked(canvas: Canvas, predictions: list[LockedPrediction], style: theme.FamilyStyle, side: Shift) -> None:
    """The predicted interval as a wide faint bar, and what was seen as a hollow mark on it."""
    for prediction in predictions:
        interval, x = prediction.predicted, prediction.budget_flops
        bar = [(x, max(interval.low, canvas.y.low)), (x, min(interval.high, canvas.y.high))]
        canvas.line(bar, color=style.color, opacity=0.3, width=_APART, shift=side)
        if prediction.seen is not None:
            text = f"predicted {numbers.loss_interval(interval)}, then seen {numbers.loss(prediction.seen)}"
            text = f"{numbers.family_name(prediction.family)} at {numbers.flops(x)}, locked in advance\n{text}"
            seen = Mark(x=x, y=prediction.seen, text=text)
            canvas.points([seen], color=style.color, shape=style.shape, hollow=True, shift=side)


def _levels(observations: Sequence[Observation]) -> list[tuple[float, str]]:
    """Chance and the known floor, where all runs agree on them."""
    own = [run for run in observations if run.role != "imported"]
    found = []
    for name, values in (
        ("chance", {run.chance for run in own}),
        ("known floor", {run.floor for run in own}),
    ):
        value = next(iter(values)) if len(values) == 1 else None
        if value:
            found.append((value, f"{name} {numbers.loss(value)}"))
    return found


def _run_cost(run: Observation, currency: Currency) -> float | None:
    return run.train_flops if currency == "flops" else run.device_seconds


def _run_text(run: Observation) -> str:
    rate = f", learning rate {numbers.plain(run.base_lr)}" if run.base_lr is not None else ""
    variant = f"\n{run.variant}" if run.variant else ""
    return f"search run: {numbers.model_name(run.family, run.model)}\nloss {numbers.loss(run.loss)}{rate}{variant}"


def _imported_text(run: Observation) -> str:
    return (
        f"imported, not judged: {run.run}\n{numbers.model_name(run.family, run.model)}\nloss {numbers.loss(run.loss)}"
    )


class _Point(NamedTuple):
    """What a family reached at a cost."""

    family: str
    mark: Mark
    hollow: bool


def _points(analysis: Analysis, currency: Currency) -> list[_Point]:
    """The winners; where none was measured what the chosen laws were fitted to."""
    if analysis.winners:
        costs = ((winner, winner_cost(winner, currency)) for winner in analysis.winners)
        return [_of_winner(winner, cost, currency) for winner, cost in costs if cost is not None]
    chosen = (law for law in analysis.laws if law.chosen and law.currency == currency)
    return [_of_row(law.family, row, currency) for law in chosen for row in law.rows]


def _of_winner(winner: Winner, cost: float, currency: Currency) -> _Point:
    interval, text = winner.loss, winner_text(winner, currency)
    mark = Mark(x=cost, y=interval.estimate, low=interval.low, high=interval.high, text=text)
    return _Point(winner.family, mark, winner.near_chance or winner.data_limited)


def _of_row(family: str, row: LawRow, currency: Currency) -> _Point:
    lines = [
        f"{numbers.family_name(family)}, the best run seen",
        numbers.currency(row.compute, currency),
        f"loss {numbers.loss(row.loss)}",
        f"not fitted: {told(row.dropped)}" if row.dropped else "",
    ]
    return _Point(family, Mark(x=row.compute, y=row.loss, text="\n".join(filter(None, lines))), row.dropped is not None)
