"""Sharpness-aware steps against a slow float64 reference: no in-place move, one unit at a time, from the sources."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from levelfield.data.loader import Batch
from levelfield.data.transforms import to_float
from levelfield.families import registry
from levelfield.records.data import DigitPairsSpec
from levelfield.records.errors import SpecError
from levelfield.records.head import LinearHead
from levelfield.records.trial import TrialSpec
from levelfield.study.plan.recipes import preset
from levelfield.tasks.classification import Classification
from levelfield.train.policy import policy_table
from levelfield.train.sharpness import climbed
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep, noise_streams
from tests.narrowed import present
from tests.train.test_golden_updates import clipped_by_hand, has_units, is_clipped, is_kernel

CPU = torch.device("cpu")
STEPS, BATCH, CLASSES, SIDE = 6, 10, 5, 16
PICTURES = (BATCH, 3, SIDE, SIDE)
NFNET, VIT = "nfnet:w8-d1x2-s4-g4", "vit:w8-d2-p8,pool=map"
CASES = [
    ("nfnet-short", NFNET, 1.0),
    ("nfnet-faithful", NFNET, 0.2),
    ("vit-sgd-agc", VIT, 1.0),
    ("vit-sgd-agc", VIT, 0.2),
]
SMOOTHING, RHO = 0.1, 0.3


class InFloat64(Classification):
    """The task on outputs of double precision."""

    def loss(self, outputs, fields, valid, recipe):
        smoothed = recipe.label_smoothing
        losses = F.cross_entropy(outputs, fields["label"], reduction="none", label_smoothing=smoothed)
        return torch.where(valid, losses, 0.0).sum()


def spec_of(recipe: str, architecture: str, fraction: float, **override) -> TrialSpec:
    noticed = {
        "weight_decay": 0.03,
        "ema_fraction": 0.5,
        "warmup_fraction": 0.34,
        "dropout": 0.2,
        "stochastic_depth": 0.4,
        "label_smoothing": SMOOTHING,
        "sam_rho": RHO,
        "sam_fraction": fraction,
        **override,
    }
    if noticed["sam_rho"] is None:
        del noticed["sam_fraction"]
    return TrialSpec(
        architecture=architecture,
        data=DigitPairsSpec(resolution=SIDE),
        recipe=preset(recipe, peak_lr=0.1, override=noticed),
        head=LinearHead(num_outputs=CLASSES),
        budget_flops=1e8,
        global_batch_size=BATCH,
        steps=STEPS,
        seed=3,
    )


def new_state(spec: TrialSpec) -> TrainState:
    torch.manual_seed(0)
    model = registry.build(
        spec.architecture,
        num_outputs=CLASSES,
        resolution=SIDE,
        dropout=spec.recipe.dropout,
        stochastic_depth=spec.recipe.stochastic_depth,
    ).double()
    model.train()
    with torch.no_grad():  # open what starts shut, so that every tensor has a gradient to climb along
        for name, parameter in model.named_parameters():
            if name.startswith("head.") or name.endswith("skip_gain"):
                parameter.normal_(std=0.3)
    family = registry.parse(spec.architecture)
    roles = {name: registry.parameter_role(family, name) for name, _ in model.named_parameters()}
    depths = {name: registry.parameter_depth(family, name) for name, _ in model.named_parameters()}
    return TrainState(model, spec, policy_table(dict(model.named_parameters()), roles, spec.recipe, depths=depths))


def batches() -> list[Batch]:
    draw = np.random.default_rng(0)
    made = []
    for step in range(STEPS):
        ids = np.arange(step * BATCH, (step + 1) * BATCH)
        valid = np.ones(BATCH, dtype=bool)
        valid[[1, 7]] = step == 2, step != 3  # some masked, in the ascent's part and in the other
        made.append(
            Batch(
                positions=ids,
                epochs=np.zeros_like(ids),
                ids=ids,
                augment_keys=ids.astype(np.uint64),
                fields={
                    "image": to_float(torch.from_numpy(draw.integers(0, 256, PICTURES, dtype=np.uint8))).double(),
                    "label": torch.from_numpy(draw.integers(0, CLASSES, BATCH)),
                },
                valid=torch.from_numpy(valid),
            )
        )
    return made


def loss_by_hand(model, weights: dict[str, Tensor], batch: Batch, rows: slice, step: int, weight: float) -> Tensor:
    """The summed loss of the whole examples among ``rows``, over ``weight`` of them, under the draws of ``step``."""
    with model.noise.drawn_from(noise_streams(3, step, batch.positions[rows])):
        logits = functional_call(model, weights, (batch.fields["image"][rows],))
    log_probability = logits - logits.exp().sum(1, keepdim=True).log()
    right = log_probability[torch.arange(len(logits)), batch.fields["label"][rows]]
    each = -(1 - SMOOTHING) * right - SMOOTHING * log_probability.mean(1)
    return torch.where(batch.valid[rows], each, 0.0).sum() / weight


def gradient_by_hand(model, weights: dict[str, Tensor], loss) -> dict[str, Tensor]:
    free = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    return dict(zip(free, torch.autograd.grad(loss(free), list(free.values())), strict=True))


def trained_by_hand(spec: TrialSpec, state: TrainState, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and averages after every batch: 2010.01412 algorithm 1 around 2102.06171's update."""
    recipe = spec.recipe
    weights = {key: weight.detach().clone() for key, weight in state.parameters.items()}
    averages = {key: weight.clone() for key, weight in weights.items()}
    momentum = {key: torch.zeros_like(weight) for key, weight in weights.items()}
    ascent = 10 if recipe.sam_fraction == 1 else 2
    for t, batch in enumerate(batches(), start=1):
        among_first, among_all = int(batch.valid[:ascent].sum()), int(batch.valid.sum())

        def ascent_loss(free, batch=batch, step=t - 1, weight=among_first):
            return loss_by_hand(state.model, free, batch, slice(0, ascent), step, weight)

        def descent_loss(free, batch=batch, step=t - 1, weight=among_all):
            return loss_by_hand(state.model, free, batch, slice(0, BATCH), step, weight)

        up = gradient_by_hand(state.model, weights, ascent_loss)
        length = math.sqrt(sum((gradient**2).sum().item() for gradient in up.values()))
        worst = {key: weight + RHO * up[key] / length for key, weight in weights.items()}
        down = gradient_by_hand(state.model, worst, descent_loss)
        schedule = t / 2 if t <= 2 else (1 + math.cos(math.pi * (t - 3) / (STEPS - 2))) / 2
        for key, weight in weights.items():
            gradient = down[key]
            if is_clipped(key, name):  # against the weights themselves, not those that were climbed to
                gradient = clipped_by_hand(weight, gradient, present(recipe.agc_lambda), by_unit=has_units(key))
            gradient = gradient + (0.03 * weight if is_kernel(key) else 0)
            momentum[key] = 0.9 * momentum[key] + gradient
            weights[key] = weight - recipe.peak_lr * schedule * (gradient + 0.9 * momentum[key])
        remembered = min(1 - 1 / (0.5 * STEPS), (1 + t) / (10 + t))
        averages = {key: remembered * averages[key] + (1 - remembered) * weights[key] for key in weights}
    return weights, averages


@pytest.mark.parametrize(("name", "architecture", "fraction"), CASES)
def test_a_sharpness_aware_run_equals_the_slow_reference_in_float64(name, architecture, fraction):
    spec = spec_of(name, architecture, fraction)
    state = new_state(spec)
    weights, averages = trained_by_hand(spec, state, name)
    step = TrainingStep(spec, InFloat64(), device=CPU)
    assert all(step(state, batch).finite for batch in batches())
    assert state.average is not None
    for place, (key, weight) in enumerate(state.parameters.items()):
        close = {"rtol": 1e-6, "atol": 1e-9, "msg": lambda text, key=key: f"{key}: {text}"}
        torch.testing.assert_close(weight.detach(), weights[key], **close)
        torch.testing.assert_close(state.average.averages[place], averages[key], **close)


def test_the_reference_tells_a_run_without_the_ascent_apart():
    spec = spec_of("nfnet-short", NFNET, 1.0, sam_rho=None)
    state = new_state(spec)
    weights, _ = trained_by_hand(spec_of("nfnet-short", NFNET, 1.0), state, "nfnet-short")
    step = TrainingStep(spec, InFloat64(), device=CPU)
    for batch in batches():
        step(state, batch)
    moved = {key: (weight.detach() - weights[key]).norm() for key, weight in state.parameters.items()}
    assert max(float(moved[key] / weights[key].norm()) for key in moved) > 1e-2


@pytest.mark.parametrize("fraction", [1.0, 0.2])
def test_both_passes_meet_the_same_dropout_and_dropped_branches(fraction):
    """With no way to climb, the ascent's examples must have the same loss at both points, bit for bit."""

    class Remembered(InFloat64):
        def __init__(self):
            super().__init__()
            self.losses = []

        def loss(self, outputs, fields, valid, recipe):
            loss = super().loss(outputs, fields, valid, recipe)
            self.losses.append(loss.item())
            return loss

    spec = spec_of("vit-sgd-agc", VIT, fraction, sam_rho=1e-30)
    state, task = new_state(spec), Remembered()
    step = TrainingStep(spec, task, device=CPU)
    for batch in batches():
        step(state, batch)
    passes = 2 if fraction == 1 else 3
    seen = np.reshape(task.losses, (STEPS, passes))
    assert (seen[:, 0] == seen[:, 1]).all()
    assert len(set(task.losses)) == STEPS * (passes - 1)


def test_the_way_back_is_exact_and_in_place():
    weights = [torch.randn(4, 3), torch.randn(5), torch.zeros(())]
    before, places = [weight.clone() for weight in weights], [weight.data_ptr() for weight in weights]
    for weight in weights:
        weight.requires_grad_().grad = torch.randn(weight.shape)
    gradients = [present(weight.grad).clone() for weight in weights]
    with climbed(weights, rho=0.7):
        moved = torch.cat([(w.detach() - b).flatten() for w, b in zip(weights, before, strict=True)])
        along = torch.cat([gradient.flatten() for gradient in gradients])
        torch.testing.assert_close(moved, 0.7 * along / along.norm())
        assert all(weight.grad is None for weight in weights)
    assert all(torch.equal(w.detach(), b) for w, b in zip(weights, before, strict=True))
    assert [weight.data_ptr() for weight in weights] == places


def test_a_flat_loss_moves_nothing():
    weight = torch.ones(3).requires_grad_()
    weight.grad = torch.zeros(3)
    with climbed([weight], rho=0.5):
        assert torch.equal(weight.detach(), torch.ones(3))


def test_an_ascent_that_overflows_changes_no_weight():
    class Overflows(InFloat64):
        def loss(self, outputs, fields, valid, recipe):
            return super().loss(outputs, fields, valid, recipe) * 1e308 * 10

    spec = spec_of("nfnet-short", NFNET, 1.0)
    state = new_state(spec)
    before = {key: weight.detach().clone() for key, weight in state.parameters.items()}
    report = TrainingStep(spec, Overflows(), device=CPU)(state, batches()[0])
    assert not report.finite
    assert all(torch.equal(weight.detach(), before[key]) for key, weight in state.parameters.items())


@pytest.mark.parametrize(("fraction", "ascent"), [(1.0, 10), (0.2, 2), (0.01, 1)])
def test_the_examples_of_the_ascent_are_charged(fraction, ascent):
    spec = spec_of("nfnet-short", NFNET, fraction)
    assert spec.gradient_examples_per_step == BATCH + ascent
    assert spec_of("nfnet-short", NFNET, fraction, sam_rho=None).gradient_examples_per_step == BATCH


@pytest.mark.parametrize(
    ("field", "value"), [("sam_rho", 0.0), ("sam_rho", -1.0), ("sam_fraction", 0.0), ("sam_fraction", 1.1)]
)
def test_a_rho_or_a_share_that_cannot_be_meant_is_refused(field, value):
    with pytest.raises(SpecError, match=field):
        spec_of("nfnet-short", NFNET, 1.0, **{field: value})
