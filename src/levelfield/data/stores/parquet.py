"""Pictures in a column of Parquet files, by file and row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from levelfield.data.index import Index
from levelfield.data.manifest import Contents
from levelfield.data.stores.base import IndexedStore
from levelfield.data.stores.parquet_file import Columns, ParquetFile
from levelfield.data.stores.row_groups import RowGroups


class ParquetStore(IndexedStore):
    """The first image column of ``columns`` in the files at ``paths``, which are opened when they are first read."""

    def __init__(self, paths: Sequence[str], columns: Columns, index: Index, contents: Contents, *, of: str) -> None:
        super().__init__(index, contents, of=of)
        self._paths = paths
        self._groups = RowGroups([partial(ParquetFile, path, columns) for path in paths], columns.images[0])

    def read(self, row: int) -> bytes:
        return self._groups.read(self._shard(row), int(self.index.offsets[row]))

    def name(self, row: int) -> str:
        return f"{self._paths[self._shard(row)]} row {self.index.offsets[row]}"

    def _shard(self, row: int) -> int:
        return int(self.index.shards[row])
