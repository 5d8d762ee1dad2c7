"""The published evidence: ImageNet error against pre-training compute."""

from __future__ import annotations

from levelfield.reference import SeedPoint, seed_figure
from levelfield.report import numbers
from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis
from levelfield.report.figures.canvas import Canvas, EndLabel, Mark
from levelfield.report.figures.figure import Figure, Panel

_WORST_ERROR = 25.0
_NFNET_LABELS = {"F4+, F4": (9, 1), "F7+": (13, -15)}  # in px from the point, where nothing else is drawn
_TICKS = (10.0, 100.0, 1000.0, 10_000.0, 100_000.0)
_RESNET = theme.FamilyStyle(color=theme.MUTED, text=theme.MUTED, shape="triangle-down", glyph="▼")


def published_figure() -> Figure:
    """NFNets, ViTs, ResNets and hybrids in one currency, with what is wrong with that."""
    figure = seed_figure()
    points = [point for point in figure.points if point.error <= _WORST_ERROR]
    left_out = len(figure.points) - len(points)
    computes = [bound for point in points for bound in (point.compute.low, point.compute.high)]
    canvas = Canvas(
        x=log_axis("pre-training compute in exaFLOPs (10¹⁸)", computes, ticks=_TICKS, text="{:,.0f}".format),
        y=log_axis("ImageNet top-1 error in %", [point.error for point in points], text=numbers.plain),
        height=320,
    )
    styles = theme.family_styles(("nfnet", "vit", "hybrid"))
    vit, nfnet, hybrid = styles["vit"], styles["nfnet"], styles["hybrid"]
    _draw(canvas, points, "ViT grid", vit, size=14, opacity=0.35)
    _draw(canvas, points, "hybrid", hybrid, size=30, opacity=0.5)
    _draw(canvas, points, "ResNet", _RESNET, size=26)
    _draw(canvas, points, "ViT", vit, size=56)
    _draw(canvas, points, "NFNet", nfnet, size=72)
    nfnets = [point for point in points if point.series == "NFNet"]
    for error in sorted({point.error for point in nfnets}):
        same = [point for point in nfnets if point.error == error]
        names = ", ".join(point.model.removeprefix("NFNet-") for point in same)
        dx, dy = _NFNET_LABELS.get(names, (8, 0))
        canvas.note(same[-1].compute.exaflops, error, names, color=nfnet.text, dx=dx, dy=dy)
    for series, style in (("ResNet", _RESNET), ("hybrid", hybrid), ("ViT", vit), ("NFNet", nfnet)):
        last = max((p for p in points if p.series == series), key=lambda point: point.compute.exaflops)
        canvas.end_label(EndLabel(y=last.error, text=f"{style.glyph} {series}", color=style.text))
    panel = Panel(
        name="published",
        title="Published results, one currency",
        specification=canvas.specification("ImageNet top-1 error against pre-training compute, published results"),
    )
    reading = (
        "Small squares: the Scaling ViT grid on JFT-3B. Horizontal bars: compute converted from device time, a range. "
        "Every point differs from its neighbours in data, resolution, optimiser or tuning: hover or tap for its "
        f"confounds. {left_out} runs with more than {_WORST_ERROR:g}{numbers.THIN}% error are left out."
    )
    return Figure(
        name="published", title="What was published", caption=figure.statement, reading=reading, panels=(panel,)
    )


def _draw(
    canvas: Canvas,
    points: list[SeedPoint],
    series: str,
    style: theme.FamilyStyle,
    *,
    size: float,
    opacity: float = 1.0,
) -> None:
    marks = [
        Mark(
            x=point.compute.exaflops,
            y=point.error,
            low=point.compute.low if point.compute.low < point.compute.high else None,
            high=point.compute.high if point.compute.low < point.compute.high else None,
            text=f"{point.model}: {numbers.plain(point.error)}{numbers.THIN}% error\n"
            f"{point.compute.exaflops:,.0f} exaFLOPs, {point.compute.basis}\n{point.confounds}\n{point.source}",
        )
        for point in points
        if point.series == series
    ]
    canvas.points(marks, color=style.color, shape=style.shape, size=size, opacity=opacity, sideways=True)
