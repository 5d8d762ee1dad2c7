"""A table as rows of cells, drawn by the page and by the terminal alike."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from levelfield.records.reason import Coded
from levelfield.report.words import numbers
from levelfield.report.words.told import all_told

LONG = 36
"""Characters from which a cell is words, to be broken over lines."""
MOST_SHOWN = 500
"""Rows of a table that a page shows: it is to be opened and searched on any machine."""


@dataclass(frozen=True, kw_only=True)
class TableCell:
    """A text, and what it sorts by; ``family`` asks for that family's mark before the text."""

    text: str
    value: float | str
    family: str | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """``numeric`` columns are set flush right."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """``note`` is one sentence under the title; ``empty`` says why there are no rows."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str = ""
    empty: str = ""

    @property
    def short(self) -> bool:
        """Whether it should stay on one page of paper: few rows of few words."""
        return len(self.rows) <= 6 and all(len(cell.text) <= LONG for row in self.rows for cell in row)

    @property
    def shown(self) -> tuple[tuple[TableCell, ...], ...]:
        """The rows that stand on a page; of a longer table the rest lies in a file beside it."""
        return self.rows[:MOST_SHOWN]

    @property
    def is_long(self) -> bool:
        """Whether a page does not show all of it."""
        return len(self.rows) > MOST_SHOWN

    @property
    def file(self) -> str:
        """Where all rows of a long table lie, seen from the page."""
        return f"tables/{self.name}.csv"

    def csv(self) -> str:
        """The rows as CSV: numbers by their value, whatever else as it is shown."""
        written = io.StringIO()
        told = csv.writer(written, lineterminator="\n")
        told.writerow([column.title for column in self.columns])
        told.writerows(
            [
                [cell.value if column.numeric else cell.text for cell, column in zip(row, self.columns, strict=True)]
                for row in self.rows
            ]
        )
        return written.getvalue()

    def plain(self) -> list[list[str]]:
        """The rows as texts alone, for a terminal."""
        return [[cell.text for cell in row] for row in self.rows]


def words_column(title: str) -> Column:
    return Column(title=title, numeric=False)


def text_cell(text: str) -> TableCell:
    return TableCell(text=text, value=text)


def reasons_cell(*found: Coded | None) -> TableCell:
    """What is there of ``found``, in words."""
    return text_cell(all_told(found))


def number_cell(value: float | None, text: str) -> TableCell:
    return TableCell(text=text, value="" if value is None else value)


def model_cell(family: str, model: str) -> TableCell:
    """A model beside its family's name, which it need not repeat."""
    return TableCell(text=model.removeprefix(f"{family}:"), value=model)


def family_cell(family: str) -> TableCell:
    return TableCell(text=numbers.family_name(family), value=family, family=family)
