"""The table of what each earlier cut of the runs would have foretold, and its sum in a sentence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

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
from levelfield.scaling.foretold import Foretold


def foretold_table(found: Sequence[Foretold], *, measure: str = "loss") -> Table:
    """One row a family, cut and budget."""
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
    return Table(
        name="foretold",
        title="What earlier cuts would have foretold",
        note="The runs above each cut are hidden and everything is fitted anew; what came is the mean of a winner's "
        "seeds, or the best cell of a search, whose luck is not taken off.",
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


def foretold_sentence(found: Sequence[Foretold]) -> str:
    """How far off the cuts were, and how often what came lay inside; empty where nothing was foretold."""
    said = [each for each in found if each.error is not None]
    if not said:
        return ""
    off = math.expm1(statistics.median(abs(each.error or 0.0) for each in said))
    inside = sum(bool(each.inside) for each in said)
    return (
        f"Of {len(found)} losses that earlier cuts would have foretold, {len(said)} were said, off by "
        f"{numbers.percent(off)} at the median; {inside} of these lie inside their intervals."
    )
