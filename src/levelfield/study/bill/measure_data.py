"""How long examples take to be made here, and what a process and a trial take beside all that is timed."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from levelfield.data.decoded import MOST_DECODED_BYTES
from levelfield.data.loader import Batch
from levelfield.data.machine import memory_each
from levelfield.data.sources import Source, open_source_once
from levelfield.records.data import Split
from levelfield.records.execution import Execution
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.bill.speed import DataSpeed
from levelfield.study.execute.parts import TrialParts, put_together, training_loader
from levelfield.study.execute.trial import run_trial
from levelfield.train.timing import Stopwatch

_AT_ONCE = 128
"""Examples that a loader renders together."""
_EXAMPLES, _SECONDS = 512, 1.0
"""Of each kind so many examples are made, or as many as there is time for."""
_FEW = 8
_TINY_RATE = 1e-6
"""At such a rate nothing diverges."""


def calm(trial: TrialSpec) -> TrialSpec:
    """``trial`` at a rate at which nothing diverges, from random weights; its steps take as long."""
    return dataclasses.replace(trial, recipe=dataclasses.replace(trial.recipe, peak_lr=_TINY_RATE), start=None)


def data_speed(trial: TrialSpec, device: torch.device, execution: Execution, start_seconds: float) -> DataSpeed:
    """The speed of the data of ``trial``: of examples that are made for the first time, and of the same ones again.

    Between two of them the network of ``trial`` takes a step, as it will: alone, in a cache that nothing else empties,
    data is made a quarter faster than it ever is beside training.
    """
    parts = put_together(calm(trial), open_source_once(trial.data), device=device, execution=execution)
    sizes, batch = parts.source.split_sizes, trial.global_batch_size
    a_run = max(1, _AT_ONCE // batch)
    runs = max(1, min(_EXAMPLES, sizes["train"] // 2) // (a_run * batch))
    resident = _resident_bytes()
    first, made = _train_seconds(parts, device, runs=runs, a_run=a_run)
    grown = _resident_bytes() - resident
    again, _ = _train_seconds(parts, device, runs=runs, a_run=a_run)
    held_first, held_again = (_held_seconds(parts.judged_on, device) for _ in range(2))
    decodes = first > 1.2 * again
    bytes_each = max(0, grown) / made if decodes else 0.0
    room = min(MOST_DECODED_BYTES, memory_each() // 4)
    return DataSpeed(
        train_seconds=again,
        train_decode_seconds=first - again if decodes else 0.0,
        held_seconds=held_again,
        held_decode_seconds=held_first - held_again if held_first > 1.2 * held_again else 0.0,
        kept=min(1.0, room / max(1.0, bytes_each * sum(sizes.values()))),
        start_seconds=start_seconds,
        around_seconds=_around_seconds(trial, device, execution),
    )


def _train_seconds(parts: TrialParts, device: torch.device, *, runs: int, a_run: int) -> tuple[float, int]:
    """Seconds an example of so many ``runs`` of batches after the first run, and how many examples those were."""
    batches = iter(training_loader(parts.spec, parts.source, start_step=0))
    for _ in range(a_run):
        parts.step(parts.state, next(batches))
    stopwatch, examples, begin = Stopwatch(device), 0, time.perf_counter()
    for _ in range(runs):
        for _ in range(a_run):
            with stopwatch.charge("data"):
                batch: Batch = next(batches)
            parts.step(parts.state, batch)
            examples += len(batch)
        if time.perf_counter() - begin > 4 * _SECONDS:
            break
    return stopwatch.seconds["data"] / examples, examples


def _held_seconds(source: Source, device: torch.device) -> float:
    """Seconds an example of the split that selects."""
    stopwatch, size = Stopwatch(device), source.split_sizes["select"]
    source.batch("select", np.arange(min(_FEW, size), dtype=np.int64))
    made = 0
    for start in range(min(_FEW, size - 1), min(size, _EXAMPLES), _AT_ONCE):
        ids = np.arange(start, min(start + _AT_ONCE, size), dtype=np.int64)
        with stopwatch.charge("data"):
            source.batch("select", ids)
        made += len(ids)
        if stopwatch.seconds["data"] > _SECONDS:
            break
    return stopwatch.seconds["data"] / made


class _Few:
    """A source whose held-out splits are a few examples."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.split_sizes: Mapping[Split, int] = {
            split: size if split == "train" else min(size, _FEW) for split, size in source.split_sizes.items()
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def _around_seconds(trial: TrialSpec, device: torch.device, execution: Execution) -> float:
    """What a trial takes beside its steps, data and evaluation: of two of a few steps the second, which is warm."""
    source, around = cast(Source, _Few(open_source_once(trial.data))), 0.0
    with tempfile.TemporaryDirectory() as place:
        for seed in range(2):
            spec = dataclasses.replace(trial, steps=3, seed=seed)
            directory, begin = StudyDirectory(Path(place)).trial(spec), time.process_time()
            run_trial(spec, directory, source, device=device, execution=execution.asked)
            timing, whole = directory.timing(), time.process_time() - begin
            assert timing is not None
            around = whole - timing.device_seconds - timing.data_seconds - timing.evaluate_seconds
    return max(0.0, around)


def _resident_bytes() -> int:
    """Memory that the process holds; 0 where the system does not say."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0
