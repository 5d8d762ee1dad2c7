"""Text by comma, semicolon or tab."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from levelfield.records.errors import InputError
from levelfield.scaling.tables.rows import Column
from levelfield.scaling.tables.text import TextTable, expect_each_once, table_of_texts

_DELIMITERS = (",", ";", "\t")
_LARGE = 1 << 20
"""Characters from which on another reader of plain CSV text is worth its loading."""
_BLOCK_BYTES = 1 << 24
_JUDGED_RECORDS = 50


def table_of_delimited(path: str | Path, text: str) -> TextTable:
    """The table of ``text``, which lies at ``path``; a row's place is the line of the file on which it begins.

    Raises:
        InputError: it is no CSV, a column is named twice, or a row is longer than the header.
    """
    body = text.lstrip("\r\n")
    before = _lines(text[: len(text) - len(body)])
    if len(body) >= _LARGE and (table := _of_plain_text(path, body, before)) is not None:
        return table
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=_delimiter(body))
    try:
        names = [name.strip() for name in next(reader, ())]
        expect_each_once(path, names)
        places, rows, begins = [], [], reader.line_num + 1
        for row in reader:
            if row:
                places.append(f"line {before + begins}")
                rows.append(_cells(path, before + begins, names, row))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV text: {error}") from None
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return table_of_texts(names, tuple(columns), places)


def _lines(ends: str) -> int:
    """How many lines end in the line ends ``ends``."""
    return len(re.findall(r"\r\n|\r|\n", ends))


def _of_plain_text(path: str | Path, text: str, before: int) -> TextTable | None:
    """The table of a text without quotes whose every line has as many cells as the header, or None where it is another.

    What csv makes of quotes, of short, long and empty lines, and of what is no text, csv decides. ``before`` lines
    stand before the text.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    delimiter, (header, _, body) = _delimiter(text), text.partition("\n")
    names, body = [name.strip() for name in header.rstrip("\r").split(delimiter)], body.rstrip("\r\n")
    lone = text.count("\r") != text.count("\r\n")
    if '"' in text or "\0" in text or lone or len(names) < 2 or not body or re.search(r"(^|\n)\r?\n", body):
        return None
    expect_each_once(path, names)
    numbers = [str(place) for place in range(len(names))]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body.encode()),
            read_options=arrow_csv.ReadOptions(column_names=numbers, use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    columns = tuple(_plain_column(column.combine_chunks()) for column in table.columns)
    if any(len(value) > csv.field_size_limit() for column in columns for value in column.values):
        return None
    if np.all([column.where(lambda cell: not cell) for column in columns], axis=0).any():
        return None  # a row of empty cells alone
    places = tuple(f"line {before + line}" for line in range(2, table.num_rows + 2))
    return TextTable(tuple(names), places, columns)


def _plain_column(column: Any) -> Column:
    told = column.dictionary_encode()
    return Column.merged(
        told.indices.to_numpy().astype(np.intp), [cell.strip() for cell in told.dictionary.to_pylist()]
    )


def _delimiter(text: str) -> str:
    """The mark that cuts most of the first records into as many cells as the header has columns.

    Of those that do so alike it is the one that makes most columns: a comma inside a column's name, or inside a cell,
    is no delimiter of a table by semicolon or tab.
    """

    def fit(mark: str) -> tuple[bool, float, int]:
        records = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        try:
            first = [record for record in itertools.islice(records, _JUDGED_RECORDS + 1) if record]
        except csv.Error:
            return False, 0.0, 0
        if not first:
            return False, 0.0, 0
        header, rows = first[0], first[1:]
        alike = sum(len(row) == len(header) for row in rows)
        return len(header) > 1, alike / len(rows) if rows else 0.0, len(header)

    return max(_DELIMITERS, key=fit)


def _cells(path: str | Path, number: int, names: Sequence[str], row: Sequence[str]) -> tuple[str, ...]:
    cells = tuple(map(str.strip, row))
    if len(cells) == len(names):
        return cells
    if any(cells[len(names) :]):
        raise InputError(
            f"{path}, line {number}: has {len(cells)} cells where the header names {len(names)} columns; put a cell "
            "that holds a comma in quotes"
        )
    return (*cells, *[""] * (len(names) - len(cells)))[: len(names)]
