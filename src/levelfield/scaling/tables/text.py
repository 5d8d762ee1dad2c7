"""A table as texts: the columns as they stand in a file or in memory, and where each row is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from levelfield.records.errors import InputError
from levelfield.scaling.tables.rows import Column, Places


class Line(NamedTuple):
    """A row's cells by column, stripped, empty where absent; ``place`` is where a reader finds it ("line 3")."""

    place: str
    cells: dict[str, str]


class TextTable(NamedTuple):
    """The columns of a table in their order, and where each row is found."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The rows by the names of their columns."""
        rows = zip(*(column.cells for column in self.columns), strict=True)
        named = (dict(zip(self.names, row, strict=True)) for row in rows)
        return tuple(map(Line, self.places, named))

    def column(self, name: str) -> Column:
        """The cells of one column."""
        return self.columns[self.names.index(name)]

    def at(self, rows: Places) -> TextTable:
        """Some of the rows."""
        places = tuple(map(self.places.__getitem__, rows.tolist()))
        return TextTable(self.names, places, tuple(column.at(rows).trimmed for column in self.columns))


def table_of_texts(names: Sequence[str], columns: Sequence[Sequence[str]], places: Sequence[str]) -> TextTable:
    """The table of equally long ``columns`` of texts, without the rows in which every cell is empty."""
    found = tuple(map(Column.of, columns))
    table = TextTable(tuple(names), tuple(places), found)
    empty = [column.where(lambda cell: not cell) for column in found]
    blank = np.all(empty, axis=0) if empty else np.zeros(0, dtype=bool)
    return table.at(np.flatnonzero(~blank)) if blank.any() else table


def table_of_values(names: Sequence[str], columns: Sequence[Iterable[object]]) -> TextTable:
    """The same of values of any kind, row by row from 1."""
    texts = [list(map(text_of, column)) for column in columns]
    num_rows = len(texts[0]) if texts else 0
    return table_of_texts(names, texts, [f"row {place}" for place in range(1, num_rows + 1)])


def text_of(value: object) -> str:
    """A value as a cell; what is missing is empty, as pandas writes it not-a-number."""
    absent = value is None or value != value
    return "" if absent else str(value).strip()


def expect_each_once(path: str | Path, names: Sequence[str]) -> None:
    """Refuse a header that names a column twice.

    Raises:
        InputError: it does.
    """
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    if twice:
        raise InputError(f"{path}: the header names column {twice[0]!r} twice; rename one of them")
