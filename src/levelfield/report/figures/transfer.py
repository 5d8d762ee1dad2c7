"""Transfer: the paper's first figure for this study, pre-training against training from scratch, and the two ranks."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.transfer import FINE_TUNED, FROM_SCRATCH, Metric, TransferRow
from levelfield.reference.placed import PlacedPoint, placed_points
from levelfield.report.facts import TransferFact
from levelfield.report.figures import theme
from levelfield.report.figures.axes import Axis, log_axis
from levelfield.report.figures.canvas import Canvas, EndLabel, Mark
from levelfield.report.figures.figure import Figure, Panel
from levelfield.report.words import numbers
from levelfield.scaling.results.analysis import Winner
from levelfield.scaling.transfer import ArmAnalysis, value_of

_EXA = 1e18
_PUBLISHED_SERIES = {"NFNet": "nfnet", "ViT": "vit"}
_WORST_PUBLISHED = 25.0
"""Percent of ImageNet error up to which published results are drawn."""
_READING = (
    "Points: means over fresh seeds; bars: intervals over seeds and held-out images. Faint marks on the right: what is "
    "published, ImageNet error after fine-tuning, so slopes compare and heights do not. Second panel: filled points "
    "were pre-trained and fine-tuned, hollow ones trained from scratch with the same FLOPs in all, bars range over "
    "seeds. Third: each point is one backbone of the search, on the frontier of its rung or off it; darker is dearer."
)


def transfer_figure(transfer: TransferFact, families: tuple[str, ...]) -> Figure:
    """What one target shows; the captions are the statistics' own sentences."""
    title = f"Transfer to {transfer.name}"
    drawn = (
        _against_pretraining(transfer, families),
        _against_scratch(transfer, families),
        _ranks(transfer, families),
    )
    panels = tuple(panel for panel in drawn if panel is not None)
    if not panels:
        return Figure(name=f"transfer-{transfer.name}", title=title, absent="Nothing has been judged on it yet.")
    caption = " ".join(numbers.sentence(sentence) for sentence in transfer.sentences)
    return Figure(name=f"transfer-{transfer.name}", title=title, caption=caption, reading=_READING, panels=panels)


def _shown_arm(transfer: TransferFact) -> ArmAnalysis | None:
    """Fine-tuning where there is any, else the first probe that could be analysed."""
    arms = {arm.arm: arm for arm in transfer.analysis.arms if arm.winners}
    return arms.get(FINE_TUNED) or next(iter(arms.values()), None)


def _against_pretraining(transfer: TransferFact, families: tuple[str, ...]) -> Panel | None:
    """The metric against pre-training FLOPs, both families, published points behind where they are errors too."""
    arm, metric = _shown_arm(transfer), transfer.analysis.metric
    if arm is None:
        return None
    published = _published() if metric == "error" else []
    own = [value for winner in arm.winners for value in _bounds(winner, metric)]
    computes = [winner.budget_flops for winner in arm.winners] + [point.exaflops * _EXA for point in published]
    canvas = Canvas(
        x=log_axis("pre-training compute in FLOPs", computes),
        y=_metric_axis(metric, arm.arm, own + [point.error for point in published]),
        height=340,
    )
    styles = theme.family_styles(families)
    for point in published:
        style = styles.get(_PUBLISHED_SERIES[point.series], theme.FALLBACK)
        size = 40 if point.series == "NFNet" else 20
        canvas.points([_published_mark(point)], color=style.color, shape=style.shape, size=size, opacity=0.35)
    for law in (law for law in arm.laws if law.chosen and law.currency == "flops"):
        scale = _scale(metric)
        curve = [(point.x, point.y * scale) for point in law.curve]
        canvas.line(curve, color=styles[law.family].color, dash=styles[law.family].dash)
    for family, style in styles.items():
        winners = [winner for winner in arm.winners if winner.family == family]
        marks = [_winner_mark(winner, winner.budget_flops, metric, arm.arm) for winner in winners]
        canvas.line([(mark.x, mark.y) for mark in marks], color=style.color, opacity=0.4, width=1.2)
        canvas.points(marks, color=style.color, shape=style.shape)
        if marks:
            canvas.note(marks[-1].x, marks[-1].y, numbers.family_name(family), color=style.text, dx=9)
    return Panel(
        name=f"transfer-{transfer.name}",
        title="Against pre-training compute" + (", published results behind" if published else ""),
        specification=canvas.specification(f"{metric} on {transfer.name} against pre-training compute"),
    )


def _against_scratch(transfer: TransferFact, families: tuple[str, ...]) -> Panel | None:
    """Pre-trained and fine-tuned against trained from scratch, at equal compute in all."""
    metric = transfer.analysis.metric
    judged = [row for row in transfer.rows if not row.ranked and row.arm in (FINE_TUNED, FROM_SCRATCH)]
    judged = [row for row in judged if (value_of(row, metric) or 0) > 0]
    if {row.arm for row in judged} != {FINE_TUNED, FROM_SCRATCH}:
        return None
    scale = _scale(metric)
    canvas = Canvas(
        x=log_axis("compute in all, in FLOPs", [row.allowed_flops for row in judged]),
        y=_metric_axis(metric, "held-out", [scale * (value_of(row, metric) or 0) for row in judged]),
        height=340,
    )
    for family, style in theme.family_styles(families).items():
        for arm, hollow in ((FINE_TUNED, False), (FROM_SCRATCH, True)):
            rows = [row for row in judged if (row.family, row.arm) == (family, arm)]
            means = _means(rows, metric)
            dash = (4, 3) if hollow else ()
            canvas.line([(mark.x, mark.y) for mark in means], color=style.color, dash=dash, width=1.4)
            canvas.points(means, color=style.color, shape=style.shape, hollow=hollow)
            if means:
                glyph, name = (style.hollow_glyph, "scratch") if hollow else (style.glyph, "tuned")
                text = f"{glyph} {numbers.family_name(family)} {name}"
                canvas.end_label(EndLabel(y=means[-1].y, text=text, color=style.text))
    return Panel(
        name=f"transfer-{transfer.name}-worth",
        title="At equal compute in all",
        specification=canvas.specification(f"{metric} on {transfer.name}, pre-trained and from scratch"),
    )


def _ranks(transfer: TransferFact, families: tuple[str, ...]) -> Panel | None:
    """The metric against the loss of pre-training, a point a backbone of the search."""
    arm, metric = _shown_arm(transfer), transfer.analysis.metric
    rows = [row for row in transfer.rows if arm is not None and row.ranked and row.arm == arm.arm]
    rows = [row for row in rows if row.pretrain_loss and (value_of(row, metric) or 0) > 0]
    if arm is None or len(rows) < 3:
        return None
    scale = _scale(metric)
    canvas = Canvas(
        x=log_axis(
            "held-out loss of pre-training, in nats", [row.pretrain_loss or 1 for row in rows], text=numbers.plain
        ),
        y=_metric_axis(metric, arm.arm, [scale * (value_of(row, metric) or 0) for row in rows]),
        height=340,
    )
    budgets = sorted({row.budget_flops for row in rows})
    shade = dict(zip(budgets, theme.shades(len(budgets)), strict=True))
    for family, style in theme.family_styles(families).items():
        for budget in budgets:
            own = [row for row in rows if (row.family, row.budget_flops) == (family, budget)]
            marks = [
                Mark(x=row.pretrain_loss or 1, y=scale * (value_of(row, metric) or 0), text=_row_text(row))
                for row in own
            ]
            canvas.points(marks, color=style.color, shape=style.shape, opacity=shade[budget])
    return Panel(
        name=f"transfer-{transfer.name}-ranks",
        title="Against the loss of pre-training",
        specification=canvas.specification(f"{metric} on {transfer.name} against the loss of pre-training"),
    )


def _published() -> list[PlacedPoint]:
    """NFNets and ViTs fine-tuned on ImageNet, at the compute of their pre-training."""
    return [
        point
        for point in placed_points()
        if point.metric == "fine-tuned" and point.series in _PUBLISHED_SERIES and point.error <= _WORST_PUBLISHED
        if not point.protocol.subset
    ]


def _scale(metric: Metric) -> float:
    """Errors are drawn in percent, losses in nats."""
    return 100.0 if metric == "error" else 1.0


def _metric_axis(metric: Metric, arm: str, values: Sequence[float]) -> Axis:
    unit = {"error": "error in %", "loss": "loss in nats"}.get(metric, metric)
    return log_axis(f"{arm} {unit}", values, text=numbers.plain, room=0.08)


def _bounds(winner: Winner, metric: Metric) -> tuple[float, float, float]:
    """Estimate and interval as drawn; a wild bound does not stretch the axis."""
    scale, middle = _scale(metric), winner.loss.estimate
    low, high = max(winner.loss.low, middle / 1.5), min(winner.loss.high, middle * 1.5)
    return scale * middle, scale * low, scale * high


def _winner_mark(winner: Winner, x: float, metric: Metric, arm: str) -> Mark:
    middle, low, high = _bounds(winner, metric)
    interval = (
        f"{_told(winner.loss.estimate, metric)} [{_told(winner.loss.low, metric)}, {_told(winner.loss.high, metric)}]"
    )
    text = f"{numbers.model_name(winner.family, winner.model)}, {arm}\n{interval}, {winner.num_seeds} seeds"
    return Mark(
        x=x, y=middle, low=low, high=high, text=f"{text}\npre-trained with {numbers.flops(winner.budget_flops)}"
    )


def _means(rows: Sequence[TransferRow], metric: Metric) -> list[Mark]:
    """One mark a rung: the mean over seeds and the range of them."""
    marks = []
    for allowed in sorted({row.allowed_flops for row in rows}):
        own = [row for row in rows if row.allowed_flops == allowed]
        values = [_scale(metric) * (value_of(row, metric) or 0) for row in own]
        mean = sum(values) / len(values)
        text = f"{numbers.model_name(own[0].family, own[0].model)}, {own[0].arm}\n{len(own)} seeds, mean {mean:.3g}"
        marks.append(Mark(x=allowed, y=mean, low=min(values), high=max(values), text=text))
    return marks


def _row_text(row: TransferRow) -> str:
    return (
        f"{numbers.model_name(row.family, row.model)}, {numbers.flops(row.budget_flops)} of pre-training\n"
        f"pre-training loss {numbers.loss(row.pretrain_loss)}, {_told_measured(row)}"
    )


def _told_measured(row: TransferRow) -> str:
    if "error" in row.values:
        return f"top-1 {numbers.percent(1 - row.values['error'])}"
    return ", ".join(f"{name} {numbers.loss(value)}" for name, value in row.values.items())


def _told(value: float, metric: Metric) -> str:
    return numbers.percent(value) if metric == "error" else numbers.loss(value)


def _published_mark(point: PlacedPoint) -> Mark:
    text = f"published: {point.model}, {numbers.plain(point.error)}{numbers.THIN}% ImageNet error"
    return Mark(x=point.exaflops * _EXA, y=point.error, text=f"{text}\n{point.protocol.confounds}\n{point.source}")
