"""A table of rows, one finished run each, as texts.

It lies in a file (CSV by comma, semicolon or tab, gzipped or not, or Parquet) or in memory (columns by name, a table of
Arrow, or a frame that gives one).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from levelfield.records.errors import InputError
from levelfield.records.files import MAX_RECORD_BYTES, read_regular
from levelfield.scaling.tables.rows import Column, Places

_DELIMITERS = (",", ";", "\t")
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_LARGE = 1 << 20
"""Characters from which on another reader of plain CSV text is worth its loading."""
_BLOCK_BYTES = 1 << 24


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

    def line(self, row: int) -> Line:
        cells = (column.values[column.codes[row]] for column in self.columns)
        return Line(self.places[row], dict(zip(self.names, cells, strict=True)))

    def column(self, name: str) -> Column:
        """The cells of one column."""
        return self.columns[self.names.index(name)]

    def at(self, rows: Places) -> TextTable:
        """Some of the rows."""
        places = tuple(map(self.places.__getitem__, rows.tolist()))
        return TextTable(self.names, places, tuple(column.at(rows) for column in self.columns))


def read_table_file(path: str | Path) -> TextTable:
    """The table at ``path``; what it is is told by its first bytes, not by its name.

    Raises:
        InputError: no such file, neither text in UTF-8 nor Parquet, a column named twice, or a row longer than the
            header.
    """
    try:
        content = read_regular(path)
        if content.startswith(_GZIP):
            content = _unpacked(path, content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: is a damaged gzip file: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return _of_parquet(path, content) if content.startswith(_PARQUET) else _of_text(path, content)


IN_MEMORY = "the table"
"""What a complaint calls a table that lies in no file."""


def table_of_columns(columns: Any) -> TextTable:
    """The table of a mapping of names to equally long columns, or of whatever gives a stream of Arrow.

    So do tables of Arrow and frames of pandas and Polars (the Arrow PyCapsule interface).

    Raises:
        InputError: it is neither, a column is named twice, or the columns are of different lengths.
    """
    if hasattr(columns, "__arrow_c_stream__"):
        import pyarrow as pa

        table = pa.table(columns)
        _expect_each_once(IN_MEMORY, table.column_names)
        return _of_columns(table.column_names, [column.to_pylist() for column in table.columns])
    if not isinstance(columns, Mapping):
        seen = type(columns).__name__
        raise InputError(f"expected a path, observations, columns by name, an Arrow table or a frame, saw a {seen}")
    names, lengths = [str(name) for name in columns], [len(own) for own in columns.values()]
    if len(set(lengths)) > 1:
        told = ", ".join(f"{name} {length}" for name, length in zip(names, lengths, strict=True))
        raise InputError(f"{IN_MEMORY}: its columns must be equally long, saw {told}")
    _expect_each_once(IN_MEMORY, names)
    return _of_columns(names, list(columns.values()))


def _of_columns(names: Sequence[str], columns: Sequence[Iterable[Any]]) -> TextTable:
    found = tuple(Column.of(list(map(_text, column))) for column in columns)
    num_rows = len(found[0].codes) if found else 0
    return TextTable(tuple(names), tuple(f"row {place}" for place in range(1, num_rows + 1)), found)


def _unpacked(path: str | Path, content: bytes) -> bytes:
    """What a gzip file holds, of which no more is unpacked than would be read plain."""
    with gzip.open(io.BytesIO(content)) as file:
        plain = file.read(MAX_RECORD_BYTES + 1)
    if len(plain) > MAX_RECORD_BYTES:
        raise InputError(f"{path}: unpacks to more than {MAX_RECORD_BYTES:,} bytes; keep as many rows in several files")
    return plain


def _of_text(path: str | Path, content: bytes) -> TextTable:
    try:
        text = content.decode("utf-8-sig")
        text = text.lstrip("\r\n")
        if len(text) >= _LARGE and (table := _of_plain_text(path, text)) is not None:
            return table
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        names = [name.strip() for name in next(reader, ())]
        _expect_each_once(path, names)
        found = [(f"line {reader.line_num}", _cells(path, reader.line_num, names, row)) for row in reader if row]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8 ({error}); save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV text: {error}") from None
    places, rows = zip(*found, strict=True) if found else ((), ())
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return TextTable(tuple(names), places, tuple(map(Column.of, columns)))


def _of_plain_text(path: str | Path, text: str) -> TextTable | None:
    """The table of a text without quotes whose every line has as many cells as the header, or None where it is another.

    What csv makes of quotes, of short, long and empty lines, and of what is no text, csv decides.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    delimiter, (header, _, body) = _delimiter(text), text.partition("\n")
    names, body = [name.strip() for name in header.rstrip("\r").split(delimiter)], body.rstrip("\r\n")
    lone = text.count("\r") != text.count("\r\n")
    if '"' in text or "\0" in text or lone or len(names) < 2 or not body or re.search(r"(^|\n)\r?\n", body):
        return None
    _expect_each_once(path, names)
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
    places = tuple(f"line {line}" for line in range(2, table.num_rows + 2))
    return TextTable(tuple(names), places, columns)


def _plain_column(column: Any) -> Column:
    told = column.dictionary_encode()
    return Column.merged(
        told.indices.to_numpy().astype(np.intp), [cell.strip() for cell in told.dictionary.to_pylist()]
    )


def _delimiter(text: str) -> str:
    """Comma, semicolon or tab: whichever makes most columns of the header, not what its names or later cells hold."""
    header = re.split("[\r\n]", text, maxsplit=1)[0]
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([header], delimiter=mark), ())))


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


def _of_parquet(path: str | Path, content: bytes) -> TextTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        if file.metadata.num_rows > len(content):
            raise InputError(
                f"{path}: has {len(content):,} bytes and claims {file.metadata.num_rows:,} rows: no two runs are so "
                "alike; keep a row a run"
            )
        table = file.read()
    except (pa.ArrowException, OSError) as error:  # OSError: what its Thrift or its checksums say
        raise InputError(f"{path}: is a damaged Parquet file: {error}") from None
    _expect_each_once(path, table.column_names)
    return _of_columns(table.column_names, [column.to_pylist() for column in table.columns])


def _text(value: object) -> str:
    absent = value is None or value != value  # pandas writes a missing number as not-a-number
    return "" if absent else str(value).strip()


def _expect_each_once(path: str | Path, names: Sequence[str]) -> None:
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    if twice:
        raise InputError(f"{path}: the header names column {twice[0]!r} twice; rename one of them")
