"""How many small trials pay side by side on one device: whole processes, each taking its own steps."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import torch

from benchmarks.gpu.clock import synchronise
from benchmarks.gpu.nets import Net, OurStep
from benchmarks.gpu.rows import Deadline, Figure, Seen, Setting
from levelfield.records.trial import Dtype


def measure(setting: Setting, deadline: Deadline, net: Net, dtype: Dtype) -> Seen:
    """Steps a second in all, of 1, 2, 4, … processes, and how many times those of one."""
    counts = (1, 2) if setting.toy else (1, 2, 4, 8, 16)
    seconds = 0.3 if setting.toy else 4.0
    figures: dict[str, Figure] = {}
    with _workers(setting, net, dtype, counts[-1]) as workers:
        for worker in workers:
            _answer(worker, deadline)  # it is warm
        for count in counts:
            for worker in workers[:count]:
                worker.send(seconds)
            rate = sum(_answer(worker, deadline) for worker in workers[:count])
            figures[f"{count}: steps/s"] = rate
            if count > 1:
                first = figures["1: steps/s"]
                assert isinstance(first, float)
                figures[f"{count}: x"] = rate / first
    return Seen(figures=figures)


@contextmanager
def _workers(setting: Setting, net: Net, dtype: Dtype, count: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(count)]
    started = [context.Process(target=_work, args=(theirs, setting.device, net, dtype)) for _, theirs in pipes]
    for process in started:
        process.start()
    for _, theirs in pipes:
        theirs.close()  # so that a worker that dies is seen
    try:
        yield [ours for ours, _ in pipes]
    finally:
        for process in started:
            process.kill()
            process.join()


def _answer(worker: Connection, deadline: Deadline) -> float:
    if not worker.poll(deadline.left()):
        raise TimeoutError("a worker did not answer in time")
    answer = worker.recv()  # EOFError where it died
    if isinstance(answer, str):
        raise RuntimeError(f"a worker failed: {answer}")
    return answer


def _work(conductor: Connection, device: torch.device, net: Net, dtype: Dtype) -> None:
    """Warm up, then take steps for as many seconds as is asked, again and again."""
    try:
        torch.set_num_threads(1)
        step = OurStep(net, device, dtype=dtype)
        for _ in range(5):
            step()
        synchronise(device)
        conductor.send(0.0)
        while True:
            seconds = conductor.recv()
            begun, steps = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds:
                step()
                steps += 1
            synchronise(device)
            conductor.send(steps / (time.perf_counter() - begun))
    except EOFError:
        return
    except Exception as error:  # the boundary of the process
        conductor.send(f"{type(error).__name__}: {error}")
