"""Where the time of a trial goes, on the clock that suits the device."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator

import torch


class Stopwatch:
    """Seconds by purpose.

    On a CPU these are process CPU seconds over all threads, which another process on the machine cannot stretch; on a
    GPU, wall seconds up to the end of the queued work.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def charge(self, purpose: str) -> Iterator[None]:
        """Add the time of the block to ``purpose``."""
        begin = self._now()
        try:
            yield
        finally:
            self.seconds[purpose] += self._now() - begin

    def _now(self) -> float:
        if self.device.type == "cpu":
            return time.process_time()
        torch.accelerator.synchronize(self.device)
        return time.perf_counter()
