"""Pictures in a column of Arrow files, as Hugging Face's datasets keep them on a disk: mapped, by file and row."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from levelfield.data.arrow_messages import refuse_compressed
from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.data.index import Index
from levelfield.data.manifest import Contents
from levelfield.data.stores.base import IndexedStore
from levelfield.records.errors import DataError, first_line
from levelfield.records.files import FileRefusedError, regular_stat


class ArrowStore(IndexedStore):
    """The images of ``column`` in the Arrow files at ``paths``."""

    def __init__(self, paths: Sequence[str], column: str, index: Index, contents: Contents, *, of: str) -> None:
        super().__init__(index, contents, of=of)
        self._paths, self._column = paths, column
        self._open: dict[int, tuple[pa.ChunkedArray, np.ndarray]] = {}
        self._lock = threading.Lock()

    def read(self, row: int) -> bytes:
        number, place = int(self.index.shards[row]), int(self.index.offsets[row])
        with self._lock:
            if number not in self._open:
                column = encoded_in(mapped_table(self._paths[number]).column(self._column))
                self._open[number] = column, np.cumsum([0, *map(len, column.chunks)])
            column, firsts = self._open[number]
        if not 0 <= place < firsts[-1]:
            raise DataError(f"{self._paths[number]} has {firsts[-1]} rows, and row {place} was listed: run again")
        chunk = int(np.searchsorted(firsts, place, side="right")) - 1
        found = column.chunk(chunk)[place - int(firsts[chunk])]
        length = found.as_buffer().size if found.is_valid else 0
        if not found.is_valid or length > MAX_ENCODED_BYTES:
            raise DataError(f"{self.name(row)} has no {self._column} of at most {MAX_ENCODED_BYTES:,} bytes")
        return found.as_py()

    def name(self, row: int) -> str:
        return f"{self._paths[int(self.index.shards[row])]} row {self.index.offsets[row]}"


def mapped_table(path: str) -> pa.Table:
    """The table in the Arrow file or stream at ``path``, mapped.

    Raises:
        DataError: it is missing, neither, or damaged.
    """
    try:
        regular_stat(path)
        with pa.memory_map(path) as file:
            in_a_file = refuse_compressed(file, path)
            table = (pa.ipc.open_file(file) if in_a_file else pa.ipc.open_stream(file)).read_all()
        table.validate(full=True)
        return table
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    except (pa.ArrowException, OSError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise DataError(f"{path} cannot be read as Arrow: {first_line(error)[:200]}") from None


def encoded_in(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of encoded images as bytes: itself, or the part that Hugging Face's Image keeps them in."""
    if not isinstance(column.type, pa.StructType):
        return column
    place = column.type.get_field_index("bytes")
    return pa.chunked_array([chunk.flatten()[place] for chunk in column.chunks], column.type.field(place).type)
