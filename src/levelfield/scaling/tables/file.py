"""A table of rows, one finished run each, as texts.

It lies in a file (CSV by comma, semicolon or tab, JSON, a JSON object a line, gzipped or not, or Parquet) or in memory
(columns by name, a table of Arrow, or a frame that gives one).
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levelfield.records.errors import InputError
from levelfield.records.files import MAX_RECORD_BYTES, read_regular
from levelfield.scaling.tables.delimited import table_of_delimited
from levelfield.scaling.tables.json_rows import looks_like_json, table_of_json
from levelfield.scaling.tables.text import TextTable, expect_each_once, table_of_values

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"


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
    if content.startswith(_PARQUET):
        return _of_parquet(path, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8 ({error}); save it as CSV in UTF-8") from None
    return table_of_json(path, text) if looks_like_json(text) else table_of_delimited(path, text)


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
        expect_each_once(IN_MEMORY, table.column_names)
        return table_of_values(table.column_names, [column.to_pylist() for column in table.columns])
    if not isinstance(columns, Mapping):
        seen = type(columns).__name__
        raise InputError(f"expected a path, observations, columns by name, an Arrow table or a frame, saw a {seen}")
    names, lengths = [str(name) for name in columns], [len(own) for own in columns.values()]
    if len(set(lengths)) > 1:
        told = ", ".join(f"{name} {length}" for name, length in zip(names, lengths, strict=True))
        raise InputError(f"{IN_MEMORY}: its columns must be equally long, saw {told}")
    expect_each_once(IN_MEMORY, names)
    return table_of_values(names, list(columns.values()))


def _unpacked(path: str | Path, content: bytes) -> bytes:
    """What a gzip file holds, of which no more is unpacked than would be read plain."""
    with gzip.open(io.BytesIO(content)) as file:
        plain = file.read(MAX_RECORD_BYTES + 1)
    if len(plain) > MAX_RECORD_BYTES:
        raise InputError(f"{path}: unpacks to more than {MAX_RECORD_BYTES:,} bytes; keep as many rows in several files")
    return plain


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
    expect_each_once(path, table.column_names)
    return table_of_values(table.column_names, [column.to_pylist() for column in table.columns])
