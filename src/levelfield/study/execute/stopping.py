"""Ctrl-C and SIGTERM while a trial trains: they wait for the end of a step, so that its state can be saved first."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

from levelfield.records.errors import RankLostError
from levelfield.records.lease import clock


class HeldSignals:
    """What has come since ``signals`` are held back; where ``twice`` a second one acts at once."""

    def __init__(self, signals: tuple[int, ...], *, twice: bool) -> None:
        self._twice = twice
        # What is ignored stays so, and what was not set from Python cannot be set back.
        earlier = {signum: signal.getsignal(signum) for signum in signals}
        self._earlier = {signum: do for signum, do in earlier.items() if do not in (signal.SIG_IGN, None)}
        self._came: int | None = None
        for signum in self._earlier:
            signal.signal(signum, self._note)

    def __bool__(self) -> bool:
        return self._came is not None

    def let_go(self) -> None:
        """Give signals back to whom they belonged; what came meanwhile is delivered now."""
        while self._earlier:
            signal.signal(*self._earlier.popitem())
        if self._came is not None:
            came, self._came = self._came, None
            if callable(handler := signal.getsignal(came)):
                handler(came, None)  # not by the system, which may block what this came by: workers of Ray are so
            else:
                signal.raise_signal(came)

    def forget(self) -> None:
        """What has come is not delivered."""
        self._came = None

    def _note(self, signum: int, frame: object) -> None:
        insists = self._came is not None
        self._came = signum
        if insists and self._twice:
            self.let_go()


class SaveDue:
    """Whether the state is to be saved: a signal is ``held``, the clock of leases shows ``until``, or it was saved
    ``every_seconds`` ago."""

    def __init__(self, *, every_seconds: float, until: float | None, held: HeldSignals) -> None:
        self.held = held
        self._every_seconds, self._until, self._saved_at = every_seconds, until, time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the time is."""
        return self._until is not None and clock() >= self._until

    @property
    def now(self) -> bool:
        return bool(self.held) or self.over or time.monotonic() - self._saved_at >= self._every_seconds

    def saved(self) -> None:
        """It has been."""
        self._saved_at = time.monotonic()


@contextlib.contextmanager
def held_signals(*, alone: bool = True) -> Iterator[HeldSignals]:
    """Hold back SIGINT and SIGTERM until ``let_go`` or the end of the block; a second one acts at once, but not on a
    rank that is not ``alone``: torchrun sends two, and what it then ends does not end by itself.

    Outside the main thread Python takes no signals, and nothing is held. Where another rank has died torchrun stops
    those that are left: then that death is what ends the block, and no signal.
    """
    in_main = threading.current_thread() is threading.main_thread()
    held = HeldSignals((signal.SIGINT, signal.SIGTERM) if in_main else (), twice=alone)
    try:
        yield held
    except RankLostError:
        held.forget()
        raise
    finally:
        held.let_go()
