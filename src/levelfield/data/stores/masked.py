"""Pictures with a mask each: two stores whose rows are of one another."""

from __future__ import annotations

from levelfield.data.draws import Int64s
from levelfield.data.manifest import Contents, MaskFacts
from levelfield.data.stores.base import IndexedStore, read_listed


class MaskedStore:
    """``pictures`` and their ``masks`` by row, in canonical order (:func:`levelfield.data.canonical.paired_order`).

    ``facts`` say what masks mean. Any number of threads may read.
    """

    def __init__(self, pictures: IndexedStore, masks: IndexedStore, facts: MaskFacts) -> None:
        self.pictures, self.masks, self.facts = pictures, masks, facts

    def __len__(self) -> int:
        return len(self.pictures.index)

    @property
    def contents(self) -> Contents:
        return self.pictures.contents

    @property
    def frames(self) -> tuple[str, ...] | None:
        """The name of every picture in its film; None where nothing is known of any."""
        if not self.facts.framed:
            return None
        return tuple(self.pictures.index.name(row) or "" for row in range(len(self)))

    def read(self, row: int) -> tuple[bytes, bytes]:
        """The encoded picture and its mask, which must be those that were listed.

        Raises:
            DataError: one is another by now.
            OSError: one is gone.
        """
        return read_listed(self.pictures, row), read_listed(self.masks, row)

    @property
    def far(self) -> bool:
        """Whether reading ahead is worth it."""
        return self.pictures.far

    def expect(self, rows: Int64s) -> None:
        """A hint that ``rows`` are read next, in that order."""
        self.pictures.expect(rows)
        self.masks.expect(rows)

    def name(self, row: int) -> str:
        """What to call the pair in a message."""
        return self.pictures.name(row)
