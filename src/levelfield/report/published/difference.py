"""NFNet against ViT at equal compute, as published, with everything that the interval holds."""

from __future__ import annotations

from levelfield.reference.equal_compute import Difference, EqualCompute
from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis, percent_axis
from levelfield.report.figures.canvas import Canvas, Mark
from levelfield.report.figures.figure import Panel
from levelfield.report.figures.labels import Label, write_labels
from levelfield.report.words import numbers

_DECIDED = ("better", "worse", "equivalent")


def difference_panel(equal: EqualCompute, *, width: int, height: int) -> Panel:
    """Every NFNet run against the ViTs' law at its compute, the line between the runs, and the margin."""
    bounds = [bound for each in equal.differences for bound in (each.log_ratio.low, each.log_ratio.high)]
    canvas = Canvas(
        x=log_axis(
            "pre-training compute in exaFLOPs (10¹⁸)",
            [each.exaflops for each in equal.differences],
            text="{:,g}".format,
            room=0.2,
        ),
        y=percent_axis("error relative to the ViTs' law in %", [*bounds, -equal.margin, equal.margin], room=0.14),
        width=width,
        height=height,
    )
    styles = theme.family_styles(("nfnet", "vit"))
    canvas.strip(-equal.margin, equal.margin)
    canvas.level(0.0)
    canvas.band(equal.curve, color=styles["nfnet"].color)
    canvas.line([(p.x, p.y) for p in equal.curve], color=styles["nfnet"].color, dash=(1, 3), width=1.4)
    for hollow in (False, True):
        marks = [_mark(each) for each in equal.differences if (each.verdict not in _DECIDED) == hollow]
        canvas.points(marks, color=styles["nfnet"].color, shape=styles["nfnet"].shape, hollow=hollow, size=80)
    labels = [
        Label(x=d.exaflops, y=d.log_ratio.estimate, text=d.model.removeprefix("NFNet-"), color=styles["nfnet"].text)
        for d in equal.differences
    ]
    write_labels(canvas, labels, others=[(point.x, point.y) for point in equal.curve])
    canvas.note(canvas.x.high, canvas.y.high, "↑ ViT better", color=styles["vit"].text, align="right", dy=7)
    canvas.note(canvas.x.high, canvas.y.low, "↓ NFNet better", color=styles["nfnet"].text, align="right", dy=-7)
    description = "Error of published NFNets relative to the ViTs' law at equal compute"
    return Panel(
        name="published-difference",
        title="At equal compute, recipes included",
        specification=canvas.specification(description),
    )


def _mark(each: Difference) -> Mark:
    interval = each.log_ratio
    lines = [
        f"{each.model} at {each.exaflops:,.0f} exaFLOPs: {each.verdict}",
        f"{numbers.plain(each.error)}{numbers.THIN}% error, the law {numbers.plain(each.law_error)}{numbers.THIN}%",
        numbers.ratio_interval(interval),
        *each.reasons,
        f"differs from the ViTs in {', '.join(each.confounds)}",
    ]
    return Mark(x=each.exaflops, y=interval.estimate, low=interval.low, high=interval.high, text="\n".join(lines))
