"""Pictures in tar files that are not compressed: a read at an offset each, by any number of threads at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.data.index import Index
from levelfield.data.manifest import Contents
from levelfield.data.stores.base import IndexedStore
from levelfield.records.files import open_regular

MAX_OPEN_FILES = 256
"""Shards that stay open; of more each read opens its own. Systems allow a process a thousand or so."""


class TarStore(IndexedStore):
    """What an index says lies in the tars at ``paths``."""

    def __init__(
        self, paths: Sequence[str], index: Index, contents: Contents, *, of: str, packed: bool = False
    ) -> None:
        super().__init__(index, contents, of=of)
        self.packed = packed
        self._shards = Shards(paths)

    def read(self, row: int) -> bytes:
        number, offset, length = self.index.shards[row], self.index.offsets[row], self.index.lengths[row]
        return self._shards.read(int(number), int(offset), int(length))

    def name(self, row: int) -> str:
        path = self._shards.path(int(self.index.shards[row]))
        name = self.index.name(row)
        return f"{path} at byte {self.index.offsets[row]}" if name is None else f"{name} in {path}"


class Shards:
    """Files that are read at offsets, opened when first needed and kept open while there are few."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._open: dict[int, int] = {}
        self._lock = threading.Lock()

    def path(self, number: int) -> str:
        """The file of that number.

        Raises:
            OSError: there is none.
        """
        if not 0 <= number < len(self._paths):
            raise OSError(f"there is no shard {number}, of {len(self._paths)}: the index is another's")
        return self._paths[number]

    def read(self, number: int, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``.

        Raises:
            OSError: the file is gone, ends before, or holds no picture of that length.
        """
        path = self.path(number)
        if length > MAX_ENCODED_BYTES:
            raise OSError(f"{path} claims a picture of {length:,} bytes, expected at most {MAX_ENCODED_BYTES:,}")
        with self._lock:
            descriptor = self._open.get(number)
            if descriptor is None and len(self._open) < MAX_OPEN_FILES:
                with open_regular(path) as file:
                    descriptor = self._open[number] = os.dup(file.fileno())
        if descriptor is not None:
            return _whole(path, descriptor, offset, length)
        with open_regular(path) as file:
            return _whole(path, file.fileno(), offset, length)

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


def _whole(path: str, descriptor: int, offset: int, length: int) -> bytes:
    found = os.pread(descriptor, length, offset)
    while len(found) < length:
        part = os.pread(descriptor, length - len(found), offset + len(found))
        if not part:
            raise OSError(f"{path} ends before byte {offset + length:,}")
        found += part
    return found
