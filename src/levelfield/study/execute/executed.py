"""Under which execution a trial runs: chosen when it begins, kept in its checkpoints, kept to when it resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from levelfield.data.machine import cores_each
from levelfield.data.pixels_here import pixels_here
from levelfield.records.codec import from_plain
from levelfield.records.execution import Engine, Execution, ExecutionSpec
from levelfield.train.device import device_name
from levelfield.train.engine.registry import engine_here
from levelfield.train.ranks import ALONE, Ranks

MOST_AHEAD = 16
"""Threads that render ahead where nobody says how many: more hold one another up."""


def execution_here(asked: ExecutionSpec, device: torch.device, ranks: Ranks = ALONE) -> Execution:
    """What was ``asked``, on the ``device`` of each of ``ranks`` and by the torch that is here.

    Raises:
        SpecError: the engine that is asked for cannot run here.
    """
    engine, version = engine_here(asked.engine, device, ranks)
    said = vars(asked) | {"engine": engine, "engine_version": version, "num_devices": ranks.size}
    name, torch_version = device_name(device), str(torch.__version__)
    return Execution(**said, device=name, torch_version=torch_version, pixels=pixels_here())


def threads_ahead(asked: ExecutionSpec, device: torch.device) -> int:
    """How many threads render batches ahead: as many as are asked for, else the cores that nothing is trained on.

    Beside a GPU one reads ahead, whatever there is. The number is no part of an execution's record: results do not
    depend on it, and it changes with the number of workers.
    """
    if asked.prefetch is not None:
        return asked.prefetch
    if device.type == "cpu":
        return min(MOST_AHEAD, max(0, cores_each() - asked.threads))
    return min(MOST_AHEAD, max(1, cores_each() - 1))


def executions_of(
    asked: ExecutionSpec, saved: Mapping[str, Any] | None, device: torch.device, ranks: Ranks = ALONE
) -> tuple[Execution, ...]:
    """Those that have trained a trial up to its checkpoint ``saved``, and the one that goes on, which is the last.

    A trial keeps to the threads and the engine that it was begun with, whatever is ``asked`` meanwhile, so that it ends
    as if it had not been cut. What lies with the machine may be another, and so may the number of devices and the
    microbatch, which whoever resumes chooses by what there is: then it is recorded as another execution.
    """
    if saved is None:
        return (execution_here(asked, device, ranks),)
    earlier = tuple(from_plain(Execution, plain) for plain in saved["executions"])
    last = earlier[-1]
    kept = dataclasses.replace(asked, threads=last.threads, engine=_kept(last.engine, device, ranks))
    here = execution_here(kept, device, ranks)
    return earlier if here == last else (*earlier, here)


def _kept(engine: Engine, device: torch.device, ranks: Ranks) -> Engine:
    """``engine``, or what runs where it cannot."""
    if engine == "plain" or (engine == "graph" and ranks.alone):
        return engine
    return engine_here("auto", device)[0]
