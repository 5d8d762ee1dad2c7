"""Where the time goes of steps that are queued on a device, and by what a device tells it: marks in its own queue."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any, Protocol

import torch

from levelfield.train.timing import Stopwatch


class Marks(Protocol):
    """Moments that a device passes, one queued after the other."""

    def mark(self) -> Any:
        """Queue one."""
        ...

    def settle(self) -> None:
        """Wait until all have passed."""
        ...

    def between(self, begin: Any, end: Any) -> float:
        """Seconds from one to a later one, after both have passed."""
        ...


class HostMarks:
    """Those of a device that computes while it is told what: a CPU. Nothing is ever queued."""

    def mark(self) -> float:
        return time.perf_counter()

    def settle(self) -> None:
        pass

    def between(self, begin: float, end: float) -> float:
        return end - begin


class CudaMarks:
    """Events of the current stream of a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def settle(self) -> None:
        torch.accelerator.synchronize(self._device)

    def between(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return begin.elapsed_time(end) / 1e3


class QueuedTime:
    """Charges a stopwatch with "step", from where the device begins with one to where it has done it, and with "data",
    for which it stood idle in between, be it for the host's own work; seconds by the wall are the same there.

    On a CPU, where the host does all, both are process CPU seconds, as everywhere.
    """

    def __init__(self, stopwatch: Stopwatch, marks: Marks | None = None) -> None:
        """``marks`` are the device's own where they are left out; on a CPU it then needs none."""
        self._stopwatch = stopwatch
        if marks is None and stopwatch.device.type != "cpu":
            marks = CudaMarks(stopwatch.device)
        self._marks = marks
        self._spans: list[tuple[Any, Any]] = []
        self._waited = 0.0

    @contextlib.contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """The host fetches a batch in the block."""
        if self._marks is None:
            with self._stopwatch.charge("data"):
                yield
            return
        begin = time.perf_counter()
        yield
        if not self._spans:  # nothing is queued, so the device waits as long as the host
            self._waited += time.perf_counter() - begin

    @contextlib.contextmanager
    def queueing(self) -> Iterator[None]:
        """The host queues a step in the block."""
        if self._marks is None:
            with self._stopwatch.charge("step"):
                yield
            return
        begin = self._marks.mark()
        yield
        self._spans.append((begin, self._marks.mark()))

    def settle(self) -> None:
        """Wait for what is queued, and charge it."""
        if self._marks is None:
            return
        self._marks.settle()
        spans, self._spans = self._spans, []
        step = sum(self._marks.between(begin, end) for begin, end in spans)
        idle = sum(self._marks.between(before[1], after[0]) for before, after in itertools.pairwise(spans))
        for seconds in (self._stopwatch.seconds, self._stopwatch.wall_seconds):
            seconds["step"] += step
            seconds["data"] += idle + self._waited
        self._waited = 0.0
