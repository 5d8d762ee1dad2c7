"""What a format tells of the pictures at a place: which files they are in, and where in them each picture lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from levelfield.data.index import Index
from levelfield.data.manifest import Contents
from levelfield.data.stores.base import Store


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """Every picture of a set, before its bytes were looked at; arrays ``[N]`` in the order that reads cheapest.

    ``labels`` int64 are places in ``class_names``, which come from sorting where ``sorted_as_text``. ``shards`` number
    the files of the format and do not fall; ``offsets`` and ``lengths`` say where in it a picture lies, as its store
    counts. ``names`` are what to call each picture, None where file and place will do.
    """

    class_names: tuple[str, ...]
    sorted_as_text: bool
    labels: NDArray[np.int64]
    shards: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]
    names: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.labels)


class Format(Protocol):
    """One way of laying out labelled pictures, looked at in one place.

    ``of`` is what messages call the place, ``rule`` everything beside the files that decides what is listed: another
    rule, another listing.
    """

    @property
    def of(self) -> str: ...
    @property
    def rule(self) -> str: ...

    def files(self) -> Sequence[str]:
        """The files that must not have changed if a listing of them is to be believed.

        Raises:
            DataError: the place is laid out otherwise.
        """
        ...

    def listed(self) -> Listing:
        """All pictures.

        Raises:
            DataError: something in it cannot be meant.
        """
        ...

    def store(self, index: Index, contents: Contents) -> Store:
        """The pictures of ``index``, to be read."""
        ...
