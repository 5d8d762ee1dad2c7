"""Columns of numbers of one Parquet file: a number a row, or as many in each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from levelfield.data.stores.parquet_claims import read_claims
from levelfield.data.stores.parquet_file import parquet_schema
from levelfield.records.errors import DataError, did_you_mean, first_line, lacks_memory

Floats64 = NDArray[np.float64]


def read_numbers(path: str | Path, names: Sequence[str]) -> dict[str, Floats64]:
    """What the columns ``names`` of the file at ``path`` hold, [rows, width] each; a width of 1 where a row has one.

    Raises:
        DataError: the file is damaged or claims more than its size allows; a column is missing, holds something else,
            or rows differ in how many numbers they have, or have none.
    """
    schema = parquet_schema(path)
    for name in names:
        if schema.names.count(name) != 1:
            seen = f"{schema.names.count(name)} columns" if name in schema.names else "no column"
            raise DataError(f"{path} has {seen} {name!r}{did_you_mean(name, schema.names)}")
        if numbers_a_row(schema.field(name).type) is None:
            raise DataError(f"column {name!r} of {path} must hold numbers, saw {schema.field(name).type}")
    read_claims(path, names, holds_images=False)
    try:
        table = pq.read_table(path, columns=list(names), use_threads=False)
    except Exception as error:
        if lacks_memory(error):  # which is no fault of the file
            raise
        raise DataError(f"{path} cannot be read: {(first_line(error) or type(error).__name__)[:200]}") from None
    return {name: _rows(table.column(name), f"column {name!r} of {path}") for name in names}


def numbers_a_row(kind: pa.DataType) -> int | None:
    """How many numbers a row of a column of that type has: 0 where the type does not say, None where it holds none."""
    if pa.types.is_fixed_size_list(kind):
        return None if numbers_a_row(kind.value_type) != 1 else kind.list_size
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return None if numbers_a_row(kind.value_type) != 1 else 0
    return 1 if pa.types.is_integer(kind) or pa.types.is_floating(kind) else None


def _rows(column: pa.ChunkedArray, where: str) -> Floats64:
    if column.null_count:
        raise DataError(f"{where} has rows without a value: fill or remove them")
    if numbers_a_row(column.type) == 1 and not pa.types.is_fixed_size_list(column.type):
        return column.cast(pa.float64(), safe=False).to_numpy()[:, None]
    inner: list[Floats64] = []
    for chunk in column.chunks:
        flat = chunk.flatten()
        if len(flat) % max(1, len(chunk)) or _widths(chunk) > {len(flat) // max(1, len(chunk))}:
            raise DataError(f"{where} has rows of {sorted(_widths(chunk))} numbers: expected as many in each")
        if flat.null_count:
            raise DataError(f"{where} has rows without a value: fill or remove them")
        if len(chunk):
            inner.append(flat.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).reshape(len(chunk), -1))
    widths = sorted({each.shape[1] for each in inner})
    if len(widths) > 1:
        raise DataError(f"{where} has rows of {widths} numbers: expected as many in each")
    return np.concatenate(inner) if inner else np.zeros((0, max(1, numbers_a_row(column.type) or 1)))


def _widths(chunk: pa.Array) -> set[int]:
    """How many numbers its rows have."""
    if pa.types.is_fixed_size_list(chunk.type):
        return {chunk.type.list_size}
    return set(np.unique(chunk.value_lengths().to_numpy(zero_copy_only=False)).tolist())
