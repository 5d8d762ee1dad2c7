"""Under which execution a trial runs: chosen when it begins, kept in its checkpoints, kept to when it resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from levelfield.records.codec import from_plain
from levelfield.records.errors import SpecError
from levelfield.records.execution import Engine, Execution, ExecutionSpec
from levelfield.train.device import device_name
from levelfield.train.engine.registry import engine_here


def execution_here(asked: ExecutionSpec, device: torch.device) -> Execution:
    """What was ``asked``, on ``device`` and by the torch that is here.

    Raises:
        SpecError: ``device`` cannot be asked for that.
    """
    if asked.prefetch and device.type == "cpu":
        raise SpecError(
            f"execution.prefetch must be 0 on a CPU, saw {asked.prefetch}: what it renders ahead would be counted as "
            "seconds of training"
        )
    engine, version = engine_here(asked.engine, device)
    said = dataclasses.asdict(asked) | {"engine": engine, "engine_version": version}
    return Execution(**said, device=device_name(device), torch_version=str(torch.__version__))


def executions_of(asked: ExecutionSpec, saved: Mapping[str, Any] | None, device: torch.device) -> tuple[Execution, ...]:
    """Those that have trained a trial up to its checkpoint ``saved``, and the one that goes on, which is the last.

    A trial keeps to the threads and the engine that it was begun with, whatever is ``asked`` meanwhile, so that it ends
    as if it had not been cut. What lies with the machine may be another: then it is recorded as another execution.

    Raises:
        SpecError: ``device`` cannot be asked for that.
    """
    if saved is None:
        return (execution_here(asked, device),)
    earlier = tuple(from_plain(Execution, plain) for plain in saved["executions"])
    kept = dataclasses.replace(asked, threads=earlier[-1].threads, engine=_kept(earlier[-1].engine, device))
    here = execution_here(kept, device)
    return earlier if here == earlier[-1] else (*earlier, here)


def _kept(engine: Engine, device: torch.device) -> Engine:
    """``engine``, or what runs where it cannot."""
    return "plain" if engine == "plain" else engine_here("auto", device)[0]
