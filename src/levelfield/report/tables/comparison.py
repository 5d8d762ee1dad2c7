"""The tables beside the verdicts: trend, gain and crossover, what is confounded, and the luck of searches."""

from __future__ import annotations

import math

from levelfield.records.reason import Reason
from levelfield.report.figures.loss import CURRENCY_TITLES
from levelfield.report.tables.table import (
    Column,
    Table,
    TableCell,
    family_cell,
    number_cell,
    reasons_cell,
    text_cell,
    words_column,
)
from levelfield.report.words import numbers
from levelfield.report.words.beside import crossover_text, gain_text
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.verdicts import Comparison


def trends_table(analysis: Analysis) -> Table:
    """Offset and slope, compute-equivalent gain and crossover of every comparison, a row each."""
    return Table(
        name="trends",
        title="The difference over the overlap",
        note="What is told beside the verdicts, on the compute that both families cover and nowhere else: the straight "
        "trend of the difference (analysis of covariance), the gain (how many times as much compute the second family "
        "needs to reach the same loss) and the crossover. Each interval is at its own level; none decides a verdict.",
        columns=(
            words_column("Families"),
            words_column("Currency"),
            words_column("What"),
            Column(title="Value"),
            words_column("Remarks"),
        ),
        rows=tuple(row for comparison in analysis.comparisons for row in _trend_rows(comparison)),
        empty="Nothing was compared: see the refusals.",
    )


def confounds_table(analysis: Analysis) -> Table:
    """What differs between the families beside their architecture."""
    rows = {
        (comparison.a, comparison.b, confound.name): (
            text_cell(pair_name(comparison)),
            text_cell(confound.name),
            text_cell(confound.a_values),
            text_cell(confound.b_values),
            reasons_cell(confound.why),
        )
        for comparison in analysis.comparisons
        for confound in comparison.confounds
    }
    return Table(
        name="confounds",
        title="What else differs between the families",
        note="A verdict is about the family together with all of this; only an experiment that varies it apart (the "
        "optimiser swap does) can tell which of them it was.",
        columns=tuple(words_column(title) for title in ("Families", "What", "First", "Second", "Why it matters")),
        rows=tuple(rows.values()),
        empty="Nothing that is recorded of the runs differs between the families.",
    )


def optimism_table(analysis: Analysis) -> Table:
    """The luck of the best of each search, where no fresh seeds measured it."""
    rows = tuple(
        (
            family_cell(found.family),
            number_cell(found.budget_flops, numbers.power(found.budget_flops)),
            number_cell(found.num_tried, str(found.num_tried)),
            number_cell(found.loss, numbers.loss(found.loss)),
            number_cell(found.optimism, numbers.percent(found.optimism)),
            number_cell(found.corrected.estimate if found.corrected else None, numbers.loss_interval(found.corrected)),
            reasons_cell(found.status),
        )
        for found in analysis.optimism
    )
    return Table(
        name="optimism",
        title="The luck of the best",
        note="The best of a search owes some of its loss to chance; fresh seeds would not repeat it.",
        columns=(
            words_column("Family"),
            *(Column(title=title) for title in ("FLOPs", "Tried", "Best loss", "Luck", "Corrected loss")),
            words_column("Remarks"),
        ),
        rows=rows,
        empty="Every winner was measured on fresh seeds.",
    )


def pair_name(comparison: Comparison) -> str:
    return f"{numbers.family_name(comparison.a)} against {numbers.family_name(comparison.b)}"


def _trend_rows(comparison: Comparison) -> tuple[tuple[TableCell, ...], ...]:
    curve, ancova, gain, crossover = comparison.curve, comparison.ancova, comparison.gain, comparison.crossover
    if len({part.status for part in (curve, ancova, gain, crossover)}) == 1:  # absent for one reason
        return (_trend_row(comparison, "none of it", numbers.MISSING, None, *curve.status),)
    offset, slope, ratio, place = ancova.offset, ancova.slope, gain.log_ratio, crossover.place
    middle = "" if ancova.middle is None else f" at {numbers.currency(ancova.middle, comparison.currency)}"
    at_loss = "" if gain.loss is None else f" at a loss of {numbers.loss(gain.loss)}"
    chance = numbers.percent(crossover.probability_of_none, 0)
    told = (
        (f"offset of loss{middle}", numbers.ratio_interval(offset), offset, ancova.status),
        ("added by 10× the compute", _per_decade(slope), slope, ()),
        (f"compute-equivalent gain{at_loss}", gain_text(ratio), ratio, gain.status),
        ("crossover", crossover_text(comparison), place, crossover.status),
        ("chance that there is none", chance, None, ()),
        ("difference between the rungs", "drawn" if curve.points else numbers.MISSING, None, curve.status),
    )
    return tuple(_trend_row(comparison, what, text, value, *why) for what, text, value, why in told)


def _trend_row(
    comparison: Comparison, what: str, text: str, interval: Interval | None, *remarks: Reason
) -> tuple[TableCell, ...]:
    return (
        text_cell(pair_name(comparison)),
        text_cell(CURRENCY_TITLES[comparison.currency]),
        text_cell(what),
        TableCell(text=text, value=interval.estimate if interval else ""),
        reasons_cell(*remarks),
    )


def _per_decade(slope: Interval | None) -> str:
    if slope is None:
        return numbers.MISSING
    decade = math.log(10)
    scaled = (slope.estimate * decade, slope.low * decade, slope.high * decade)
    return numbers.ratio_interval(Interval(estimate=scaled[0], low=scaled[1], high=scaled[2], level=slope.level))
