"""A gradient that is no number, in whichever tensor it begins, leaves every bit of a state as it was."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from levelfield.data.sources import open_source_once
from levelfield.native.library import kernels
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.study.plan.recipes import preset
from levelfield.tasks.registry import task_named
from levelfield.train.engine.lean import LeanSide
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep

CPU = torch.device("cpu")
DATA = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)
NETWORKS = {
    "nfnet:w8-d1x1-g4-s4": "nfnet-short",
    "vit:w16-d1-p8,pool=map": "vit-short",
    "timm:resnet10t,channels=8x8x16x16,stem_width=8": "vit-sgd-agc",
}


def trial(architecture: str) -> TrialSpec:
    return TrialSpec(
        architecture=architecture,
        data=DATA,
        recipe=preset(NETWORKS[architecture], peak_lr=0.01, override={"warmup_fraction": 0.0, "ema_fraction": 0.5}),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=4,
        steps=9,
    )


def everything(state: TrainState) -> Iterator[Tensor]:
    """All that a checkpoint holds."""
    plain = state.to_plain()
    yield from plain["model"].values()
    yield from plain["average"]
    for held in plain["optimizer"]["state"].values():
        yield from (each for each in held.values() if isinstance(each, Tensor))
    yield torch.tensor([plain["step"], plain["masked_examples"], plain["seen"][0]])
    yield plain["losses"]


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("lean", [False, True])
def test_it_leaves_the_state_untouched_and_ends_the_trial_there(architecture: str, lean: bool) -> None:
    spec, found = trial(architecture), kernels()
    if lean and found is None:
        pytest.skip("no C compiler is installed")
    state = build_state(spec, open_source_once(DATA), device=CPU)
    side = LeanSide(spec, found) if lean and found is not None else None
    step = TrainingStep(spec, task_named(spec.task), device=CPU, side=side)
    loader = training_loader(spec, open_source_once(DATA), start_step=0)
    first, second = itertools.islice(loader, 2)
    assert step(state, first).finite
    before = [each.clone() for each in everything(state)]
    graded = side._graded if side else list(state.parameters.values())
    assert len(graded) >= (len(state.parameters) + 1) // 2
    for place, tensor in enumerate(graded):
        worst = (torch.nan, torch.inf, -torch.inf)[place % 3]
        hook = tensor.register_hook(lambda gradient, worst=worst: _one(gradient, worst))
        report = step(state, second)
        hook.remove()
        assert not report.finite, place
        assert report.step == 1
        assert all(torch.equal(now, then) for now, then in zip(everything(state), before, strict=True)), place
    assert step(state, second).finite


def _one(gradient: Tensor, worst: float) -> Tensor:
    """``gradient`` with one of its numbers replaced."""
    gradient = gradient.clone()
    gradient[(-1,) * gradient.ndim] = worst
    return gradient
