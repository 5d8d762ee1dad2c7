"""Ranks for tests: processes that gloo joins, begun from this one, so that nothing is imported again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from levelfield.train.ranks import ALONE, Ranks

T = TypeVar("T")


class RankAtWork:
    """One of the ranks that :func:`begun_ranks` has begun."""

    def __init__(self, process: BaseProcess, answers: Connection) -> None:
        self.process, self._answers = process, answers

    def said(self, timeout_s: float = 300.0) -> tuple[str, Any]:
        """What came of it: "gave" and the value, "raised" and the traceback, or "died"; waits for that."""
        if not self._answers.poll(timeout_s):
            return "still there", None
        try:
            return pickle.loads(self._answers.recv_bytes())
        except EOFError:
            return "died", None


@contextlib.contextmanager
def begun_ranks(
    size: int, call: Callable[..., Any], *arguments: Any, hung_after_s: float = 60.0
) -> Iterator[list[RankAtWork]]:
    """``size`` ranks, each at ``call(ranks, *arguments)``; at the end of the block they are killed."""
    # Where there is a GPU autograd has threads that do not survive a fork.
    context: Any = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
    begun: list[RankAtWork] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for rank in range(size):
                ours, theirs = context.Pipe(duplex=False)
                given = (theirs, rank, size, f"{folder}/meeting", hung_after_s, call, arguments)
                process = context.Process(target=_rank, args=given, daemon=True)
                process.start()
                theirs.close()
                begun.append(RankAtWork(process, ours))
            yield begun
        finally:
            for each in begun:
                each.process.kill()
                each.process.join()
                each._answers.close()


def over_ranks(
    size: int, call: Callable[..., T], *arguments: Any, hung_after_s: float = 60.0, dying: int | None = None
) -> list[T]:
    """What ``call(ranks, *arguments)`` gives back on each of ``size`` ranks, but on the ``dying`` one; alone, in this
    process.

    Raises:
        AssertionError: one of them has raised anything, or has died.
    """
    if size == 1:
        return [call(ALONE, *arguments)]
    with begun_ranks(size, call, *arguments, hung_after_s=hung_after_s) as begun:
        found = [each.said() for rank, each in enumerate(begun) if rank != dying]
    assert all(kind == "gave" for kind, _ in found), found
    return [value for _, value in found]


def _rank(
    answers: Connection,
    rank: int,
    size: int,
    meeting: str,
    hung_after_s: float,
    call: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    try:
        timeout = timedelta(seconds=hung_after_s)
        if size > 1:
            dist.init_process_group(
                "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timeout
            )
        said = "gave", call(Ranks(rank=rank, size=size), *arguments)
    except BaseException:
        said = "raised", traceback.format_exc()
    answers.send_bytes(pickle.dumps(said))
    answers.close()
    os._exit(0)
