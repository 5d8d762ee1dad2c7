"""Learning rates: the paper's third figure (best rate against length, by size), and the tuning curves behind it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from levelfield.report.figures import theme
from levelfield.report.figures.axes import Axis, log_axis
from levelfield.report.figures.canvas import Canvas, EndLabel, Mark
from levelfield.report.figures.figure import Figure, Panel, slug
from levelfield.report.figures.noise import noise_of
from levelfield.report.figures.thinned import evenly, told_thinned
from levelfield.report.words import numbers
from levelfield.report.words.measures import axis, learning_rate
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.optima import LearningRateCell

_LONGEST_NAME = 14
_SPREAD = 0.6
"""Sizes of one rate are set side by side over this share of a factor of 2, so that none is taken for the next rate."""
_MOST_APART = 15.0
_NUMBERED = 190
"""px² of a mark that holds a number."""
_MOST_SIZES = 6
"""Lines that an eye can tell apart among others of the same colour."""
_MOST_PANELS = 8
"""Tuning curves of so many rungs a family: every one is a picture to be drawn and sent."""
_STATUS_TEXT = {
    "bracketed": "bracketed: both neighbours are worse",
    "one-sided": "one-sided: only one neighbour was tried",
    "bound": "a bound: the best lies at the edge of what was tried",
}

_TREND_READING = (
    "One line a size; the number in a point is that of its size in the list beside, from small to large. Lines at one "
    "rate are set side by side. Filled: the optimum lies between worse rates that were tried; hollow: one-sided or a "
    "bound. The paper found a slow, monotonic fall for NFNets trained with SGD."
)


def learning_rate_figure(analysis: Analysis) -> Figure:
    """The best learning rate against training length, one line a size, one panel a family."""
    title = "Optimal learning rate against training length"
    cells = [cell for cell in analysis.learning_rates if _length(cell, "examples") is not None]
    if not cells:
        return Figure(
            name="learning-rate",
            title=title,
            absent="No cell has a tuned learning rate and a known training length.",
        )
    unit = _length_unit(cells)
    sizes = [_by_size([cell for cell in cells if cell.family == family]) for family in analysis.families]
    drawn, named = sum(len(evenly(own, _MOST_SIZES)) for own in sizes), learning_rate(analysis.rate_batch)
    panels = tuple(
        _trend_panel(family, [cell for cell in cells if cell.family == family], style, unit, named)
        for family, style in theme.family_styles(analysis.families).items()
        if any(cell.family == family for cell in cells)
    )
    return Figure(
        name="learning-rate",
        title=title,
        caption=_trend_caption(analysis, cells),
        reading=_TREND_READING + told_thinned(drawn, sum(map(len, sizes)), "sizes"),
        panels=panels,
    )


def tuning_figure(analysis: Analysis) -> Figure:
    """Loss against learning rate for every cell: one small panel a family and budget, one line a size."""
    title = "Tuning curves"
    cells = [cell for cell in analysis.learning_rates if len(cell.tried) > 1]
    if not cells:
        return Figure(name="tuning", title=title, absent="No cell tried more than one learning rate.")
    panels, named = [], learning_rate(analysis.rate_batch)
    for family, style in theme.family_styles(analysis.families).items():
        rates = [rate for cell in cells if cell.family == family for rate, _ in cell.tried]
        for budget in evenly(sorted({cell.budget_flops for cell in cells if cell.family == family}), _MOST_PANELS):
            own = [cell for cell in cells if cell.family == family and cell.budget_flops == budget]
            panels.append(
                _tuning_panel(
                    own,
                    style,
                    log_axis(named, rates, ticks=_octaves(rates), most=5, text=numbers.plain),
                    analysis,
                )
            )
    noise = "" if analysis.seed_noise is None else f" Thin bars: 90{numbers.THIN}% of the noise between seeds."
    reading = (
        "One line a size. Filled: the optimum lies between worse rates; hollow: one-sided or a bound. All panels of a "
        f"family share the horizontal axis.{noise}"
        f"{told_thinned(len(panels), len({(cell.family, cell.budget_flops) for cell in cells}), 'rungs')}"
    )
    caption = _status_sentence(cells)
    return Figure(
        name="tuning", title=title, caption=caption, reading=reading, panels=tuple(panels), panel_size="small"
    )


def _trend_panel(family: str, cells: list[LearningRateCell], style: theme.FamilyStyle, unit: str, named: str) -> Panel:
    name = numbers.family_name(family)
    sizes = evenly(_by_size(cells), _MOST_SIZES)
    cells = [cell for own in sizes for cell in own]
    lengths = [length for cell in cells if (length := _length(cell, unit))]
    canvas = Canvas(
        x=log_axis(f"training length in {unit}", lengths, text=numbers.power if unit == "epochs" else numbers.count),
        y=_rate_axis(f"best {named}", [cell.best_base_lr for cell in cells]),
    )
    for number, own in enumerate(sizes, 1):
        canvas.end_label(EndLabel(y=canvas.y.high, text=f"{number} {_short(own[0])}", color=style.text))
    octave = canvas.plot_height * math.log(2) / math.log(canvas.y.high / canvas.y.low)
    apart = min(_SPREAD * octave / max(len(sizes) - 1, 1), _MOST_APART)
    for number, (own, shade) in enumerate(zip(sizes, theme.shades(len(sizes)), strict=True), 1):
        beside = [other for other in sizes if _rates(other) & _rates(own)]
        side = (0.0, apart * (beside.index(own) - (len(beside) - 1) / 2))
        points = [(length, cell.best_base_lr) for cell in own if (length := _length(cell, unit))]
        canvas.line(points, color=style.color, opacity=shade, width=1.6, shift=side)
        for cell in own:
            hollow, x, y = cell.status != "bracketed", _length(cell, unit) or 0.0, cell.best_base_lr
            mark = Mark(x=x, y=y, text=_optimum_text(cell))
            canvas.points([mark], color=style.color, shape=style.shape, hollow=hollow, size=_NUMBERED, shift=side)
            ink = style.text if hollow else theme.PAPER
            canvas.note(x, y, str(number), color=ink, align="center", dy=side[1] + 0.5)
    description = f"Best learning rate against training length, {name}"
    return Panel(name=f"learning-rate-{slug(family)}", title=name, specification=canvas.specification(description))


def _tuning_panel(cells: list[LearningRateCell], style: theme.FamilyStyle, x: Axis, analysis: Analysis) -> Panel:
    family, budget = cells[0].family, cells[0].budget_flops
    losses = [loss for cell in cells for _, loss in cell.tried]
    best = min(losses)
    y = log_axis(axis(analysis.measure), [min(loss, 3 * best) for loss in losses], text=numbers.plain, most=5)
    canvas = Canvas(x=x, y=y, width=300, height=220, left=42)
    sizes = _by_size(cells)
    for own, shade in zip(sizes, theme.shades(len(sizes)), strict=True):
        for cell in own:
            tried = sorted(cell.tried)
            canvas.line(tried, color=style.color, opacity=shade, width=1.4)
            marks = [_tried_mark(cell, rate, loss, analysis.seed_noise) for rate, loss in tried if loss <= y.high]
            canvas.points(marks, color=style.color, shape=style.shape, size=10, opacity=shade, bar=1)
            at = min(tried, key=lambda pair: abs(math.log(pair[0] / cell.best_base_lr)))[1]
            _draw_optimum(canvas, cell, Mark(x=cell.best_base_lr, y=at, text=""), style, shade)
        ends = [loss for cell in own for rate, loss in cell.tried if rate == max(r for r, _ in cell.tried)]
        canvas.end_label(EndLabel(y=min(ends[0], y.high), text=_short(own[0]), color=style.text))
    name = f"{numbers.family_name(family)} at {numbers.flops(budget)}"
    description = f"Loss against learning rate, {name}"
    specification = canvas.specification(description)
    return Panel(
        name=f"tuning-{slug(family)}-{slug(f'{budget:.3g}')}", title=name, specification=specification, group=family
    )


def _draw_optimum(canvas: Canvas, cell: LearningRateCell, at: Mark, style: theme.FamilyStyle, shade: float) -> None:
    mark = dataclasses.replace(at, text=_optimum_text(cell))
    look = {"hollow": cell.status != "bracketed", "size": 58, "opacity": max(shade, 0.55), "bar": 1}
    canvas.points([mark], color=style.color, shape=style.shape, **look)


def _optimum_text(cell: LearningRateCell) -> str:
    lines = [
        f"{_name(cell)} at {numbers.flops(cell.budget_flops)}",
        f"best learning rate {numbers.plain(cell.best_base_lr)} of {len(cell.tried)} tried",
        _STATUS_TEXT[cell.status],
        f"{numbers.count(cell.examples)} examples" if cell.examples is not None else "",
        "audited over the full grid" if cell.audited else "",
    ]
    return "\n".join(filter(None, lines))


def _tried_mark(cell: LearningRateCell, rate: float, loss: float, seed_noise: float | None) -> Mark:
    name = _name(cell)
    low, high = noise_of(loss, seed_noise)
    text = f"{name}\nlearning rate {numbers.plain(rate)}\nloss {numbers.loss(loss)}"
    return Mark(x=rate, y=loss, text=text, low=low, high=high)


def _length(cell: LearningRateCell, unit: str) -> float | None:
    return cell.epochs if unit == "epochs" else cell.examples


def _length_unit(cells: Sequence[LearningRateCell]) -> str:
    """Epochs as in the paper, unless the data is a stream of which a run sees next to nothing."""
    epochs = [cell.epochs for cell in cells]
    return "epochs" if all(epochs) and max(epoch or 0.0 for epoch in epochs) >= 0.05 else "examples"


def _rates(cells: Sequence[LearningRateCell]) -> set[float]:
    return {cell.best_base_lr for cell in cells}


def _by_size(cells: Sequence[LearningRateCell]) -> list[list[LearningRateCell]]:
    """The cells of each model, from small to large, each from short to long."""
    models = sorted({(cell.params or 0.0, cell.model, cell.variant) for cell in cells})
    rising = sorted(cells, key=lambda cell: cell.budget_flops)
    return [[cell for cell in rising if (cell.model, cell.variant) == (name, variant)] for _, name, variant in models]


def _rate_axis(title: str, rates: list[float]) -> Axis:
    low, high = min(rates), max(rates)
    widened = [low / 2, high * 2] if high / low < 4 else [low / 1.3, high * 1.3]
    return log_axis(title, widened, ticks=_octaves([low / 2, high * 2]), text=numbers.plain, most=7)


def _octaves(rates: Sequence[float]) -> list[float]:
    """Every grid value from the lowest to the highest rate: the grid goes by factors of two."""
    anchor = min(rates)
    octaves = [anchor]
    while octaves[-1] * 1.5 < max(rates):
        octaves.append(octaves[-1] * 2)
    return octaves


def _varied(name: str, cell: LearningRateCell) -> str:
    return f"{name} ({cell.variant})" if cell.variant else name


def _name(cell: LearningRateCell) -> str:
    return _varied(numbers.model_name(cell.family, cell.model), cell)


def _short(cell: LearningRateCell) -> str:
    """A model's name without its family, which the panel's title already says; its size where the name is long."""
    name = _varied(cell.model.partition(":")[2] or cell.model, cell)
    if len(name) <= _LONGEST_NAME or cell.params is None:
        return name
    return f"{numbers.count(cell.params)} params"


def _status_sentence(cells: Sequence[LearningRateCell]) -> str:
    bracketed = sum(cell.status == "bracketed" for cell in cells)
    return f"In {bracketed} of {len(cells)} cells (a size at a budget) the best rate has worse ones on both sides."


def _trend_caption(analysis: Analysis, cells: list[LearningRateCell]) -> str:
    """Where the best rates of each family lie and how they move along the ladder, in one sentence."""
    parts = []
    for family in analysis.families:
        own = [cell for cell in cells if cell.family == family]
        steps = [step for line in _by_size(own) for step in _steps(line)]
        if not steps:
            continue
        falls, rises = sum(step < 0.99 for step in steps), sum(step > 1.01 for step in steps)
        low, high = (numbers.plain(pick(cell.best_base_lr for cell in own)) for pick in (min, max))
        moves = [f"falls in {falls}"] * (falls > 0) + [f"rises in {rises}"] * (rises > 0)
        told = f"{numbers.listed(moves)} of {len(steps)} steps" if moves else "stays at every step"
        span = low if low == high else f"{low} to {high}"
        parts.append(f"{numbers.family_name(family)}'s best rate ({span}) {told}")
    if not parts:
        return "No size was tuned at two budgets, so there is no trend to see."
    return numbers.sentence(f"where a size is trained longer, {'; '.join(parts)}")


def _steps(line: list[LearningRateCell]) -> list[float]:
    """The factors by which the best rate changes along the rungs of one size."""
    rates = [cell.best_base_lr for cell in line]
    return [after / before for before, after in itertools.pairwise(rates)]
