"""Our training against straight-line scripts over timm's networks: equal losses and weights for 50 steps in float64.

Our side is what a trial runs: its presets, initial weights, batches, step and loop. Theirs is ``straight_line.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from levelfield.data.sources import open_source_once
from levelfield.families.nfnet.weights import under_timms_names
from levelfield.families.vit.weights import to_timm as vit_to_timm
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.study.plan.recipes import preset, preset_names
from levelfield.tasks.registry import task_named
from levelfield.train.loop import training_steps
from levelfield.train.step import TrainingStep
from levelfield.train.timing import Stopwatch
from tests.train import straight_line
from tests.train.straight_line import Run, train_as_2102_06171, train_as_big_vision

STEPS = 50
CPU = torch.device("cpu")
# Few images, so that much is learnt in few steps: then every rule matters.
DATA = DigitPairsSpec(resolution=16, stream_examples=48, select_examples=64, report_examples=64)

# Relative, and for weights by the norm of each tensor. Measured: losses to 2e-13. Weights to 2e-13, but to 2e-10 for
# the biases of ViT's keys under AdamW: they cannot change a softmax, so their gradients are rounding alone, which Adam
# divides by its eps of 1e-8.
LOSS_TOLERANCE = 1e-9
WEIGHT_TOLERANCE = 1e-8


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A network of ours and the same of timm's, at a learning rate, and the script that trains timm's.

    ``rules`` are the sources' numbers, not read from our presets: a preset that changes must fail here.
    """

    architecture: str
    network: Callable[[], nn.Module]
    peak_lr: float
    script: Callable[..., Run]
    rules: dict[str, Any]


NFNET = {"architecture": "nfnet:w16-d1x2-g4-s4", "network": straight_line.nfnet}
VIT = {"architecture": "vit:w16-d2-p4-h2", "network": straight_line.vit}
SGD_AGC = {"momentum": 0.9, "weight_decay": 1e-6, "ema_horizon": 0.05 * STEPS}
ADAM = {"beta1": 0.9, "max_norm": 1.0, "weight_decay": 1e-4, "ema_horizon": 0.05 * STEPS, "warmup_steps": 5}

PEERS = {
    "nfnet-faithful": Peer(
        **NFNET,
        peak_lr=0.5,
        script=train_as_2102_06171,
        rules=SGD_AGC | {"clip_lambda": 0.01, "clip_skip_gain": True, "warmup_steps": 1},
    ),
    "nfnet-short": Peer(
        **NFNET,
        peak_lr=0.2,
        script=train_as_2102_06171,
        rules=SGD_AGC | {"clip_lambda": 0.16, "clip_skip_gain": False, "warmup_steps": 5},
    ),
    "vit-big-vision": Peer(**VIT, peak_lr=0.01, script=train_as_big_vision, rules=ADAM | {"beta2": 0.999}),
    "vit-short": Peer(**VIT, peak_lr=0.02, script=train_as_big_vision, rules=ADAM | {"beta2": 0.95}),
    "nfnet-adamw": Peer(**NFNET, peak_lr=0.01, script=train_as_big_vision, rules=ADAM | {"beta2": 0.95}),
    "vit-sgd-agc": Peer(
        **VIT,
        peak_lr=0.3,
        script=train_as_2102_06171,
        rules=SGD_AGC | {"clip_lambda": 0.16, "clip_skip_gain": True, "warmup_steps": 5},
    ),
}


@pytest.mark.parametrize("name", preset_names())
def test_training_equals_a_straight_line_script_over_timms_network(name: str) -> None:
    _, ours = our_run(name)
    theirs = their_run(name)
    assert theirs.losses[-1] < 0.7 * theirs.losses[0]
    losses, weights = differences(ours, theirs)
    assert all(value < LOSS_TOLERANCE for value in losses.values()), worst(losses)
    assert all(value < WEIGHT_TOLERANCE for value in weights.values()), worst(weights)


@pytest.mark.parametrize(
    ("name", "rule", "wrong"),
    [
        ("nfnet-faithful", "clip_skip_gain", False),
        ("vit-sgd-agc", "warmup_steps", 4),
        ("vit-sgd-agc", "clip_lambda", 0.1601),
        ("vit-sgd-agc", "weight_decay", 0.0),
        ("vit-sgd-agc", "ema_horizon", 2.501),
        ("vit-short", "beta2", 0.9501),
        ("vit-short", "max_norm", 1.001),
        ("vit-short", "weight_decay", 1.001e-4),
    ],
)
def test_a_rule_that_is_off_by_a_little_shows(name: str, rule: str, wrong: float) -> None:
    _, ours = our_run(name)
    losses, weights = differences(ours, their_run(name, **{rule: wrong}))
    assert max(weights.values()) > 100 * WEIGHT_TOLERANCE
    assert max(losses.values()) > 100 * LOSS_TOLERANCE or rule == "ema_horizon"


@cache
def our_run(name: str) -> tuple[dict[str, Tensor], Run]:
    """The initial weights by timm's names, and what a trial makes of them."""
    spec, source = trial(name), open_source_once(DATA)
    with float64():
        state = build_state(spec, source, device=CPU)
        initial = timms_weights(state.model)
        step = TrainingStep(spec, task_named(spec.task), device=CPU)
        batches = iter(training_loader(spec, source, start_step=0))
        assert state.average is not None
        averaged, losses, averages = deepcopy(state.model), [], []
        for report in training_steps(state, step, batches, num_steps=STEPS, stopwatch=Stopwatch(CPU)):
            state.average.load_into(list(averaged.parameters()))
            averages.append(timms_weights(averaged))
            losses.append(report.loss)
        return initial, Run(losses=losses, averages=averages, weights=timms_weights(state.model))


def their_run(name: str, **wrong_rules: float) -> Run:
    """The straight-line script from our initial weights, over our batches."""
    peer, (initial, _) = PEERS[name], our_run(name)
    batches = islice(training_loader(trial(name), open_source_once(DATA), start_step=0), STEPS)
    with float64():
        network = peer.network()
        network.load_state_dict(initial)
        pairs = [(batch.fields["image"].double(), batch.fields["label"]) for batch in batches]
        return peer.script(network, pairs, peak_lr=peer.peak_lr, **peer.rules | wrong_rules)


def trial(name: str) -> TrialSpec:
    return TrialSpec(
        architecture=PEERS[name].architecture,
        data=DATA,
        recipe=preset(name, peak_lr=PEERS[name].peak_lr),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=16,
        steps=STEPS,
    )


@contextmanager
def float64() -> Iterator[None]:
    """All of training in double precision: new tensors by torch's default, and what our code casts by ``.float()``.

    Those casts (pixels, logits, the reported loss) are why ``model.double()`` would not do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def timms_weights(model: Any) -> dict[str, Tensor]:
    """A copy of the weights, by timm's names and in its shapes."""
    to_timm: Callable[[Any], dict[str, Tensor]] = {"nfnet": under_timms_names, "vit": vit_to_timm}[model.spec.family]
    return {name: tensor.clone() for name, tensor in to_timm(model).items()}


def differences(ours: Run, theirs: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Relative differences of each step's loss, and of each tensor of each step's average and of the last weights."""
    losses, weights = {}, {}
    for step, (mine, other) in enumerate(zip(ours.losses, theirs.losses, strict=True)):
        losses[f"loss of step {step}"] = abs(mine - other) / other
    tensors = {f"average {t}": pair for t, pair in enumerate(zip(ours.averages, theirs.averages, strict=True), start=1)}
    for kind, (mine, others) in {**tensors, "weights": (ours.weights, theirs.weights)}.items():
        assert mine.keys() == others.keys()
        for name, other in others.items():
            # A tensor that starts at zero and has not moved yet has no size to compare with.
            size = other.norm().clamp(min=torch.finfo(other.dtype).tiny)
            weights[f"{kind} of {name}"] = float((mine[name] - other).norm() / size)
    return losses, weights


def worst(by_name: dict[str, float]) -> str:
    """The three largest, for a message."""
    largest = sorted(by_name.items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name}: {value:.1e}" for name, value in largest)
