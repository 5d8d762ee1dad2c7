"""Steps that nobody waits for: to the last bit those of the plain loop, stopped by a flag that stays on the device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from levelfield.data.loader import Batch
from levelfield.data.sources import open_source_once
from levelfield.records.trial import Dtype, TrialSpec
from levelfield.study.execute.parts import build_state
from levelfield.tasks.registry import task_named
from levelfield.train.lagging import MOST_WAITING, LaggingStep, PlainUpdate, lagging_steps
from levelfield.train.loop import training_steps
from levelfield.train.queued_time import HostMarks, QueuedTime
from levelfield.train.state import TrainState
from levelfield.train.step import StepReport, TrainingStep
from levelfield.train.timing import Stopwatch
from levelfield.train.update import PlainSide

from .test_lean import CASES, CPU, DATA, STEPS, batches, trial
from .test_not_finite import everything

Wait = Callable[[int], bool]


class NoLook(TorchDispatchMode):
    """Refuses every operator by which the host would wait for a device, whose result is a number, or whose shape is;
    and those named ``also``."""

    NAMES = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "unique", "bincount")

    def __init__(self, *also: str) -> None:
        super().__init__()
        self._refused = {each.lstrip("_") for each in (*self.NAMES, *also)}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        chosen = name in ("index", "index_put_") and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        if chosen or name.lstrip("_") in self._refused:
            raise AssertionError(f"the host waits for {name}")
        return func(*args, **(kwargs or {}))


def begun(spec: TrialSpec) -> TrainState:
    return build_state(spec, open_source_once(DATA), device=CPU)


def a_lagging_step(spec: TrialSpec) -> LaggingStep:
    side = PlainSide(spec)
    return LaggingStep(PlainUpdate(TrainingStep(spec, task_named(spec.task), device=CPU, side=side), side))


def lagging(
    spec: TrialSpec, state: TrainState, held: list[Batch], due: Wait, step: LaggingStep | None = None
) -> Iterator[StepReport]:
    time = QueuedTime(Stopwatch(CPU), HostMarks())
    taken = step or a_lagging_step(spec)
    return lagging_steps(state, taken, iter(held), num_steps=spec.steps, time=time, due=due)


def plainly(spec: TrialSpec, state: TrainState, held: list[Batch]) -> Iterator[StepReport]:
    step = TrainingStep(spec, task_named(spec.task), device=CPU)
    return training_steps(state, step, iter(held), num_steps=spec.steps, stopwatch=Stopwatch(CPU))


def assert_equal(state: TrainState, other: TrainState) -> None:
    assert all(torch.equal(one, two) for one, two in zip(everything_of(state), everything_of(other), strict=True))
    assert (state.step, state.losses, state.seen) == (other.step, other.losses, other.seen)
    assert state.masked_examples == other.masked_examples


def breaking(worst: float, *, at: int) -> Callable[[Tensor], Tensor]:
    """A hook that puts ``worst`` into a gradient of step ``at``, counted from 0."""
    number = itertools.count()

    def hook(gradient: Tensor) -> Tensor:
        return gradient.index_fill(0, torch.tensor([0]), worst) if next(number) == at else gradient

    return hook


def everything_of(state: TrainState) -> Iterator[Tensor]:
    return everything(state) if state.average else iter(state.parameters.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_they_are_the_steps_of_the_plain_loop_to_the_last_bit(case: str, dtype: Dtype) -> None:
    spec = trial(case, dtype)
    held = batches(spec)
    plain, late = begun(spec), begun(spec)
    told = list(plainly(spec, plain, held))
    assert list(lagging(spec, late, held, due=lambda step: step == 4)) == told
    assert_equal(late, plain)


@pytest.mark.parametrize("case", ["short", "AdamW, heavy decay, clipped"])
def test_nothing_is_looked_at_between_drains(case: str) -> None:
    """A refusal of every operator that would wait, over forward and backward pass, guard, update and average."""
    spec = trial(case)
    state, step = begun(spec), a_lagging_step(spec)
    first, *rest = batches(spec)
    step.queue(state, first)
    with NoLook():
        for batch in rest:
            step.queue(state, batch)
        with pytest.raises(AssertionError, match="the host waits"):
            float(next(iter(state.parameters.values())).sum())
    assert len(step.drained()) == STEPS


def test_the_plain_step_does_look_in_every_step() -> None:
    spec = trial("short")
    state, step = begun(spec), TrainingStep(spec, task_named(spec.task), device=CPU)
    with NoLook(), pytest.raises(AssertionError, match="the host waits"):
        step(state, batches(spec)[0])


@pytest.mark.parametrize("case", ["short", "AdamW", "clipped globally", "no average"])
@pytest.mark.parametrize("worst", [torch.nan, torch.inf])
def test_after_one_that_is_not_finite_no_step_changes_anything_and_the_state_is_that_before_it(
    case: str, worst: float
) -> None:
    spec = trial(case)
    held = batches(spec)
    plain, late = begun(spec), begun(spec)
    for state in (plain, late):
        list(state.parameters.values())[-1].register_hook(breaking(worst, at=3))
    told = list(plainly(spec, plain, held))
    assert [report.finite for report in told] == [True, True, True, False]
    reports = list(lagging(spec, late, held, due=lambda step: False))
    assert [(each.step, each.finite, each.learning_rate) for each in reports] == [
        (each.step, each.finite, each.learning_rate) for each in told
    ]
    assert_equal(late, plain)
    assert late.step == 3


def test_the_first_step_may_be_the_one_that_breaks() -> None:
    spec = trial("short")
    state, fresh = begun(spec), begun(spec)
    list(state.parameters.values())[-1].register_hook(lambda gradient: gradient * torch.nan)
    reports = list(lagging(spec, state, batches(spec), due=lambda step: False))
    assert [(report.step, report.finite) for report in reports] == [(0, False)]
    assert all(torch.equal(*pair) for pair in zip(state.parameters.values(), fresh.parameters.values(), strict=True))
    momenta = [held["momentum_buffer"] for held in state.optimizer.state.values()]
    assert not any(each.any() for each in momenta)
    assert state.average is not None
    assert fresh.average is not None
    assert all(torch.equal(*pair) for pair in zip(state.average.averages, fresh.average.averages, strict=True))


def test_a_report_that_is_followed_by_others_is_not_the_state_in_memory() -> None:
    spec = trial("short")
    state = begun(spec)
    settled = [
        report.step == state.step for report in lagging(spec, state, batches(spec), due=lambda step: step in (2, 5))
    ]
    assert settled == [False, True, False, False, True, True]


def test_what_was_seen_is_told_step_by_step() -> None:
    spec = trial("short")
    plain, late = begun(spec), begun(spec)
    held = batches(spec)
    seen = [(plain.seen, list(plain.losses)) for _ in plainly(spec, plain, held)]
    assert [(late.seen, list(late.losses)) for _ in lagging(spec, late, held, due=lambda step: False)] == seen


def test_no_more_wait_than_may() -> None:
    spec = trial("short")
    step, state, held = a_lagging_step(spec), begun(spec), batches(spec)
    step.queue(state, held[0])
    step._waiting *= MOST_WAITING - 1
    assert not step.is_full
    step.queue(state, held[1])
    assert step.is_full


def test_the_device_is_charged_from_where_it_begins_and_for_data_where_it_stood_idle() -> None:
    class Passed(HostMarks):
        """A device whose marks pass at moments of the test's choosing."""

        def __init__(self, *moments: float) -> None:
            self._moments = iter(moments)

        def mark(self) -> float:
            return next(self._moments)

    stopwatch = Stopwatch(CPU)
    time = QueuedTime(stopwatch, Passed(1.0, 3.0, 3.5, 6.0, 10.0, 11.0))
    for _ in range(2):
        with time.waiting_for_data(), time.queueing():
            pass
    time.settle()
    assert stopwatch.seconds["step"] == pytest.approx(4.5)
    assert stopwatch.seconds["data"] == pytest.approx(0.5, abs=0.1)
    with time.waiting_for_data(), time.queueing():
        pass
    time.settle()
    assert stopwatch.seconds["step"] == pytest.approx(5.5), "what lay between two drains is nobody's"
    assert stopwatch.wall_seconds["step"] == stopwatch.seconds["step"]
