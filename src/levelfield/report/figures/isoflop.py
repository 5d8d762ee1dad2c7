"""The isoFLOP profiles: loss against size at equal compute, from which the best size of a budget is read."""

from __future__ import annotations

from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis
from levelfield.report.figures.canvas import Canvas, Mark
from levelfield.report.figures.figure import Figure, Panel, slug
from levelfield.report.figures.noise import noise_of
from levelfield.report.figures.thinned import evenly, told_thinned
from levelfield.report.words import numbers
from levelfield.report.words.measures import axis
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import IsoflopPoint, IsoflopProfile

_LABEL_SHARE = 0.16
"""Share of the width kept free on the left for the budgets' names."""


def isoflop_figure(analysis: Analysis) -> Figure:
    """Loss against size at equal compute, one line a budget, one panel a family."""
    title = "IsoFLOP profiles"
    profiles = [profile for profile in analysis.isoflop if profile.points]
    if not profiles:
        return Figure(name="isoflop", title=title, absent="No budget was spent on more than one size.")
    rising = sorted(profiles, key=lambda profile: profile.budget_flops)
    drawn = {family: evenly([p for p in rising if p.family == family]) for family in analysis.families}
    panels = tuple(
        _panel(family, drawn[family], style, analysis)
        for family, style in theme.family_styles(analysis.families).items()
        if drawn[family]
    )
    inside = sum(isinstance(profile.optimal_params, Interval) for profile in profiles)
    caption = (
        f"{inside} of {len(profiles)} profiles have their optimum between the sizes tried"
        f"{'.' if inside == len(profiles) else '; elsewhere the best size is only a bound.'}"
    )
    noise = "" if analysis.seed_noise is None else f" Thin bars: 90{numbers.THIN}% of the noise between seeds."
    reading = (
        "Every point of a line spent the training FLOPs written beside it. Large: the best size, hollow where it lies "
        f"at the edge. Diamonds: the vertex of the profile with its interval.{noise}"
        f"{told_thinned(sum(map(len, drawn.values())), len(profiles), 'profiles')}"
    )
    return Figure(name="isoflop", title=title, caption=caption, reading=reading, panels=panels)


def _panel(family: str, profiles: list[IsoflopProfile], style: theme.FamilyStyle, analysis: Analysis) -> Panel:
    points = [point for profile in profiles for point in profile.points]
    sizes = [point.params for point in points]
    room_for_labels = min(sizes) / (max(sizes) / min(sizes)) ** _LABEL_SHARE
    canvas = Canvas(
        x=log_axis("size of the model in parameters", [room_for_labels, *sizes], text=numbers.count),
        y=log_axis(axis(analysis.measure), [point.loss for point in points], text=numbers.plain, room=0.1),
    )
    for profile, shade in zip(profiles, theme.shades(len(profiles)), strict=True):
        line = sorted(profile.points, key=lambda point: point.params)
        canvas.line([(p.params, p.loss) for p in line], color=style.color, opacity=shade, width=1.5)
        others = [_mark(profile, p, analysis.seed_noise) for p in line if p.model != profile.best_model]
        canvas.points(others, color=style.color, shape=style.shape, size=20, opacity=shade, bar=1)
        best = [_mark(profile, p, analysis.seed_noise) for p in line if p.model == profile.best_model]
        hollow = not isinstance(profile.optimal_params, Interval)
        strength = max(shade, 0.55)
        canvas.points(best, color=style.color, shape=style.shape, hollow=hollow, opacity=strength, bar=1)
        if isinstance(profile.optimal_params, Interval):
            _draw_vertex(canvas, profile, profile.optimal_params, style, shade)
        text = numbers.power(profile.budget_flops)
        canvas.note(line[0].params, line[0].loss, text, color=style.text, align="right", dx=-7, dy=5)
    name = numbers.family_name(family)
    description = f"Loss against size at equal training FLOPs, {name}"
    return Panel(name=f"isoflop-{slug(family)}", title=name, specification=canvas.specification(description))


def _mark(profile: IsoflopProfile, point: IsoflopPoint, seed_noise: float | None) -> Mark:
    text = (
        f"{numbers.model_name(profile.family, point.model)} at {numbers.flops(profile.budget_flops)}\n"
        f"loss {numbers.loss(point.loss)}, {numbers.count(point.examples)} examples"
    )
    if point.model == profile.best_model:
        text += "\nbest of this budget"
    low, high = noise_of(point.loss, seed_noise)
    return Mark(x=point.params, y=point.loss, text=text, low=low, high=high)


def _draw_vertex(
    canvas: Canvas, profile: IsoflopProfile, vertex: Interval, style: theme.FamilyStyle, shade: float
) -> None:
    """The optimum of the fitted parabola, below the lowest point so that the two can be told apart."""
    lowest = min(point.loss for point in profile.points)
    y = canvas.y.value(max(canvas.y.fraction(lowest) - 0.035, 0.0))
    text = f"optimal size {numbers.count(vertex.estimate)} [{numbers.count(vertex.low)}, {numbers.count(vertex.high)}]"
    inside = "vertex inside the sizes tried"
    inside = f"{inside}; its interval reaches the edge of them" if profile.touches_edge else inside
    mark = Mark(x=vertex.estimate, y=y, low=vertex.low, high=vertex.high, text=f"{text}\n{inside}")
    canvas.points([mark], color=style.color, shape="diamond", size=34, opacity=max(shade, 0.55), sideways=True)
