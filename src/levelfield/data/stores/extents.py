"""Extents - stretches of objects far away - as files on a disk: bounded, whole or not there, shared by processes."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from levelfield.records.writing import make_directory

NEAR_BYTES = 2**15
"""A gap between two ranges that is fetched along: asking twice costs more."""
LONGEST_BYTES = 2**23
"""Of ranges that are joined; a longer picture is fetched alone."""
_LOOKED_AT_EACH = 1 / 16
"""Of its limit, what a process writes before it looks at what all processes have written."""


class Extent(NamedTuple):
    """The bytes from ``start`` to ``stop`` of object ``shard``."""

    shard: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    def holds(self, other: Extent) -> bool:
        """Whether ``other`` lies in it."""
        return self.shard == other.shard and self.start <= other.start and other.stop <= self.stop


def joined(wanted: Iterable[Extent]) -> dict[Extent, int]:
    """What to fetch for ``wanted``, in the order in which it is needed first, and how many of them lie in each.

    What lies nearer than :data:`NEAR_BYTES` is fetched as one.
    """
    ranked = sorted((extent, place) for place, extent in enumerate(wanted))
    found: list[tuple[int, Extent, int]] = []
    for extent, place in ranked:
        first, last, number = found[-1] if found else (place, Extent(-1, 0, 0), 0)
        near = extent.shard == last.shard and extent.start <= last.stop + NEAR_BYTES
        stop = max(last.stop, extent.stop)
        if near and (stop - last.start <= LONGEST_BYTES or last.holds(extent)):
            found[-1] = min(first, place), Extent(last.shard, last.start, stop), number + 1
        else:
            found.append((place, extent, 1))
    return {extent: number for _, extent, number in sorted(found)}


class ExtentCache:
    """Files of extents in ``folder``, of ``limit_bytes`` in all, and a sixteenth more for each process that writes.

    What was written longest ago goes first. A crash leaves no part of an extent, and what another process removes is
    merely gone.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        make_directory(folder)
        self.folder, self.limit_bytes = folder, limit_bytes
        self._lock = threading.Lock()
        self._known: dict[int, list[tuple[int, int]]] = {}
        self._longest = 0
        self._written = 0
        for name in os.listdir(folder):
            if (extent := _extent(name)) is not None:
                self._learn(extent)

    def find(self, wanted: Extent) -> Extent | None:
        """An extent that is here and holds ``wanted``."""
        with self._lock:
            known = self._known.get(wanted.shard, [])
            place = bisect_right(known, (wanted.start, 2**63))
            while place > 0 and known[place - 1][0] >= wanted.start - self._longest:
                place -= 1
                if known[place][1] >= wanted.stop:
                    return Extent(wanted.shard, *known[place])
        return None

    def read(self, wanted: Extent) -> tuple[bytes, Extent] | None:
        """The bytes of ``wanted`` and the extent that they were found in; None where they are not here any more."""
        while (extent := self.find(wanted)) is not None:
            with contextlib.suppress(OSError), open(self.folder / _name(extent), "rb") as file:
                content = os.pread(file.fileno(), wanted.stop - wanted.start, wanted.start - extent.start)
                if len(content) == wanted.size and os.fstat(file.fileno()).st_size == extent.size:
                    return content, extent
            self.drop(extent)
        return None

    def keep(self, extent: Extent, content: bytes) -> None:
        """Write ``content`` aside and put it in its place; a disk that is full or gone keeps nothing, and that is all.

        Raises:
            OSError: it cannot be written.
        """
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        try:
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, self.folder / _name(extent))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        with self._lock:
            self._learn(extent)
            self._written += extent.size
            if self._written >= self.limit_bytes * _LOOKED_AT_EACH:
                self._written = 0
                self._trim(spared=extent)

    def drop(self, extent: Extent) -> None:
        """Remove it, here and on the disk."""
        with contextlib.suppress(OSError):
            os.unlink(self.folder / _name(extent))
        with self._lock, contextlib.suppress(ValueError, KeyError):
            self._known[extent.shard].remove((extent.start, extent.stop))

    def _learn(self, extent: Extent) -> None:
        known = self._known.setdefault(extent.shard, [])
        span = (extent.start, extent.stop)
        place = bisect_right(known, span)
        if known[place - 1 : place] != [span]:
            known.insert(place, span)
        self._longest = max(self._longest, extent.size)

    def _trim(self, *, spared: Extent) -> None:
        """Remove what was written longest ago, by whatever process, until the rest is within the limit."""
        found, total = [], 0
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    told = entry.stat()
                    found.append((told.st_mtime_ns, told.st_size, entry.name))
        for _, size, name in sorted(found, reverse=True):
            total += size
            if total > self.limit_bytes and name != _name(spared):
                with contextlib.suppress(OSError):
                    os.unlink(self.folder / name)
                if (extent := _extent(name)) is not None:
                    with contextlib.suppress(ValueError, KeyError):
                        self._known[extent.shard].remove((extent.start, extent.stop))


def _name(extent: Extent) -> str:
    return "-".join(map(str, extent))


def _extent(name: str) -> Extent | None:
    parts: Sequence[str] = name.split("-")
    return Extent(*map(int, parts)) if len(parts) == 3 and all(map(str.isdecimal, parts)) else None
