"""A few steps of the project's own training on a device, and the same in float64 on the CPU to compare them with."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from levelfield.data.loader import Batch
from levelfield.data.sources import open_source_once
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import Dtype, TrialSpec
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.study.plan.recipes import preset
from levelfield.tasks.registry import task_named
from levelfield.train.engine.graph.step import GraphUpdate
from levelfield.train.lagging import LaggingStep, PlainUpdate
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep
from levelfield.train.update import PlainSide

CPU = torch.device("cpu")
STEPS = 5
How: TypeAlias = Literal["plain", "queued", "graph"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained; ``override`` replaces single fields of the preset."""

    architecture: str
    recipe: str
    peak_lr: float
    override: tuple[tuple[str, Any], ...] = ()
    batch: int = 64

    @property
    def title(self) -> str:
        return ", ".join([self.architecture, self.recipe, *(f"{name} {value}" for name, value in self.override)])

    def trial(self, *, resolution: int, dtype: Dtype = "float32", steps: int = STEPS, **changes: Any) -> TrialSpec:
        """The trial, at full rate from its first step: five steps of warming up would move little."""
        override = {"warmup_fraction": 0.0, **dict(self.override)}
        spec = TrialSpec(
            architecture=self.architecture,
            data=DigitPairsSpec(resolution=resolution, select_examples=512, report_examples=512),
            recipe=preset(self.recipe, peak_lr=self.peak_lr, override=override),
            head=LinearHead(num_outputs=100),
            budget_flops=1e8,
            global_batch_size=self.batch,
            steps=steps,
            dtype=dtype,
        )
        return dataclasses.replace(spec, **changes)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Weights before and after, their averages, and the losses, on the CPU in the precision they were trained in."""

    start: dict[str, Tensor]
    weights: dict[str, Tensor]
    averages: dict[str, Tensor]
    losses: list[float]

    def equals(self, other: Trained) -> bool:
        """To the last bit."""
        pairs = [*zip(self.weights.values(), other.weights.values(), strict=True)]
        pairs += zip(self.averages.values(), other.averages.values(), strict=True)
        return self.losses == other.losses and all(torch.equal(one, two) for one, two in pairs)


def trained(
    spec: TrialSpec,
    device: torch.device,
    *,
    in_float64: bool = False,
    by: How = "plain",
    pause: Callable[[TrainState], TrainState] | None = None,
) -> Trained:
    """All steps of ``spec``; after half of them ``pause`` may put another state in the place of the one so far."""
    torch.set_num_threads(os.cpu_count() or 1)
    state = build_state(spec, open_source_once(spec.data), device=device)
    start = copied(state)
    step = step_taken(spec, device, by)
    with float64(state) if in_float64 else as_it_is():
        for batch in batches_of(spec):
            report = step(state, batch)
            assert report.finite, f"step {report.step} is not finite: loss {report.loss}"
            if pause is not None and state.step == spec.steps // 2:
                state = pause(state)
    kept = state.average.averages if state.average else []
    averages = {name: tensor.detach().cpu() for name, tensor in zip(state.parameters, kept, strict=bool(kept))}
    return Trained(start=start, weights=copied(state), averages=averages, losses=state.losses)


def step_taken(spec: TrialSpec, device: torch.device, by: How) -> TrainingStep | LaggingStep:
    """The step of ``spec``, the plain one, that one queued, or the graph engine's."""
    task = task_named(spec.task)
    if by == "graph":
        return LaggingStep(GraphUpdate(spec, task, device=device))
    side = PlainSide(spec)
    step = TrainingStep(spec, task, device=device, side=side)
    return step if by == "plain" else LaggingStep(PlainUpdate(step, side))


def batches_of(spec: TrialSpec, start_step: int = 0) -> Iterator[Batch]:
    """The batches of ``spec``, drawn on the CPU."""
    batches = iter(training_loader(spec, open_source_once(spec.data), start_step=start_step))
    return islice(batches, spec.steps - start_step)


def copied(state: TrainState) -> dict[str, Tensor]:
    """The weights by name, on the CPU."""
    return {name: parameter.detach().cpu().clone() for name, parameter in state.parameters.items()}


@contextmanager
def as_it_is() -> Iterator[None]:
    yield


@contextmanager
def float64(state: TrainState) -> Iterator[None]:
    """All of training in double precision: the state, new tensors, and what the code casts by ``.float()``.

    Those casts (pixels, logits, the reported loss) are why ``model.double()`` alone would not do.
    """
    state.model.double()
    if state.average:
        state.average.averages = [tensor.double() for tensor in state.average.averages]
    single = torch.Tensor.float
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.Tensor.float = single
        torch.set_default_dtype(torch.float32)


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Relative: of how far all weights moved, of the worst tensor of it, of the averages, and of the losses."""

    moved: float
    worst: float
    worst_name: str
    averaged: float
    losses: float


def errors(seen: Trained, reference: Trained) -> Errors:
    """Of ``seen`` against ``reference``, in float64."""
    moves = {name: _moves(name, seen, reference) for name in reference.weights}
    total = math.sqrt(sum(float(wanted.square().sum()) for _, wanted in moves.values()))
    # A tensor that hardly moved has no relative error worth telling.
    worst = max(
        (_relative([move], [wanted]), name)
        for name, (move, wanted) in moves.items()
        if float(wanted.norm()) > 1e-3 * total
    )
    return Errors(
        moved=_relative([move for move, _ in moves.values()], [wanted for _, wanted in moves.values()]),
        worst=worst[0],
        worst_name=worst[1],
        averaged=_relative(
            *([_told(name, tensor) for name, tensor in run.averages.items()] for run in (seen, reference))
        ),
        losses=max(abs(one - two) / two for one, two in zip(seen.losses, reference.losses, strict=True)),
    )


def _moves(name: str, seen: Trained, reference: Trained) -> tuple[Tensor, Tensor]:
    """How far a tensor moved, and how far it should have."""
    one, two = (_told(name, run.weights[name].double() - run.start[name].double()) for run in (seen, reference))
    return one, two


def _told(name: str, tensor: Tensor) -> Tensor:
    """``tensor`` without the biases of ViT's keys.

    They cannot change a softmax, so their gradients are rounding alone, which Adam blows up to whole steps.
    """
    if not name.endswith("qkv.bias"):
        return tensor
    width = len(tensor) // 3
    return torch.cat([tensor[:width], tensor[2 * width :]])


def _relative(seen: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    off = sum(float((one.double() - two.double()).square().sum()) for one, two in zip(seen, wanted, strict=True))
    size = sum(float(two.double().square().sum()) for two in wanted)
    return math.sqrt(off / size) if size else math.sqrt(off)
