"""Pictures with texts: a store, and an index of what is said of each of its rows."""

from __future__ import annotations

from levelfield.data.draws import Int64s
from levelfield.data.index import Index
from levelfield.data.manifest import Contents
from levelfield.data.stores.base import IndexedStore
from levelfield.data.texts import texts_in


class TextedStore:
    """``pictures`` by row and what is said of each, in canonical order (:func:`levelfield.data.canonical.said_order`).

    ``contents`` are of the pictures with their texts. Any number of threads may read.
    """

    def __init__(self, pictures: IndexedStore, texts: Index, contents: Contents) -> None:
        self.pictures, self._texts, self.contents = pictures, texts, contents

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def indices(self) -> tuple[Index, Index]:
        """Of the pictures, and of what is said of them."""
        return self.pictures.index, self._texts

    @property
    def is_labelled(self) -> bool:
        """Whether something tells classes apart."""
        return len(self.contents.used) > 1

    def num_texts(self) -> Int64s:
        """How many texts each picture has: int64 [N]."""
        return self._texts.lengths.astype("int64")

    def texts(self, row: int) -> tuple[str, ...]:
        """What is said of a picture, in an order that no file decides."""
        return texts_in(self._texts.name(row) or "[]")
