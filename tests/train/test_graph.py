"""The graph engine, uncaptured, against the plain step, its slow twin."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from levelfield.data.loader import Batch
from levelfield.data.sources import open_source_once
from levelfield.records.trial import Dtype, TrialSpec
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.tasks.registry import task_named
from levelfield.train.clipped import clipped_shares
from levelfield.train.engine.graph.layout import layout_of
from levelfield.train.engine.graph.step import GraphUpdate
from levelfield.train.lagging import LaggingStep
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep

from .test_lagging import NoLook, breaking
from .test_lean import BY_ADAM, CASES, CPU, DATA, moved, tensors, trial
from .test_lean import trained as in_plain_steps
from .test_training_equals_the_recipe import float64

SAM: dict[str, Any] = {"sam_rho": 0.05, "sam_fraction": 0.25}


def begun(spec: TrialSpec) -> TrainState:
    return build_state(spec, open_source_once(DATA), device=CPU)


def a_step(spec: TrialSpec, *, graph: bool) -> TrainingStep | LaggingStep:
    task = task_named(spec.task)
    return LaggingStep(GraphUpdate(spec, task, device=CPU)) if graph else TrainingStep(spec, task, device=CPU)


def batches(spec: TrialSpec, count: int, start: int = 0) -> list[Batch]:
    return list(itertools.islice(training_loader(spec, open_source_once(DATA), start_step=start), count))


def trained(spec: TrialSpec, *, graph: bool, steps: int | None = None) -> TrainState:
    state, step = begun(spec), a_step(spec, graph=graph)
    for batch in batches(spec, steps or spec.steps):
        assert step(state, batch).finite
    return state


def apart(one: TrainState, two: TrainState, start: TrainState) -> float:
    """How far apart two states are, as a share of what training moved."""
    here, there = moved(one, start), moved(two, start)
    return float((here - there).norm() / there.norm())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_steps_err_no_more_than_the_plain_ones(case: str, dtype: Dtype) -> None:
    """Against double precision, from the same weights. AdamW's first steps are signs, of gradients that are all but 0,
    too: so it is asked over three seeds."""
    plain, graph, whole = 0.0, 0.0, 0.0
    for seed in range(3 if case in BY_ADAM else 1):
        spec = dataclasses.replace(trial(case, dtype), seed=seed)
        start = begun(spec)
        with float64():
            exact = moved(in_plain_steps(dataclasses.replace(spec, dtype="float32"), lean=False, begun=start), start)
        plain += float((moved(trained(spec, graph=False), start) - exact).square().sum())
        graph += float((moved(trained(spec, graph=True), start) - exact).square().sum())
        whole += float(exact.square().sum())
    assert 0 < plain < (0.2 if dtype == "bfloat16" else 1e-4) ** 2 * whole
    assert graph <= 1.2**2 * plain, {"graph": graph**0.5, "plain": plain**0.5, "of": whole**0.5}


@pytest.mark.parametrize("case", ["short", "faithful", "a transformer by SGD", "AdamW"])
def test_fifty_steps_are_the_plain_ones_to_what_rounding_becomes(case: str) -> None:
    spec = dataclasses.replace(trial(case), steps=50, global_batch_size=8)
    graph, plain = trained(spec, graph=True), trained(spec, graph=False)
    assert apart(graph, plain, begun(spec)) < 1e-5
    assert graph.losses == pytest.approx(plain.losses, rel=1e-5)
    assert (graph.step, graph.seen) == (plain.step, plain.seen)


def test_a_sharpness_aware_step_is_the_plain_one() -> None:
    spec = trial("short")
    spec = dataclasses.replace(spec, recipe=dataclasses.replace(spec.recipe, **SAM))
    assert apart(trained(spec, graph=True), trained(spec, graph=False), begun(spec)) < 1e-5


def test_rows_that_hardly_vary_are_standardised_as_by_the_plain_step() -> None:
    """Below a floor the scale of a row no longer depends on its weights, and its gradient knows that."""
    spec, states = trial("faithful"), []
    for graph in (True, False):
        state, step = begun(spec), a_step(spec, graph=graph)
        with torch.no_grad():
            for name, each in state.parameters.items():
                if each.ndim == 4:
                    each[::2] *= 1e-4 if "conv1" in name else 1e-2
        assert step(state, batches(spec, 1)[0]).finite
        states.append(state)
    assert apart(states[0], states[1], begun(spec)) < 1e-5
    for each, other in zip(states[0].parameters.values(), states[1].parameters.values(), strict=True):
        assert torch.allclose(each, other, rtol=1e-4, atol=1e-9)


def test_a_batch_in_parts_is_the_batch() -> None:
    spec, states = trial("short"), []
    for size in (None, 6):
        state, update = begun(spec), GraphUpdate(spec, task_named(spec.task), device=CPU, microbatch_size=size)
        for batch in batches(spec, spec.steps):
            update(state, batch)
        states.append(state)
    assert apart(states[0], states[1], begun(spec)) < 1e-5


@pytest.mark.parametrize("case", ["short", "clipped globally", "AdamW", "dropout and dropped branches"])
def test_nothing_is_looked_at_and_nothing_sent_but_the_batch(case: str) -> None:
    """What a capture refuses: between the filling of memory and the end of the update nothing is read and nothing made
    of the host's numbers."""
    spec = trial(case)
    state, update = begun(spec), GraphUpdate(spec, task_named(spec.task), device=CPU)
    first, second = batches(spec, 2)
    update(state, first)
    update._fill(state, second)
    with NoLook("lift_fresh"):
        update._whole(state, second)
        with pytest.raises(AssertionError, match="the host waits"):
            torch.tensor(1.0).item()


@pytest.mark.parametrize("case", ["short", "AdamW"])
def test_after_a_gradient_that_is_no_number_nothing_changes(case: str) -> None:
    spec = trial(case)
    state, update = begun(spec), GraphUpdate(spec, task_named(spec.task), device=CPU)
    step, held = LaggingStep(update), batches(spec, 4)
    assert step(state, held[0]).finite
    before = {name: each.clone() for name, each in tensors(state).items()}
    update.side.leaves(state)[-1].register_hook(breaking(torch.nan, at=0))
    for batch in held[1:]:
        step.queue(state, batch)
    reports = list(step.told(state, step.drained()))
    assert [(report.step, report.finite) for report in reports] == [(1, False)]
    assert state.step == 1
    assert all(torch.equal(each, before[name]) for name, each in tensors(state).items())


@pytest.mark.parametrize("case", ["short", "AdamW", "no average"])
def test_a_state_that_was_kept_and_restored_goes_on_to_the_last_bit(case: str, tmp_path) -> None:
    spec = trial(case)
    whole = trained(spec, graph=True)
    cut = trained(spec, graph=True, steps=3)
    torch.save(cut.to_plain(), tmp_path / "saved")
    resumed = begun(spec)
    resumed.restore(torch.load(tmp_path / "saved"))
    step = a_step(spec, graph=True)
    for batch in batches(spec, spec.steps - 3, start=3):
        step(resumed, batch)
    assert all(torch.equal(each, tensors(whole)[name]) for name, each in tensors(resumed).items())
    assert resumed.losses == whole.losses


@pytest.mark.parametrize("case", ["short", "AdamW"])
def test_the_plain_step_goes_on_from_what_it_left_and_it_from_the_plain_steps(case: str) -> None:
    spec, states = trial(case), []
    for order in ((True, False), (False, True), (False, False)):
        state = begun(spec)
        for graph, (first, last) in zip(order, ((0, 3), (3, spec.steps)), strict=True):
            fresh = begun(spec)
            fresh.restore(state.to_plain())
            step = a_step(spec, graph=graph)
            for batch in batches(spec, last - first, start=first):
                assert step(fresh, batch).finite
            state = fresh
        states.append(state)
    for state in states[:2]:
        assert apart(state, states[2], begun(spec)) < 1e-5


@pytest.mark.parametrize("case", ["faithful", "short", "a transformer by SGD"])
def test_it_clips_the_units_that_the_plain_step_clips(case: str) -> None:
    spec, told = trial(case), []
    for graph in (True, False):
        state, step = begun(spec), a_step(spec, graph=graph)
        shares = [clipped_shares(step.side.scales(state)) for batch in batches(spec, 4) if step(state, batch).finite]
        told.append(shares)
    assert told[0] == told[1]


def test_parameters_lie_apart_and_units_of_equal_length_together() -> None:
    """Every number of a buffer belongs to one parameter at most, in its own order, and blocks are matrices of units."""
    state = begun(trial("a rate for every depth"))
    layout = layout_of(state.parameters, state.policy, state.model.standardised_parameters())  # pyright: ignore[reportCallIssue]
    buffer = torch.full((layout.length,), -1.0)
    for number, each in enumerate(layout.tensors):
        assert (each.within(buffer) == -1).all(), each.name
        each.within(buffer).fill_(number)
        assert each.rows * each.size == each.parameter.numel()
    assert {each.name for each in layout.tensors} == set(state.parameters)
    for block in layout.blocks:
        assert block.start % 64 == 0
        assert (block.within(buffer) >= 0).all()
        assert not block.standardised or len(block.standardised) == len(block.tensors)
    ends: list[Tensor] = []
    for group in layout.groups:
        held = [each for each in layout.tensors if group.start <= each.start < group.end]
        assert {(each.policy.decayed, each.policy.lr_scale) for each in held} == {(group.decayed, group.lr_scale)}
        ends.append(buffer[group.start : group.end])
    assert sum(map(len, ends)) == layout.length
