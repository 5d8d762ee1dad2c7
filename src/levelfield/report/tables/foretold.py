"""The table of what each earlier cut of the runs would have foretold, and of what was locked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from levelfield.report.facts import LockedPrediction
from levelfield.report.tables.table import (
    Column,
    Table,
    TableCell,
    family_cell,
    number_cell,
    text_cell,
    words_column,
)
from levelfield.report.words import numbers
from levelfield.report.words.foretold import fared
from levelfield.scaling.foretold import Foretold


def foretold_table(
    found: Sequence[Foretold], locked: Sequence[LockedPrediction] = (), *, measure: str = "loss"
) -> Table:
    """One row a family, cut and budget, and one of each prediction that was ``locked`` before its rung ran."""
    rows = tuple(
        (
            family_cell(each.family),
            number_cell(each.cut_flops, numbers.power(each.cut_flops)),
            number_cell(each.budget_flops, numbers.power(each.budget_flops)),
            number_cell(each.budget_flops / each.cut_flops, f"{numbers.plain(each.budget_flops / each.cut_flops)}×"),
            TableCell(text=numbers.loss_interval(each.said), value=each.said.estimate if each.said else ""),
            number_cell(each.came, numbers.loss(each.came)),
            number_cell(each.error, numbers.MISSING if each.error is None else numbers.signed_percent(each.error)),
            text_cell({None: "nothing was said", True: "yes", False: "no"}[each.inside]),
        )
        for each in found
    )
    rows += tuple(
        (
            family_cell(each.family),
            text_cell(f"locked {numbers.minute(each.locked)}"),
            number_cell(each.budget_flops, numbers.power(each.budget_flops)),
            text_cell(numbers.MISSING),
            TableCell(text=numbers.loss_interval(each.predicted), value=each.predicted.estimate),
            number_cell(each.seen, numbers.loss(each.seen)),
            number_cell(None, numbers.MISSING) if each.seen is None else _off(each.predicted.estimate, each.seen),
            text_cell(fared(each, inside="yes", outside="no")),
        )
        for each in locked
    )
    return Table(
        name="foretold",
        title="What earlier cuts would have foretold",
        note="The runs above each cut are hidden and everything is fitted anew; what came is the mean of a winner's "
        "seeds, or the best cell of a search, whose luck is not taken off. What was locked was said before its rung "
        "ran.",
        columns=(
            words_column("Family"),
            Column(title="Fitted up to, FLOPs"),
            Column(title="Foretold at"),
            Column(title="Beyond"),
            Column(title=f"Said, {measure}"),
            Column(title="Came"),
            Column(title="Off by"),
            words_column("Inside"),
        ),
        rows=rows,
        empty="No family has a budget above its first four.",
    )


def _off(said: float, came: float) -> TableCell:
    error = math.log(said / came)
    return number_cell(error, numbers.signed_percent(error))
