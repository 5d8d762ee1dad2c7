"""What is shown now, and the wait for what comes next: the one thing that who reads and who serves share."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Served:
    """One document as it is sent."""

    content: bytes
    media_type: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Everything that may be asked for, by its path, and what those who listen are told of it.

    Nothing that is not in ``documents`` can be had, so that no path leads anywhere else.
    """

    documents: Mapping[str, Served]
    told: Mapping[str, str | bool]

    @property
    def event(self) -> bytes:
        """``told`` as a server-sent event (WHATWG HTML, 9.2); JSON escapes every line break."""
        return f"event: standing\ndata: {json.dumps(dict(self.told))}\n\n".encode()


class Board:
    """What is shown, put up by one thread and read by many."""

    def __init__(self, shown: Shown) -> None:
        self._shown, self._number = shown, 1
        self._changed = threading.Condition()

    @property
    def shown(self) -> Shown:
        return self._shown

    def put(self, shown: Shown) -> None:
        """Show this from now on, and wake whoever waits."""
        with self._changed:
            self._shown, self._number = shown, self._number + 1
            self._changed.notify_all()

    def after(self, number: int, *, timeout_s: float) -> tuple[int, Shown] | None:
        """What is shown with its number, as soon as that is above ``number``; None where that takes longer."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._number > number, timeout_s):
                return None
            return self._number, self._shown
