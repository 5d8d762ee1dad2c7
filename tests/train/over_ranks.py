"""Ranks for tests: processes that gloo joins, begun from this one, so that nothing is imported again."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from levelfield.train.ranks import ALONE, Ranks

T = TypeVar("T")


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
    # Where there is a GPU autograd has threads that do not survive a fork.
    context: Any = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
    begun, found = [], []
    with tempfile.TemporaryDirectory() as folder:
        for rank in range(size):
            ours, theirs = context.Pipe(duplex=False)
            given = (theirs, rank, size, f"{folder}/meeting", hung_after_s, call, arguments)
            process = context.Process(target=_rank, args=given, daemon=True)
            process.start()
            theirs.close()
            begun.append((process, ours))
        for rank, (_, ours) in enumerate(begun):
            if rank != dying:
                found.append(_said(ours))
        for process, ours in begun:
            process.kill()
            process.join()
            ours.close()
    assert all(kind == "gave" for kind, _ in found), found
    return [value for _, value in found]


def _said(answers: Connection) -> tuple[str, Any]:
    try:
        return pickle.loads(answers.recv_bytes())
    except EOFError:
        return "died", None


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
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timeout)
        said = "gave", call(Ranks(rank=rank, size=size), *arguments)
    except BaseException:
        said = "raised", traceback.format_exc()
    answers.send_bytes(pickle.dumps(said))
    answers.close()
    os._exit(0)
