"""The loop: a generator of step reports. Logging, checkpoints and stopping belong to whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from levelfield.data.loader import Batch
from levelfield.train.state import TrainState
from levelfield.train.step import StepReport
from levelfield.train.timing import Stopwatch


class Step(Protocol):
    """One update of ``state`` by ``batch``."""

    def __call__(self, state: TrainState, batch: Batch) -> StepReport: ...


def training_steps(
    state: TrainState, step: Step, batches: Iterator[Batch], *, num_steps: int, stopwatch: Stopwatch
) -> Iterator[StepReport]:
    """Train ``state`` from its own step up to ``num_steps``, yielding a report after each update.

    ``batches`` must start at the state's step. The last report is the first that is not finite, if any: the weights are
    then those of the step before, and training ends. Time is charged to ``stopwatch`` as "data" and "step" apart.
    """
    while state.step < num_steps:
        with stopwatch.charge("data"):
            batch = next(batches)
        with stopwatch.charge("step"):
            report = step(state, batch)
        yield report
        if not report.finite:
            return
