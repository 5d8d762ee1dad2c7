"""Where the time of a trial goes, on the clock that suits the device."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch


class Stopwatch:
    """Seconds by purpose: ``seconds`` on the device's clock, ``wall_seconds`` by the clock on the wall.

    On a CPU the device's are process CPU seconds over all threads, which another process on the machine cannot stretch,
    but for those of threads that render ahead (``ahead``, by :meth:`beside`): these are of the purpose "data" whenever
    they are spent. On a GPU they are wall seconds up to the end of the queued work.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.wall_seconds: dict[str, float] = defaultdict(float)
        self._ahead: Callable[[], float] = lambda: 0.0
        self._counted = 0.0

    def beside(self, ahead: Callable[[], float]) -> None:
        """From now on threads compute beside the work that is timed: ``ahead`` says for how many CPU seconds by now."""
        self._ahead, self._counted = ahead, ahead()

    @contextlib.contextmanager
    def charge(self, purpose: str) -> Iterator[None]:
        """Add the time of the block to ``purpose``."""
        wall, begin = time.perf_counter(), self._now()
        try:
            yield
        finally:
            self.seconds[purpose] += self._now() - begin
            self.wall_seconds[purpose] += time.perf_counter() - wall
            if self.device.type == "cpu":
                ahead = self._ahead()
                self.seconds["data"] += ahead - self._counted
                self._counted = ahead

    def _now(self) -> float:
        if self.device.type == "cpu":
            return time.process_time() - self._ahead()
        torch.accelerator.synchronize(self.device)
        return time.perf_counter()
