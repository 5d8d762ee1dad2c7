"""Steps that nobody waits for: the host queues them, and hears of several at once what they were.

A step that is not finite must change no weight, and the host that would stop there has queued the next ones by then. So
a flag stays on the device: the first step whose loss or gradient is not finite takes it down, and from there on every
update leaves all as it is. What the host knows lags behind; it is brought up to date (drained) where it is looked at:
for the trace, before a checkpoint, and at the end. Steps are those of the plain loop, to the last bit.

Networks whose examples share statistics are not queued: which examples are whole decides about the shapes of their
tensors, and the host has to look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from levelfield.data.audit import SeenAudit
from levelfield.data.loader import Batch
from levelfield.train.queued_time import QueuedTime
from levelfield.train.state import TrainState
from levelfield.train.step import StepReport, TrainingStep
from levelfield.train.update import ParameterSide, PlainSide

MOST_WAITING = 100
"""Steps that may be under way: what their batches take of the host's memory is bounded by it."""


class QueuedUpdate(Protocol):
    """Updates that are queued, and that change nothing from the first on which is not finite."""

    @property
    def side(self) -> ParameterSide: ...

    def learning_rate(self, step: int) -> float:
        """That of the update after ``step`` of them."""
        ...

    def __call__(self, state: TrainState, batch: Batch) -> Tensor:
        """Queue one, and count it in ``state.step``: its loss and the norm of its gradient, float32 [2], there to be
        read when it has run."""
        ...


class PlainUpdate:
    """Those of the plain step, an operator at a time."""

    def __init__(self, step: TrainingStep, side: PlainSide) -> None:
        self._step, self.side = step, side
        self._alive = torch.ones((), dtype=torch.bool, device=step.device)
        self.learning_rate = step.learning_rate

    def __call__(self, state: TrainState, batch: Batch) -> Tensor:
        learning_rate = self.learning_rate(state.step)
        loss = self._step.gradient(state, batch)
        norm = self.side.gradient_norm(state)
        told = torch.stack((loss.float(), norm.float()))
        self._alive.logical_and_(torch.isfinite(told).all())
        self.side.update_while(self._alive, state, norm, learning_rate)
        return told


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiting:
    """A step that is under way, the update after ``step`` of them; what it has seen counts if it is finite."""

    step: int
    told: Tensor
    seen: SeenAudit
    masked_examples: int


class LaggingStep:
    """Steps by ``update``; called as any other step, it waits for the one that it takes."""

    def __init__(self, update: QueuedUpdate) -> None:
        self._update = update
        self._waiting: list[_Waiting] = []

    @property
    def side(self) -> ParameterSide:
        return self._update.side

    @property
    def is_full(self) -> bool:
        """Whether no more may be queued before some are drained."""
        return len(self._waiting) >= MOST_WAITING

    def __call__(self, state: TrainState, batch: Batch) -> StepReport:
        self.queue(state, batch)
        return list(self.told(state, self.drained()))[-1]

    def queue(self, state: TrainState, batch: Batch) -> None:
        """Queue the update of ``state`` by ``batch``. ``state.step`` counts it; what the host keeps of it lags."""
        step, before = state.step, self._waiting[-1] if self._waiting else state
        seen = batch.audited(before.seen)
        masked = before.masked_examples + int((~batch.valid.numpy()).sum())
        told = self._update(state, batch)
        self._waiting.append(_Waiting(step=step, told=told, seen=seen, masked_examples=masked))

    def drained(self) -> list[tuple[float, float]]:
        """The loss and the norm of every step that was queued, when it has run: here the host waits."""
        if not self._waiting:
            return []
        numbers: list[list[float]] = torch.stack([each.told for each in self._waiting]).tolist()
        return [(loss, norm) for loss, norm in numbers]

    def told(self, state: TrainState, numbers: list[tuple[float, float]]) -> Iterator[StepReport]:
        """Bring ``state`` up to date by what was :meth:`drained`, step by step, and tell of each; the last that is told
        of is the first that is not finite, if any, and ``state`` is then the one before it."""
        waiting, self._waiting = self._waiting, []
        for each, (loss, norm) in zip(waiting, numbers, strict=True):
            finite = math.isfinite(loss) and math.isfinite(norm)
            if finite:
                state.losses.append(loss)
                state.seen, state.masked_examples = each.seen, each.masked_examples
            else:
                state.step = each.step
            yield StepReport(
                step=each.step + finite,
                loss=loss,
                learning_rate=self._update.learning_rate(each.step),
                gradient_norm=norm,
                finite=finite,
            )
            if not finite:
                return


def lagging_steps(
    state: TrainState,
    step: LaggingStep,
    batches: Iterator[Batch],
    *,
    num_steps: int,
    time: QueuedTime,
    due: Callable[[int], bool],
) -> Iterator[StepReport]:
    """What :func:`levelfield.train.loop.training_steps` does, by steps that are queued: reports come late, several at a
    time, where ``due`` says after a step that somebody wants to look.

    ``state`` is the one of a report, weights and all, where its ``step`` is the report's: at the last one of those that
    come together.
    """
    while state.step < num_steps:
        with time.waiting_for_data():
            batch = next(batches)
        with time.queueing():
            step.queue(state, batch)
        if state.step < num_steps and not step.is_full and not due(state.step):
            continue
        numbers = step.drained()
        time.settle()
        for report in step.told(state, numbers):
            yield report
            if not report.finite:
                return
