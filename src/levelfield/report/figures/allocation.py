"""How to spend a budget: the size and the training length of the best models against compute."""

from __future__ import annotations

import math
from collections.abc import Callable

from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis
from levelfield.report.figures.canvas import Canvas, EndLabel, Mark
from levelfield.report.figures.figure import Figure, Panel
from levelfield.report.figures.loss import winner_text
from levelfield.report.words import numbers
from levelfield.report.words.told import told
from levelfield.scaling.results.analysis import Analysis, Winner
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import IsoflopProfile

_READING = (
    "Hollow: only a bound, the best lies at the edge of what was searched. Diamonds: optima between the sizes tried "
    "(vertices of the isoFLOP profiles), with intervals. Dotted: the closed form's optimum. The "
    "paper's rule for NFNets is equal growth of both."
)


def allocation_figure(analysis: Analysis) -> Figure:
    """Size and examples of the winners against compute, with the vertices of the isoFLOP profiles."""
    title = "Compute-optimal size and training length"
    winners = [w for w in analysis.winners if w.params is not None and w.examples is not None]
    if not winners:
        return Figure(name="allocation", title=title, absent="No winner has both a known size and a known length.")
    epochs = [w.epochs for w in winners]
    in_epochs = all(epochs) and max(epoch or 0.0 for epoch in epochs) >= 0.05
    length: Callable[[Winner], float | None] = (lambda w: w.epochs) if in_epochs else (lambda w: w.examples)
    panels = (
        _panel(analysis, winners, "size", "size of the best model in parameters", lambda w: w.params),
        _panel(analysis, winners, "length", _length_title(in_epochs), length),
    )
    caption, exponents = _caption(analysis, winners), _exponents(analysis)
    return Figure(name="allocation", title=title, caption=caption, reading=f"{exponents} {_READING}", panels=panels)


def _length_title(in_epochs: bool) -> str:
    return f"training length of the best model in {'epochs' if in_epochs else 'examples'}"


def _panel(
    analysis: Analysis, winners: list[Winner], kind: str, title: str, value: Callable[[Winner], float | None]
) -> Panel:
    vertices = [p for p in analysis.isoflop if isinstance(p.optimal_params, Interval)] if kind == "size" else []
    seen = [number for w in winners if (number := value(w))]
    intervals = [p.optimal_params for p in vertices if isinstance(p.optimal_params, Interval)]
    seen += [bound for interval in intervals for bound in _clamped(interval, seen)]
    canvas = Canvas(
        x=log_axis("training compute in FLOPs", [w.budget_flops for w in winners]),
        y=log_axis(title, seen, text=numbers.count, room=0.1),
    )
    for family, style in theme.family_styles(analysis.families).items():
        own = sorted((w for w in winners if w.family == family), key=lambda w: w.budget_flops)
        points = [(w.budget_flops, number) for w in own if (number := value(w))]
        if not points:
            continue
        exponent = _exponent(analysis, family, kind)
        slope = f" C^{exponent.estimate:.2f}" if exponent is not None else ""
        canvas.line(points, color=style.color, dash=style.dash, opacity=0.5, width=1.3)
        canvas.line(_closed_form(analysis, family, kind, points), color=style.color, dash=(1, 3), width=1.3)
        canvas.points(_vertex_marks(vertices, family), color=style.color, shape="diamond", size=26, opacity=0.6)
        for hollow in (False, True):
            marks = [
                Mark(x=w.budget_flops, y=number, text=winner_text(w))
                for w in own
                if (number := value(w)) and bool(w.edges) == hollow
            ]
            canvas.points(marks, color=style.color, shape=style.shape, hollow=hollow)
        text = f"{style.glyph} {numbers.family_name(family)}{slope}"
        canvas.end_label(EndLabel(y=points[-1][1], text=text, color=style.text))
    name = {"size": "Size", "length": "Training length"}[kind]
    description = f"{name} of the best model against training compute"
    return Panel(name=f"allocation-{kind}", title=name, specification=canvas.specification(description))


def _closed_form(
    analysis: Analysis, family: str, kind: str, points: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The optimal size of the law of size and examples over the family's rungs; none beside training lengths."""
    found = next((each for each in analysis.optima if each.family == family), None)
    if kind != "size" or found is None or found.budget_flops is None:
        return []
    way = found.closed_form
    if way.params is None or way.params_exponent is None or found.form_doubtful is None:
        return []
    middle, size, power = found.budget_flops, way.params.estimate, way.params_exponent.estimate
    return [(budget, size * (budget / middle) ** power) for budget, _ in points]


def _vertex_marks(profiles: list[IsoflopProfile], family: str) -> list[Mark]:
    return [
        Mark(
            x=profile.budget_flops,
            y=vertex.estimate,
            low=vertex.low,
            high=vertex.high,
            text=f"vertex of the isoFLOP profile at {numbers.flops(profile.budget_flops)}\n"
            f"{numbers.count(vertex.estimate)} parameters [{numbers.count(vertex.low)}, {numbers.count(vertex.high)}]",
        )
        for profile in profiles
        if profile.family == family and isinstance(vertex := profile.optimal_params, Interval)
    ]


def _clamped(interval: Interval, seen: list[float]) -> list[float]:
    """The interval's bounds, held to a decade beyond what was tried: a wild bound must not flatten the picture."""
    low, high = min(seen) / 3, max(seen) * 3
    return [min(max(bound, low), high) for bound in (interval.low, interval.estimate, interval.high)]


def _exponent(analysis: Analysis, family: str, kind: str) -> Interval | None:
    for allocation in analysis.allocations:
        if allocation.family == family:
            return allocation.params_exponent if kind == "size" else allocation.examples_exponent
    return None


def _caption(analysis: Analysis, winners: list[Winner]) -> str:
    """How far size and length of the best models grow over the ladder."""
    parts: dict[str, list[str]] = {}
    for family in analysis.families:
        own = sorted((w for w in winners if w.family == family), key=lambda w: w.budget_flops)
        if len(own) > 1:
            first, last = own[0], own[-1]
            size, length = (last.params or 0) / (first.params or 1), (last.examples or 0) / (first.examples or 1)
            more = numbers.plain(last.budget_flops / first.budget_flops, 2)
            grown = (
                f"the best {numbers.family_name(family)} grows {_fold(size)} in size and {_fold(length)} in examples"
            )
            parts.setdefault(more, []).append(grown)
    if not parts:
        return "One budget alone shows no growth."
    return numbers.sentence("; ".join(f"over {more}-fold compute {', '.join(grown)}" for more, grown in parts.items()))


def _fold(factor: float) -> str:
    return f"×{factor:.1f}" if factor < 10 else f"×{factor:.0f}"


def _exponents(analysis: Analysis) -> str:
    parts = []
    for allocation in analysis.allocations:
        name = numbers.family_name(allocation.family)
        size, length = allocation.params_exponent, allocation.examples_exponent
        if size is None or length is None:
            parts.append(f"{name}: no exponent ({told(allocation.status)}).")
            continue
        parts.append(
            f"{name}: optimal size grows as compute to the {numbers.number_interval(size, 2)}, examples as compute to "
            f"the {numbers.number_interval(length, 2)}: {_faster(size, length)}."
        )
    return " ".join(parts) or "No exponents were fitted."


def _faster(size: Interval, length: Interval) -> str:
    if size.low > length.high:
        return "size grows faster"
    if length.low > size.high:
        return "training length grows faster"
    return "neither surely faster" if math.isfinite(size.estimate) else ""
