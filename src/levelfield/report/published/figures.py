"""The published evidence: ImageNet error against pre-training compute, and NFNet against ViT at equal compute."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.observation import Observation
from levelfield.reference.evidence import PublishedEvidence, nfnet_runs, published_evidence
from levelfield.reference.laws import vit_points
from levelfield.reference.placed import PlacedPoint
from levelfield.reference.points import TRUST_MEANS
from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis
from levelfield.report.figures.canvas import Canvas, Mark
from levelfield.report.figures.figure import Figure, Panel
from levelfield.report.figures.labels import Label, write_labels
from levelfield.report.published.difference import difference_panel
from levelfield.report.words import numbers
from levelfield.report.words.published import bottom_line
from levelfield.scaling.results.intervals import CurvePoint
from levelfield.units import PAPER_FLOPS

_STYLES = theme.family_styles(("nfnet", "vit", "hybrid"))
_RESNET = theme.FamilyStyle(color=theme.MUTED, text=theme.MUTED, shape="triangle-down", glyph="▼")
STYLES = {
    "NFNet": _STYLES["nfnet"],
    "ViT": _STYLES["vit"],
    "hybrid": _STYLES["hybrid"],
    "other ConvNet": _RESNET,
}
_EXA_TITLE = "pre-training compute in exaFLOPs (10¹⁸)"
_ERROR_TITLE = "ImageNet top-1 error in %"
_OVERLAP = (700.0, 110_000.0)
_OVERLAP_WORST = 13.6
"""Where NFNets stand: exaFLOPs and percent of the panel that writes every name."""
_NAMES_WIDTH, _NAMES_HEIGHT = 640, 420


def published_figure(observations: Sequence[Observation] = (), *, width: int = 360, height: int = 330) -> Figure:
    """NFNets, ViTs, other ConvNets and hybrids in one currency, the ViTs' law, the difference, and what is wrong.

    With ``observations`` of a study, its winners stand in a panel of their own, the published results behind them.
    """
    evidence = published_evidence()
    beside = _beside_panel(evidence, observations, width, height)
    panels = (
        _law_panel(evidence, width, height),
        difference_panel(evidence.equal, width=width, height=height),
        *([beside] if beside is not None else []),
        _overlap_panel(evidence, max(width, _NAMES_WIDTH), max(height, _NAMES_HEIGHT)),
    )
    return Figure(
        name="published",
        title="What was published",
        caption=bottom_line(evidence),
        reading=_reading(beside is not None),
        panels=panels,
    )


def _law_panel(evidence: PublishedEvidence, width: int, height: int) -> Panel:
    """The ViT runs that the law is fitted to, each a labelled line, with the law; NFNets beside them."""
    law = evidence.vit
    runs: dict[str, list[PlacedPoint]] = {}
    for point in vit_points():
        runs.setdefault(point.model, []).append(point)
    nfnets = nfnet_runs()
    drawn = [*(point for points in runs.values() for point in points), *nfnets]
    canvas = _canvas(drawn, width, height)
    style = STYLES["ViT"]
    canvas.band(law.curve, color=style.color)
    canvas.line([(point.x, point.y) for point in law.curve], color=style.color, dash=style.dash)
    best = {(row.exaflops, row.error) for row in law.kept}
    labels = []
    for model, points in runs.items():
        points.sort(key=lambda point: point.exaflops)
        canvas.line([(p.exaflops, p.error) for p in points], color=style.color, opacity=0.35, width=1.0)
        for kept in (False, True):
            marks = [_mark(p) for p in points if ((p.exaflops, p.error) in best) == kept]
            canvas.points(marks, color=style.color, shape=style.shape, size=26 if kept else 14, hollow=not kept)
        last = points[-1]
        labels.append(Label(x=last.exaflops, y=last.error, text=_short(model), color=style.text))
    labels += _draw(canvas, nfnets, "NFNet", size=60)
    others = [(point.exaflops, point.error) for point in drawn]
    write_labels(canvas, labels, others=[*others, *_along(canvas, law.curve)])
    description = "ImageNet error of ViTs fine-tuned at 384 px against pre-training compute, with their law"
    return _panel(canvas, "published-law", "The ViTs' law, and the NFNets", description)


def _overlap_panel(evidence: PublishedEvidence, width: int, height: int) -> Panel:
    """Every fine-tuned result near the NFNets by name, its resolution where that tells results of one run apart."""
    low, high = _OVERLAP
    points = [
        point
        for point in evidence.points
        if point.metric == "fine-tuned" and low <= point.exaflops <= high and point.error <= _OVERLAP_WORST
        if not point.protocol.subset
    ]
    canvas = _canvas(points, width, height, low=low, high=high)
    law = evidence.vit
    canvas.band([point for point in law.curve if point.x >= canvas.x.low], color=STYLES["ViT"].color)
    canvas.line([(point.x, point.y) for point in law.curve], color=STYLES["ViT"].color, dash=STYLES["ViT"].dash)
    named = [
        _draw(canvas, points, series, size=size)
        for series, size in (("other ConvNet", 34), ("hybrid", 34), ("ViT", 40), ("NFNet", 72))
    ]
    across = 8.0
    for series, style in STYLES.items():
        text = f"{style.glyph} {series}"
        canvas.note(canvas.x.low, canvas.y.low, text, color=style.color, dx=across, dy=-9)
        across += theme.CHARACTER_WIDTH * len(text) + 14
    labels = [label for labels in reversed(named) for label in labels]  # NFNets choose their places first
    write_labels(canvas, labels, others=_along(canvas, law.curve))
    description = "ImageNet error against pre-training compute where NFNets were published, every result by name"
    return _panel(canvas, "published-overlap", "Where NFNets stand, every result by name", description, wide=True)


def _beside_panel(
    evidence: PublishedEvidence, observations: Sequence[Observation], width: int, height: int
) -> Panel | None:
    """The study's winners in front of the published results, on one axis of compute."""
    own = [run for run in observations if run.role == "winner" and run.value("error")]
    if not own:
        return None
    behind = [point for point in evidence.points if point.metric == "fine-tuned"]
    errors = [100 * (run.value("error") or 0.0) for run in own]
    canvas = Canvas(
        x=log_axis("training compute in FLOPs", [*(p.exaflops * 1e18 for p in behind), *(r.train_flops for r in own)]),
        y=log_axis("top-1 error in %", [*(point.error for point in behind), *errors], text=numbers.plain),
        width=width,
        height=height,
    )
    for series, style in STYLES.items():
        marks = [
            Mark(x=point.exaflops * 1e18, y=point.error, text=_text(point))
            for point in behind
            if point.series == series
        ]
        canvas.points(marks, color=style.color, shape=style.shape, size=10, opacity=0.35)
    families = tuple(sorted({run.family for run in own}))
    dearest = max(zip(own, errors, strict=True), key=lambda pair: pair[0].train_flops)
    for place, (family, style) in enumerate(theme.family_styles(families).items()):
        marks = [
            Mark(
                x=run.train_flops, y=error, text=f"this study: {run.model}\n{numbers.plain(error)}{numbers.THIN}% error"
            )
            for run, error in zip(own, errors, strict=True)
            if run.family == family
        ]
        canvas.points(marks, color=style.color, shape=style.shape)
        name = f"{style.glyph} {numbers.family_name(family)}"  # one below another: their errors are nearly alike
        canvas.note(dearest[0].train_flops, dearest[1], name, color=style.text, dx=9, dy=13 * place - 7)
    distance = numbers.decades(max(run.train_flops for run in own), PAPER_FLOPS)
    canvas.note(float(PAPER_FLOPS), 10.0, f"F7+, {distance} above →", color=theme.MUTED, align="right", dx=-10, dy=14)
    description = "This study's winners and the published results on one axis of compute; their tasks differ"
    return _panel(canvas, "published-beside", "This study beside them (another task)", description)


def _along(canvas: Canvas, curve: Sequence[CurvePoint]) -> list[tuple[float, float]]:
    return [(point.x, point.y) for point in curve if canvas.x.low <= point.x <= canvas.x.high]


def _canvas(points: Sequence[PlacedPoint], width: int, height: int, *, low: float = 0.0, high: float = 0.0) -> Canvas:
    computes = [low, high] if low else [point.exaflops for point in points]
    return Canvas(
        x=log_axis(_EXA_TITLE, computes, text="{:,g}".format, room=0.06 if not low else 0.0),
        y=log_axis(_ERROR_TITLE, [point.error for point in points], text=numbers.plain, room=0.08),
        width=width,
        height=height,
    )


def _draw(canvas: Canvas, points: Sequence[PlacedPoint], series: str, *, size: float) -> list[Label]:
    """Draw one series with what its compute leaves open, and give back the names of its points."""
    style = STYLES[series]
    own = [point for point in points if point.series == series]
    canvas.points([_mark(p) for p in own], color=style.color, shape=style.shape, size=size, sideways=True)
    return [
        Label(x=p.exaflops, y=p.error, text=_name(p), color=style.text, low=p.compute.low, high=p.compute.high)
        for p in own
    ]


def _mark(point: PlacedPoint) -> Mark:
    compute = point.compute
    wide = compute.low < compute.high
    return Mark(
        x=compute.exaflops,
        y=point.error,
        low=compute.low if wide else None,
        high=compute.high if wide else None,
        text=_text(point),
    )


def _name(point: PlacedPoint) -> str:
    """The model, short, and the resolution of its test where the name does not say it."""
    short = _short(point.model)
    if point.series == "ViT" and point.protocol.data == "JFT-300M":
        short += " 300M"
    px = point.protocol.test_px
    return f"{short} @{px}" if px.isdigit() and point.series in ("ViT", "hybrid") else short


def _short(model: str) -> str:
    short = model.removeprefix("NFNet-").removeprefix("ViT-").replace("SoViT-400m/14", "SoViT")
    short = short.replace(" + repeated augmentation x4", ", RA").replace("CoAtNet", "CoAt").replace("x1+ViT-", "+")
    return short.partition(" @")[0]


def _text(point: PlacedPoint) -> str:
    compute = point.compute
    return "\n".join(
        (
            f"{point.model}: {numbers.plain(point.error)}{numbers.THIN}% error",
            f"{compute.exaflops:,.3g} exaFLOPs [{compute.low:,.3g}, {compute.high:,.3g}], {compute.basis}",
            point.protocol.confounds,
            f"{point.source}: {TRUST_MEANS[point.trust]}",
        )
    )


def _panel(canvas: Canvas, name: str, title: str, description: str, *, wide: bool = False) -> Panel:
    return Panel(name=name, title=title, specification=canvas.specification(description), wide=wide)


def _reading(beside: bool) -> str:
    text = (
        "Dashed: the law E + A C⁻ᵇ of ViTs fine-tuned at 384 px, with its 90 % interval over whole runs; filled "
        "squares are its frontier, hollow ones are beaten by a cheaper run. Horizontal bars: what the conversion of "
        "compute leaves open. Every point differs from its neighbours in data, resolution, optimiser or tuning: hover "
        "or tap for its confounds; the command levelfield reference prints all of it."
    )
    if beside:
        text += " Large: this study's winners, on another task: only their place along the axis compares."
    return text
