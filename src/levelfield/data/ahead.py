"""Work done ahead of whoever needs it, on threads, in order: what it cost, and how long it was waited for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Runs of tasks on ``threads`` threads, up to ``runs_ahead`` runs of them under way while one is in hand.

    ``runs`` yields each run with the tasks that make it; iterating yields each when all of them are done. What a task
    raises is raised there, in its turn. More are begun when half of those ahead are left, several at once: on a machine
    without a free core the system gives a thread that is woken the core of the one that wakes it.
    """

    def __init__(self, runs: Iterator[tuple[T, list[Callable[[], None]]]], *, threads: int, runs_ahead: int) -> None:
        self._runs, self._threads, self._runs_ahead = runs, threads, runs_ahead
        self._clocks: list[int] = []
        self._ended_seconds = 0.0

    def __iter__(self) -> Iterator[T]:
        with ThreadPoolExecutor(self._threads, "levelfield-loader", initializer=self._begin) as pool:
            ahead: deque[tuple[T, list[Future[None]]]] = deque()
            few = (self._runs_ahead + 1) // 2
            try:
                while True:
                    if len(ahead) <= few:
                        for run, tasks in islice(self._runs, self._runs_ahead + 1 - len(ahead)):
                            ahead.append((run, [pool.submit(task) for task in tasks]))
                    if not ahead:
                        return
                    run, futures = ahead.popleft()
                    for future in futures:
                        future.result()
                    yield run
            finally:
                for _, futures in ahead:
                    for future in futures:
                        future.cancel()
                self._ended_seconds = self.cpu_seconds()
                self._clocks = []

    def cpu_seconds(self) -> float:
        """What the threads have computed by now, where the system says (not on macOS)."""
        found = self._ended_seconds
        for clock in list(self._clocks):
            with contextlib.suppress(OSError):  # a thread that has ended
                found += time.clock_gettime(clock)
        return found

    def _begin(self) -> None:
        if hasattr(time, "pthread_getcpuclockid"):
            self._clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
