"""Measuring in a process of its own: what it compiles and how cuDNN chooses there touches nobody else.

Several may prepare at once, and each measures alone, when it is asked what it found.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

from benchmarks.gpu.rows import Deadline, Figure, Seen

Turn = Callable[[], object]
"""Waits until nobody else measures."""
Measure = Callable[..., Mapping[str, Figure]]


class Apart:
    """``measure(turn, *arguments)`` in a fresh process, begun at once; it must be a function of a module."""

    def __init__(self, measure: Measure, *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, measure, arguments))
        self._process.start()
        theirs.close()  # so that its death is seen

    def seen(self, deadline: Deadline) -> Seen:
        """What it finds, now that it is its turn; the process is ended, whatever became of it.

        Raises:
            TimeoutError, RuntimeError: it took too long, or failed.
        """
        try:
            self._pipe.send("go")
            if not self._pipe.poll(deadline.left()):
                raise TimeoutError("it was not done in time")
            answer = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise RuntimeError("its process died") from None
        finally:
            self.end()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return Seen(figures=answer)

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def _work(pipe: Connection, measure: Measure, arguments: tuple[object, ...]) -> None:
    try:
        pipe.send(measure(pipe.recv, *arguments))
    except Exception as error:  # the boundary of the process
        pipe.send(f"{type(error).__name__}: {error}")
