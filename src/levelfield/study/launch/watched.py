"""How a work item stands, by its directory alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from levelfield.records.attempts import RESULT, attempts_at, complete, last_end, watch_of
from levelfield.records.ends import End
from levelfield.records.errors import DamagedError
from levelfield.records.lease import LeaseWatch
from levelfield.records.writing import is_there


@dataclass(frozen=True, kw_only=True)
class ItemSeen:
    """It ``is_done``; or somebody ``is_held`` by, as far as one can tell, at ``step``; or the newest attempt has ended
    as ``end`` says. ``number`` is that attempt's, 0 where there is none."""

    is_done: bool = False
    is_held: bool = False
    step: int = 0
    number: int = 0
    end: End | None = None


class WatchedItem:
    """An item watched from now on: leases are judged by what changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._watch: tuple[int, LeaseWatch] | None = None

    def look(self) -> ItemSeen:
        """How it stands; what an attempt has published is moved up first.

        Raises:
            DamagedError: what was published has been lost.
            StoreError: the directory cannot be written.
        """
        complete(self.path)
        if is_there(self.path / RESULT):
            return ItemSeen(is_done=True)
        number = newest_attempt(self.path)
        if not number:
            return ItemSeen()
        if self._watch is None or self._watch[0] != number:
            self._watch = number, watch_of(attempts_at(self.path)[0])
        watch = self._watch[1]
        is_held = watch.look() in ("alive", "unsure")
        return ItemSeen(is_held=is_held, step=watch.step, number=number, end=None if is_held else _end(self.path))


def newest_attempt(item: Path) -> int:
    """The number of the newest attempt at ``item``; 0 where there is none."""
    found = attempts_at(item)
    return int(found[0].name) if found else 0


def _end(item: Path) -> End | None:
    try:
        return last_end(item)
    except DamagedError:
        return None  # cut short, as by a full disk: it died without a word
