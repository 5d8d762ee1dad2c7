"""The published evidence as tables: the laws, the difference at equal compute, the confounds, the points."""

from __future__ import annotations

import math
from collections.abc import Iterable

from levelfield.reference.confounds import Sensitivity
from levelfield.reference.equal_compute import EqualCompute
from levelfield.reference.evidence import PublishedEvidence, RangeCheck
from levelfield.reference.laws import PublishedLaw
from levelfield.reference.placed import PlacedPoint
from levelfield.report.tables.table import Column, Table, number_cell, text_cell, words_column
from levelfield.report.words import numbers
from levelfield.report.words.told import all_told


def published_tables(evidence: PublishedEvidence, *, points: bool = False) -> tuple[Table, ...]:
    """The tables of the evidence; ``points`` adds every result with its confounds."""
    found = (
        laws_table(evidence.laws),
        ranges_table(evidence.ranges),
        equal_table(evidence.equal),
        confounds_table(evidence.sensitivities),
    )
    return (*found, points_table(evidence.points)) if points else found


def laws_table(laws: Iterable[PublishedLaw]) -> Table:
    """What was fitted to which points, and what was refused."""
    rows = []
    for law in laws:
        dropped = len(law.rows) - len(law.kept)
        rows.append(
            (
                text_cell(law.title),
                text_cell(f"{len(law.kept)} of {len(law.rows)}"),
                number_cell(len(law.runs), str(len(law.runs))),
                text_cell(_parameter(law, "b")),
                text_cell(_parameter(law, "E")),
                text_cell(", ".join(f"{form} {numbers.percent(value)}" for form, value in law.scatter.items())),
                text_cell(all_told((law.refused or law.no_interval,)) or _dropped(law, dropped)),
            )
        )
    return Table(
        name="published-laws",
        title="Laws of ImageNet error (%) against compute (exaFLOPs), 90 % over whole runs",
        columns=(
            words_column("Law"),
            words_column("Points"),
            Column(title="Runs"),
            words_column("Exponent b"),
            words_column("Floor E"),
            words_column("Scatter of ln error"),
            words_column("Dropped or refused"),
        ),
        rows=tuple(rows),
    )


def ranges_table(ranges: Iterable[RangeCheck]) -> Table:
    """What hangs on the cheapest points of the ViTs' law."""
    return Table(
        name="published-ranges",
        title="The ViTs' law without its cheapest points",
        columns=(
            Column(title="From exaFLOPs"),
            Column(title="Points"),
            Column(title="Runs"),
            words_column("Exponent b"),
            words_column("Floor E"),
            words_column("Mean difference of NFNets"),
        ),
        rows=tuple(
            (
                number_cell(each.cheapest, numbers.plain(each.cheapest)),
                number_cell(each.num_points, str(each.num_points)),
                number_cell(each.num_runs, str(each.num_runs)),
                text_cell(numbers.number_interval(each.exponent)),
                text_cell(numbers.number_interval(each.floor)),
                text_cell(numbers.ratio_interval(each.mean)),
            )
            for each in ranges
        ),
    )


def equal_table(equal: EqualCompute) -> Table:
    """Every NFNet run against the ViTs' law, and their mean."""
    rows = [
        (
            text_cell(each.model),
            number_cell(each.exaflops, f"{each.exaflops:,.0f}"),
            number_cell(each.error, numbers.plain(each.error)),
            number_cell(each.law_error, numbers.plain(each.law_error)),
            text_cell(numbers.ratio_interval(each.log_ratio)),
            text_cell(numbers.ratio_interval(each.by_hours)),
            text_cell(each.verdict),
        )
        for each in equal.differences
    ]
    overall = (
        text_cell("mean"),
        text_cell(""),
        text_cell(""),
        text_cell(""),
        text_cell(numbers.ratio_interval(equal.mean)),
        text_cell(numbers.ratio_interval(equal.mean_by_hours)),
        text_cell(equal.verdict),
    )
    return Table(
        name="published-equal",
        title="NFNet against the ViTs' law at equal compute, recipes included (90 %, simultaneous)",
        columns=(
            words_column("NFNet"),
            Column(title="exaFLOPs"),
            Column(title="Error %"),
            Column(title="Law %"),
            words_column("Difference of error"),
            words_column("By device-hours"),
            words_column("Verdict"),
        ),
        rows=(*rows, overall),
    )


def confounds_table(sensitivities: Iterable[Sensitivity]) -> Table:
    """What one confound moved where it was varied alone."""
    return Table(
        name="published-confounds",
        title="What one confound moves, varied alone inside one family",
        columns=(
            words_column("Changed"),
            words_column("On"),
            Column(title="Error % before"),
            Column(title="After"),
            Column(title="Change"),
            words_column("Source"),
        ),
        rows=tuple(
            (
                text_cell(each.what),
                text_cell(each.where),
                number_cell(each.before, numbers.plain(each.before, 4)),
                number_cell(each.after, numbers.plain(each.after, 4)),
                number_cell(each.effect, numbers.signed_percent(each.effect)),
                text_cell(each.source),
            )
            for each in sensitivities
        ),
    )


def points_table(points: Iterable[PlacedPoint]) -> Table:
    """Every result in the common currency with its confounds."""
    return Table(
        name="published-points",
        title="Every published result that has a place, with its confounds",
        columns=(
            words_column("Family"),
            words_column("Model"),
            words_column("Measured"),
            Column(title="exaFLOPs"),
            words_column("What is open"),
            words_column("Known by"),
            Column(title="Error %"),
            words_column("Confounds"),
            words_column("Trust"),
            words_column("Source"),
        ),
        rows=tuple(
            (
                text_cell(point.series),
                text_cell(point.model),
                text_cell(point.metric),
                number_cell(point.exaflops, f"{point.exaflops:,.4g}"),
                text_cell(_open(point)),
                text_cell(f"{point.compute.basis}: {point.compute.how}"),
                number_cell(point.error, numbers.plain(point.error, 4)),
                text_cell(point.protocol.confounds),
                text_cell(point.trust),
                text_cell(point.source),
            )
            for point in points
        ),
    )


def _parameter(law: PublishedLaw, name: str) -> str:
    if name in law.intervals:
        return numbers.number_interval(law.intervals[name])
    return numbers.plain(law.parameters[name]) if name in law.parameters else numbers.MISSING


def _dropped(law: PublishedLaw, dropped: int) -> str:
    reasons = sorted({row.dropped for row in law.rows if row.dropped})
    return f"{dropped} dropped: {'; '.join(reasons)}" if dropped else ""


def _open(point: PlacedPoint) -> str:
    low, high = point.compute.low, point.compute.high
    if math.isclose(low, high):
        return numbers.MISSING
    return f"{low:,.4g} to {high:,.4g}"
