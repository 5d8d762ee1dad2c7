"""Decoded pictures kept in memory, as many as there is room for; the others are decoded whenever they are asked for.

Room is what one process may take, for all that it keeps: a quarter of the memory that is free for it when the first
picture is kept, a GiB at the most. Whoever comes first stays: each is asked for once an epoch, so that dropping one for
another gains nothing. No result depends on what is kept.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Generic, Protocol, TypeVar

from levelfield.data.machine import memory_each

logger = logging.getLogger(__name__)

MOST_DECODED_BYTES = 2**30
_SHARE = 4
_BESIDES = 256
"""Bytes that keeping an array takes beside its own."""


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Kept = TypeVar("Kept", bound=_Sized)


class _Room:
    """The bytes that are left for all decoded pictures of this process."""

    def __init__(self, left: int | None = None) -> None:
        self._left = left
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        with self._lock:
            if self._left is None:
                self._left = min(MOST_DECODED_BYTES, memory_each() // _SHARE)
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, taken: list[int]) -> None:
        with self._lock:
            if self._left is not None:
                self._left += sum(taken)


_ROOM = _Room()


class DecodedPictures(Generic[Kept]):
    """What was decoded, by number. Safe to be used by several threads."""

    def __init__(self) -> None:
        self._kept: dict[int, Kept] = {}
        self._taken, self._full = [0], False
        weakref.finalize(self, _ROOM.give_back, self._taken)

    def get(self, number: int) -> Kept | None:
        return self._kept.get(number)

    def keep(self, number: int, decoded: Kept) -> None:
        """Keep ``decoded``, which nobody may change, if there is room."""
        size = decoded.nbytes + _BESIDES
        if self._full or number in self._kept:
            return
        if not _ROOM.take(size):
            self._full = True
            logger.info("%d decoded pictures are kept; there is no room for the others", len(self._kept))
            return
        self._taken[0] += size
        self._kept[number] = decoded
