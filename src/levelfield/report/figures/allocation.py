"""How to spend a budget: optimal size and examples against compute, and the isoFLOP profiles behind them."""

from __future__ import annotations

import math
from collections.abc import Callable

from levelfield.report import numbers
from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis
from levelfield.report.figures.canvas import Canvas, EndLabel, Mark
from levelfield.report.figures.figure import Figure, Panel, slug
from levelfield.report.figures.loss import winner_text
from levelfield.scaling.analysis import Analysis, Interval, IsoflopProfile, Winner

_READING = (
    "The paper's rule for NFNets is equal growth of both. Diamonds: vertices of the isoFLOP profiles with intervals. "
    "Hollow: a bound, the optimum lies at the edge of what was searched."
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
        _panel(analysis, winners, "size", "parameters of the best model", lambda w: w.params),
        _panel(analysis, winners, "length", "epochs" if in_epochs else "examples seen by the best model", length),
    )
    return Figure(name="allocation", title=title, caption=_caption(analysis), reading=_READING, panels=panels)


def isoflop_figure(analysis: Analysis) -> Figure:
    """Loss against size at equal compute, one line a budget, one panel a family."""
    title = "IsoFLOP profiles"
    profiles = [profile for profile in analysis.isoflop if profile.points]
    if not profiles:
        return Figure(name="isoflop", title=title, absent="No budget was spent on more than one size.")
    panels = tuple(
        _isoflop_panel(family, [p for p in profiles if p.family == family], style)
        for family, style in theme.family_styles(analysis.families).items()
        if any(p.family == family for p in profiles)
    )
    inside = sum(profile.optimal_params is not None for profile in profiles)
    caption = (
        f"{inside} of {len(profiles)} profiles have their optimum between the sizes tried; elsewhere the best size is "
        "only a bound."
    )
    reading = (
        "Every point of a line spent the same training FLOPs. Large: the best size, hollow where it lies at the edge. "
        "Diamonds: the vertex of the profile with its interval."
    )
    return Figure(name="isoflop", title=title, caption=caption, reading=reading, panels=panels)


def _panel(
    analysis: Analysis, winners: list[Winner], kind: str, title: str, value: Callable[[Winner], float | None]
) -> Panel:
    vertices = [p for p in analysis.isoflop if p.optimal_params is not None] if kind == "size" else []
    seen = [number for w in winners if (number := value(w))]
    intervals = [p.optimal_params for p in vertices if p.optimal_params is not None]
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
        canvas.points(_vertex_marks(vertices, family), color=style.color, shape="diamond", size=26, opacity=0.6)
        for hollow in (False, True):
            marks = [
                Mark(x=w.budget_flops, y=number, text=winner_text(w))
                for w in own
                if (number := value(w)) and bool(w.edges) == hollow
            ]
            canvas.points(marks, color=style.color, shape=style.shape, hollow=hollow)
        text = f"{style.glyph} {numbers.family_name(family)}{slope}"
        canvas.end_label(EndLabel(y=points[-1][1], text=text, color=style.color))
    name = {"size": "Size", "length": "Training length"}[kind]
    description = f"{name} of the best model against training compute"
    return Panel(name=f"allocation-{kind}", title=name, specification=canvas.specification(description))


def _isoflop_panel(family: str, profiles: list[IsoflopProfile], style: theme.FamilyStyle) -> Panel:
    profiles = sorted(profiles, key=lambda profile: profile.budget_flops)
    points = [point for profile in profiles for point in profile.points]
    canvas = Canvas(
        x=log_axis("parameters", [point.params for point in points], text=numbers.count),
        y=log_axis("loss in nats", [point.loss for point in points], text=numbers.plain, room=0.1),
    )
    for profile, shade in zip(profiles, theme.shades(len(profiles)), strict=True):
        line = sorted(profile.points, key=lambda point: point.params)
        canvas.line([(p.params, p.loss) for p in line], color=style.color, opacity=shade, width=1.5)
        marks = [
            Mark(x=p.params, y=p.loss, text=_isoflop_text(profile, p.model, p.loss, p.examples))
            for p in line
            if p.model != profile.best_model
        ]
        canvas.points(marks, color=style.color, shape=style.shape, size=20, opacity=shade)
        best = [
            Mark(
                x=p.params, y=p.loss, text=_isoflop_text(profile, p.model, p.loss, p.examples) + "\nbest of this budget"
            )
            for p in line
            if p.model == profile.best_model
        ]
        hollow = profile.optimal_params is None
        canvas.points(best, color=style.color, shape=style.shape, hollow=hollow, size=64, opacity=max(shade, 0.55))
        if profile.optimal_params is not None:
            _draw_vertex(canvas, profile, profile.optimal_params, style, shade)
        text = numbers.power(profile.budget_flops)
        canvas.end_label(EndLabel(y=line[-1].loss, text=text, color=style.color, opacity=shade))
    name = numbers.family_name(family)
    description = f"Loss against size at equal training FLOPs, {name}"
    return Panel(name=f"isoflop-{slug(family)}", title=name, specification=canvas.specification(description))


def _draw_vertex(
    canvas: Canvas, profile: IsoflopProfile, vertex: Interval, style: theme.FamilyStyle, shade: float
) -> None:
    """The optimum of the fitted parabola, below the lowest point so that the two can be told apart."""
    lowest = min(point.loss for point in profile.points)
    y = canvas.y.value(max(canvas.y.fraction(lowest) - 0.035, 0.0))
    text = f"optimal size {numbers.count(vertex.estimate)} [{numbers.count(vertex.low)}, {numbers.count(vertex.high)}]"
    mark = Mark(x=vertex.estimate, y=y, low=vertex.low, high=vertex.high, text=f"{text}\n{profile.status}")
    canvas.points([mark], color=style.color, shape="diamond", size=34, opacity=max(shade, 0.55), sideways=True)


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
        if profile.family == family and (vertex := profile.optimal_params) is not None
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


def _isoflop_text(profile: IsoflopProfile, model: str, loss: float, examples: float) -> str:
    return (
        f"{numbers.model_name(profile.family, model)} at {numbers.flops(profile.budget_flops)}\n"
        f"loss {numbers.loss(loss)}, {numbers.count(examples)} examples"
    )


def _caption(analysis: Analysis) -> str:
    parts = []
    for allocation in analysis.allocations:
        name = numbers.family_name(allocation.family)
        size, length = allocation.params_exponent, allocation.examples_exponent
        if size is None or length is None:
            parts.append(f"{name}: no exponent ({allocation.status}).")
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
