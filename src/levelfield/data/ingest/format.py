"""What a format tells of the pictures at a place: which files they are in, and where in them each picture lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.data.index import Index
from levelfield.data.manifest import Contents, MaskFacts, Skipped
from levelfield.data.stores.arrow import ArrowStore
from levelfield.data.stores.base import IndexedStore
from levelfield.data.stores.files import FilesStore
from levelfield.data.stores.tar import TarStore
from levelfield.records.codec import record

Opener: TypeAlias = Callable[[Index, Contents], IndexedStore]
"""What opens the pictures of an index; it travels to other processes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """Every picture of a set, before its bytes were looked at; arrays ``[N]`` in the order that reads cheapest.

    ``labels`` int64 are places in ``class_names``, which come from sorting where ``sorted_as_text``. ``shards`` number
    the files of the format and do not fall; ``offsets`` and ``lengths`` say where in it a picture lies, as its store
    counts. ``names`` are what to call each picture, None where file and place will do; ``texts`` what is said of each
    (:func:`levelfield.data.texts.told`), None where nothing is of any. ``skipped`` are files that are no pictures of
    the set, and why.
    """

    class_names: tuple[str, ...]
    sorted_as_text: bool
    labels: NDArray[np.int64]
    shards: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]
    names: list[bytes] | None = None
    texts: list[tuple[str, ...]] | None = None
    skipped: list[Skipped] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)


@record
class InPlace:
    """Where pictures stay that are not copied: in the ``files``, or below ``root`` where an index names them."""

    kind: Literal["files", "tar", "arrow"]
    root: str
    files: tuple[str, ...] = ()
    column: str = ""

    def opener(self, of: str) -> Opener:
        """What opens them, under the name ``of``."""
        if self.kind == "files":
            return partial(FilesStore, self.root)
        if self.kind == "tar":
            return partial(TarStore, list(self.files), of=of)
        return partial(ArrowStore, list(self.files), self.column, of=of)


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
        """The files that must not have changed if a listing of them is to be believed: first those that the shards of
        a listing number, then those that say something of them.

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

    def opener(self) -> Opener:
        """What opens the pictures of an index of this place."""
        ...

    def in_place(self) -> InPlace | None:
        """Where the pictures stay, if one costs what its neighbour does; None where they must be copied to be used."""
        ...


@dataclass(frozen=True, kw_only=True)
class PairedFormat:
    """Pictures and their masks as two formats that list the same rows in the same order, and what masks mean.

    ``of`` is what messages call the place, ``files`` those of both, ``rule`` what else decides what is listed.
    """

    of: str
    pictures: Format
    masks: Format
    facts: MaskFacts

    @property
    def rule(self) -> str:
        facts = self.facts
        return f"{self.pictures.rule} | {self.masks.rule} | {len(facts.names)} {facts.ignore_index} {facts.framed}"

    def files(self) -> Sequence[str]:
        """See :meth:`Format.files`."""
        return list(dict.fromkeys([*self.pictures.files(), *self.masks.files()]))
