"""Pictures that are files: each is opened when it is read."""

from __future__ import annotations

import os

from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.data.index import Index
from levelfield.data.manifest import Contents
from levelfield.data.stores.base import IndexedStore
from levelfield.records.files import read_regular


class FilesStore(IndexedStore):
    """The files below ``root`` that an index names."""

    def __init__(self, root: str, index: Index, contents: Contents) -> None:
        super().__init__(index, contents, of=root)
        self._root = root

    def read(self, row: int) -> bytes:
        return read_regular(self.name(row), at_most=MAX_ENCODED_BYTES)

    def name(self, row: int) -> str:
        return os.path.join(self._root, self.index.name(row) or "")
