"""The lean engine against the plain step, its slow twin, and against both in double precision."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import pytest
import torch

from levelfield.data.loader import Batch
from levelfield.data.sources import open_source_once
from levelfield.native.library import kernels
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import Dtype, TrialSpec
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.study.plan.recipes import preset
from levelfield.tasks.registry import task_named
from levelfield.train.engine.lean import LeanForward, LeanSide, can_update
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep

from .test_training_equals_the_recipe import float64

CPU = torch.device("cpu")
DATA = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)
STEPS = 6
NFNET, VIT = "nfnet:w16-d1x2-g4-s4", "vit:w16-d2-p4-h2"
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "faithful": (NFNET, "nfnet-faithful", {}),
    "short": (NFNET, "nfnet-short", {}),
    "timm's standardisation, erf": (f"{NFNET},ws=timm,gelu=erf", "nfnet-short", {}),
    "plain momentum, heavy decay": (NFNET, "nfnet-short", {"nesterov": False, "weight_decay": 0.05}),
    "clipped globally": (NFNET, "nfnet-short", {"global_clip_norm": 0.05}),
    "no average": (NFNET, "nfnet-short", {"ema_fraction": 0.0}),
    "a rate for every depth": (NFNET, "nfnet-short", {"layer_decay": 0.7}),
    "dropout and dropped branches": (NFNET, "nfnet-short", {"dropout": 0.2, "stochastic_depth": 0.3}),
    "a transformer by SGD": (VIT, "vit-sgd-agc", {}),
    "AdamW": (VIT, "vit-short", {}),
    "AdamW, heavy decay, clipped": (
        f"{VIT},pool=token",
        "vit-short",
        {"weight_decay": 0.01, "beta2": 0.95, "global_clip_norm": 0.05},
    ),
    "AdamW with dropout, no average": (
        VIT,
        "vit-big-vision",
        {"dropout": 0.2, "ema_fraction": 0.0, "layer_decay": 0.7},
    ),
    "an NFNet by AdamW": (NFNET, "nfnet-adamw", {}),
}

BY_ADAM = [case for case in CASES if "AdamW" in case]


@pytest.fixture(autouse=True)
def _needs_kernels() -> None:
    if kernels() is None:
        pytest.skip("no C compiler is installed")


def trial(case: str, dtype: Dtype = "float32") -> TrialSpec:
    architecture, recipe, changed = CASES[case]
    override = {"warmup_fraction": 0.0, "ema_fraction": 0.3, **changed}
    return TrialSpec(
        architecture=architecture,
        data=DATA,
        recipe=preset(recipe, peak_lr=3e-3 if case in BY_ADAM else 0.3, override=override),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=16,
        steps=STEPS,
        dtype=dtype,
        weights="ema" if override["ema_fraction"] else "raw",
    )


def stepped(spec: TrialSpec, *, lean: bool, threads: int = 1) -> tuple[TrainState, TrainingStep]:
    state = build_state(spec, open_source_once(DATA), device=CPU)
    return state, a_step(spec, lean=lean, threads=threads)


def a_step(spec: TrialSpec, *, lean: bool, threads: int = 1) -> TrainingStep:
    found = kernels()
    assert found is not None
    side = LeanSide(spec, found, threads=threads) if lean else None
    return TrainingStep(spec, task_named(spec.task), device=CPU, side=side)


def batches(spec: TrialSpec, start: int = 0) -> list[Batch]:
    return list(itertools.islice(training_loader(spec, open_source_once(DATA), start_step=start), STEPS - start))


def trained(spec: TrialSpec, *, lean: bool, threads: int = 1, begun: TrainState | None = None) -> TrainState:
    """The state of ``spec`` after all steps, from the weights of ``begun``: in double precision others are drawn."""
    state, step = stepped(spec, lean=lean, threads=threads)
    if begun is not None:
        for each, number in zip(state.parameters.values(), itertools.count()):
            held = list(begun.parameters.values())[number].detach()
            each.detach().copy_(held)
            if state.average:
                state.average.averages[number].copy_(held)
    for batch in batches(spec):
        assert step(state, batch).finite
    return state


def tensors(state: TrainState) -> dict[str, torch.Tensor]:
    """All that a checkpoint holds, by name."""
    found = {name: each.detach() for name, each in state.parameters.items()}
    for name, each in state.parameters.items():
        moments = state.optimizer.state[each].items()
        found |= {f"{moment} of {name}": tensor for moment, tensor in sorted(moments)}
    if state.average:
        averages = zip(state.parameters, state.average.averages, strict=True)
        found |= {f"average of {name}": each for name, each in averages}
    return found


def moved(state: TrainState, start: TrainState) -> torch.Tensor:
    """All that training changed, as one vector."""
    changed, begun = tensors(state), {name: each.detach() for name, each in start.parameters.items()}
    return torch.cat([(each.double() - begun.get(name, torch.zeros(()))).flatten() for name, each in changed.items()])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_steps_err_no_more_than_the_plain_ones(case: str, dtype: Dtype) -> None:
    """In bfloat16 a step may be off by what that rounds; in float32 both are off by rounding alone.

    AdamW's first steps are signs, of gradients that are all but 0, too: so it is asked over three seeds.
    """
    plain, lean, whole = 0.0, 0.0, 0.0
    for seed in range(3 if case in BY_ADAM else 1):
        spec = dataclasses.replace(trial(case, dtype), seed=seed)
        start = build_state(spec, open_source_once(DATA), device=CPU)
        with float64():
            exact = moved(trained(dataclasses.replace(spec, dtype="float32"), lean=False, begun=start), start)
        plain += float((moved(trained(spec, lean=False), start) - exact).square().sum())
        lean += float((moved(trained(spec, lean=True), start) - exact).square().sum())
        whole += float(exact.square().sum())
    assert 0 < plain < (0.2 if dtype == "bfloat16" else 1e-4) ** 2 * whole
    assert lean <= 1.2**2 * plain, {"lean": lean**0.5, "plain": plain**0.5, "of": whole**0.5}


@pytest.mark.parametrize("case", ["short", "AdamW", "an NFNet by AdamW"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_state_that_was_kept_and_restored_goes_on_bit_for_bit(case: str, dtype: Dtype) -> None:
    spec = trial(case, dtype)
    whole = trained(spec, lean=True)
    state, step = stepped(spec, lean=True)
    for batch in batches(spec)[:3]:
        step(state, batch)
    kept = copy.deepcopy(state.to_plain())
    again, step = stepped(spec, lean=True)
    step(again, batches(spec)[0])  # its table is of a state that is about to be replaced
    again.restore(kept)
    for batch in batches(spec, start=3):
        step(again, batch)
    assert again.losses == whole.losses
    for name, each in tensors(whole).items():
        assert torch.equal(each, tensors(again)[name]), name


@pytest.mark.parametrize("case", ["short", "AdamW", "an NFNet by AdamW"])
def test_either_engine_goes_on_from_the_others_state(case: str) -> None:
    spec = trial(case)
    start = build_state(spec, open_source_once(DATA), device=CPU)
    whole = trained(spec, lean=False)
    for first in (False, True):
        begun, step = stepped(spec, lean=first)
        for batch in batches(spec)[:3]:
            step(begun, batch)
        state, step = stepped(spec, lean=not first)
        state.restore(copy.deepcopy(begun.to_plain()))
        for batch in batches(spec, start=3):
            step(state, batch)
        exact = moved(whole, start)
        assert (moved(state, start) - exact).norm() < 1e-3 * exact.norm()
        counts = [held["step"].item() for held in state.optimizer.state.values() if "step" in held]
        assert counts == [6.0] * (len(counts) if case == "short" else len(state.parameters))


@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_gradient_that_is_no_number_leaves_everything_as_it_was(place: int) -> None:
    spec = trial("short")
    state, step = stepped(spec, lean=True)
    first, second, *_ = batches(spec)
    step(state, first)
    before = {name: each.clone() for name, each in tensors(state).items()}
    side = step.side
    assert isinstance(side, LeanSide)
    poisoned = side._graded[place]
    hook = poisoned.register_hook(lambda gradient: torch.full_like(gradient, torch.nan))
    report = step(state, second)
    hook.remove()
    assert not report.finite
    assert state.step == 1
    for name, each in tensors(state).items():
        assert torch.equal(each, before[name]), name
    assert step(state, second).finite


def test_threads_share_rows_and_change_no_bit() -> None:
    spec = trial("short")
    one, two = tensors(trained(spec, lean=True)), tensors(trained(spec, lean=True, threads=3))
    gelus = max(float((one[name] - two[name]).abs().max()) for name in one)
    assert gelus < 1e-4  # torch's own gelu, where the kernels' does not share itself out


def test_what_a_forward_pass_meets_is_standardised_from_the_weights_as_they_are() -> None:
    spec = trial("faithful")
    state, step = stepped(spec, lean=True)
    for batch in batches(spec):
        step(state, batch)
    side = step.side
    assert isinstance(side, LeanSide)
    model: Any = state.model
    with torch.no_grad():
        wanted = model.standardised_weights()
    for seen, each in zip(side._met, wanted, strict=True):
        torch.testing.assert_close(seen.detach(), each, rtol=2e-6, atol=1e-6)


def test_recipes_of_another_kind_keep_the_plain_update() -> None:
    without = preset("nfnet-short", peak_lr=0.1, override={"momentum": 0.0, "nesterov": False})
    climbing = preset("nfnet-short", peak_lr=0.1, override={"sam_rho": 0.05})
    spec = trial("short")
    assert can_update(spec)
    assert can_update(trial("AdamW"))
    for recipe in (without, climbing):
        assert not can_update(TrialSpec(**{**vars(spec), "recipe": recipe}))


def test_the_forward_pass_of_other_recipes_is_the_plain_one_to_rounding() -> None:
    spec = trial("a transformer by SGD")
    found = kernels()
    assert found is not None
    plain = build_state(spec, open_source_once(DATA), device=CPU)
    lean = build_state(spec, open_source_once(DATA), device=CPU)
    task = task_named(spec.task)
    steps = [TrainingStep(spec, task, device=CPU, side=side) for side in (None, LeanForward(spec, found))]
    for batch in batches(spec):
        losses = [step(state, batch).loss for step, state in zip(steps, (plain, lean), strict=True)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
