"""What an example drops in a step depends on the seed, the step and its position, and on nothing that executes it."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from levelfield.data.loader import Batch
from levelfield.data.sources import open_source_once
from levelfield.records import trial as trials
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.study.plan.recipes import preset
from levelfield.tasks.registry import task_named
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep, noise_streams
from levelfield.train.update import PlainSide

CPU = torch.device("cpu")
DATA = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)
NETWORKS = {
    "nfnet:w8-d1x2-g4-s4": "nfnet-short",
    "vit:w16-d2-p4-h2": "vit-short",
    "timm:convnextv2_atto,depths=1x1x1x1,dims=8x8x16x16,patch_size=1": "vit-short",
}


def trial(architecture: str = "vit:w16-d2-p4-h2", **override: float) -> TrialSpec:
    noise = {"dropout": 0.2, "stochastic_depth": 0.3, "warmup_fraction": 0.0, **override}
    return TrialSpec(
        architecture=architecture,
        data=DATA,
        recipe=preset(NETWORKS[architecture], peak_lr=0.01, override=noise),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=12,
        steps=4,
        seed=3,
    )


def opened(spec: TrialSpec) -> TrainState:
    """The state of ``spec`` with what starts shut open, so that every tensor has a gradient."""
    state = build_state(spec, open_source_once(DATA), device=CPU)
    with torch.no_grad():
        for name, parameter in state.parameters.items():
            if name.startswith("head.") or name.endswith("skip_gain"):
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    return state


def gradient(spec: TrialSpec, batch: Batch, parts: int) -> torch.Tensor:
    """The gradient of ``batch`` when it is run in so many parts, whatever torch's own generator holds."""
    state = opened(spec)
    torch.manual_seed(parts)
    step = TrainingStep(spec, task_named(spec.task), device=CPU)
    ends = [len(batch) * end // parts for end in range(parts + 1)]
    step._backward(state, batch, [slice(*ends) for ends in itertools.pairwise(ends)])
    gradients = [parameter.grad for parameter in state.parameters.values()]
    return torch.cat([each.flatten() for each in gradients if each is not None])


def first_batch(spec: TrialSpec) -> Batch:
    return next(iter(training_loader(spec, open_source_once(DATA), start_step=0)))


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_in_parts_has_the_gradient_of_the_whole_batch(architecture: str, masked: bool) -> None:
    spec = trial(architecture)
    batch = first_batch(spec)
    if masked:
        batch = dataclasses.replace(batch, valid=torch.arange(12) % 5 != 1)
    whole = gradient(spec, batch, 1)
    for parts in (2, 3, 12):
        assert (gradient(spec, batch, parts) - whole).norm() <= 1e-6 * whole.norm()
    silent = gradient(trial(architecture, dropout=0.0, stochastic_depth=0.0), batch, 1)
    assert (silent - whole).norm() > 0.1 * whole.norm()


def test_streams_are_of_the_seed_the_step_and_the_position_alone() -> None:
    positions = np.arange(24, 36)
    whole = noise_streams(3, 2, positions)
    ranks = torch.cat([noise_streams(3, 2, positions[rank::3]) for rank in range(3)])
    assert torch.equal(ranks.view(3, 4).T.flatten(), whole)
    others = [noise_streams(4, 2, positions), noise_streams(3, 3, positions), noise_streams(3, 2, positions + 12)]
    assert len(set(torch.cat([whole, *others]).tolist())) == 48


def test_a_step_leaves_torchs_generators_alone() -> None:
    spec = trial()
    state, step = opened(spec), TrainingStep(spec, task_named(spec.task), device=CPU, side=PlainSide(spec))
    before = torch.get_rng_state()
    assert step(state, first_batch(spec)).finite
    assert torch.equal(torch.get_rng_state(), before)


def test_other_random_numbers_are_another_trial_and_only_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, silent = trial(), trial(dropout=0.0, stochastic_depth=0.0)
    before = noisy.fingerprint, silent.fingerprint
    monkeypatch.setattr(trials, "NOISE_VERSION", trials.NOISE_VERSION + 1)
    trials._fingerprint_of.cache_clear()
    after = [dataclasses.replace(spec, steps=spec.steps).fingerprint for spec in (noisy, silent)]
    trials._fingerprint_of.cache_clear()
    assert after[0] != before[0]
    assert after[1] == before[1]
