"""What every store of encoded pictures is to whoever reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from levelfield.data.canonical import canonical_order, content_fingerprint, digest_of
from levelfield.data.classes import Classes
from levelfield.data.draws import Int64s
from levelfield.data.index import Index
from levelfield.data.kept_digests import forget_digests
from levelfield.data.manifest import Contents
from levelfield.records.errors import DataError


class Store(Protocol):
    """Encoded pictures by row, in canonical order (:mod:`levelfield.data.canonical`); any number of threads may read.

    ``labels`` integers ``[N]`` are places in ``classes``; ``digests`` uint8 ``[N, 16]``, see
    :func:`levelfield.data.canonical.digest_of`. Both may be mapped files: ask for the rows that are wanted.
    """

    @property
    def classes(self) -> Classes: ...
    @property
    def contents(self) -> Contents: ...
    @property
    def labels(self) -> NDArray[np.integer]: ...
    @property
    def digests(self) -> NDArray[np.uint8]: ...

    def read(self, row: int) -> bytes:
        """The encoded image. Raises OSError where it has gone since it was listed."""
        ...

    def compared(self, row: int) -> tuple[bytes, bool]:
        """The same, and whether it is the one that was listed."""
        ...

    def name(self, row: int) -> str:
        """What to call it in a message: its file, or file and row."""
        ...

    @property
    def far(self) -> bool:
        """Whether reading ahead is worth it."""
        ...

    @property
    def in_place(self) -> Int64s | None:
        """The rows in the order in which they lie, where that was drawn when they were packed; None where it was not.

        Neighbours are then strangers, and can be read together.
        """
        ...

    def expect(self, rows: Int64s) -> None:
        """A hint that ``rows`` are read next, in that order: a store that lies far away fetches them ahead."""
        ...


class IndexedStore(ABC):
    """What all stores over an :class:`levelfield.data.index.Index` have in common."""

    far = False
    packed = False

    def __init__(self, index: Index, contents: Contents, *, of: str) -> None:
        self.index, self.contents, self.classes = index, contents, contents.classes(of)

    @property
    def labels(self) -> NDArray[np.int32]:
        return self.index.labels

    @property
    def digests(self) -> NDArray[np.uint8]:
        return self.index.digests

    @property
    def in_place(self) -> Int64s | None:
        """See :class:`Store`."""
        return np.lexsort((self.index.offsets, self.index.shards)) if self.packed else None

    @abstractmethod
    def read(self, row: int) -> bytes:
        """See :class:`Store`."""

    def compared(self, row: int) -> tuple[bytes, bool]:
        """See :class:`Store`."""
        encoded = self.read(row)
        return encoded, digest_of(encoded) == self.index.digests[row].tobytes()

    @abstractmethod
    def name(self, row: int) -> str:
        """See :class:`Store`."""

    def expect(self, rows: Int64s) -> None:  # noqa: B027  # most stores have nothing to do here
        """Nothing: local reads are cheap."""


class RelabelledStore:
    """``store`` with the classes of another set: ``places`` [K] says which of theirs each of its own is."""

    def __init__(self, store: Store, places: Int64s, theirs: Classes) -> None:
        labels = places[store.labels]
        self._store, self._rows = store, canonical_order(labels, store.digests)
        self.classes = theirs
        self.labels, self.digests = labels[self._rows], store.digests[self._rows]
        self.contents = Contents(
            class_names=theirs.names,
            num_by_class=tuple(np.bincount(labels, minlength=len(theirs.names)).tolist()),
            twins=store.contents.twins,
            contradicted=store.contents.contradicted,
            fingerprint=content_fingerprint(self.labels, self.digests),
            sorted_as_text=theirs.sorted_as_text,
        )

    @property
    def far(self) -> bool:
        return self._store.far

    @property
    def in_place(self) -> None:
        """None: it judges, and what judges is read in its own order."""
        return

    def read(self, row: int) -> bytes:
        return self._store.read(int(self._rows[row]))

    def compared(self, row: int) -> tuple[bytes, bool]:
        return self._store.compared(int(self._rows[row]))

    def name(self, row: int) -> str:
        return self._store.name(int(self._rows[row]))

    def expect(self, rows: Int64s) -> None:
        self._store.expect(self._rows[rows])


def read_listed(store: Store, row: int) -> bytes:
    """The encoded image of ``row``, which must be the one that was listed, whatever is kept of its file.

    Raises:
        DataError: it is another by now.
        OSError: it is gone.
    """
    encoded, listed = store.compared(row)
    if not listed:
        forget_digests()
        raise DataError(f"{store.name(row)} has changed since it was listed, so this is other data now: run again")
    return encoded
