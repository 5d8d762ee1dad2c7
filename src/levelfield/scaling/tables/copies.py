"""Rows that are copies of others: one run, exported twice."""

from __future__ import annotations

import re

import numpy as np

from levelfield.scaling.tables.rows import combined
from levelfield.scaling.tables.text import TextTable

_INDEX = re.compile(r"|unnamed: ?\d+|index|row|__index_level_\d+__|level_0", re.IGNORECASE)
"""Names that programs give to the numbers of rows."""


def without_copies(table: TextTable) -> tuple[TextTable, tuple[str, ...]]:
    """The rows without exact copies of others, an index of rows aside, and a notice of these.

    A run that was exported twice is no second seed: its copy would say that runs do not scatter.
    """
    told = [column for name, column in zip(table.names, table.columns, strict=True) if not _INDEX.fullmatch(name)]
    if not told:
        return table, ()
    codes, first = combined(told)
    if len(first) == len(codes):
        return table, ()
    copies = np.setdiff1d(np.arange(len(codes)), first)
    shown, of = int(copies[0]), int(first[codes[copies[0]]])
    return table.at(first), (
        f"{len(copies)} of {len(codes)} rows are copies of others in every column, and count once: the same run twice "
        f"is no second seed; the first is {table.places[shown]}, a copy of {table.places[of]}",
    )
