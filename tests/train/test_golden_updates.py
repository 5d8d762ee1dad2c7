"""Whole updates against slow float64 references, written from their sources and told everything by name."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from levelfield.data.loader import Batch
from levelfield.families import registry
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import RecipeSpec, TrialSpec
from levelfield.study.plan.recipes import preset
from levelfield.train.policy import policy_table
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep

CPU = torch.device("cpu")
STEPS = 12
Named = Mapping[str, Tensor]

# Every preset on the family it is meant for, on a net with each kind of tensor that the family has.
NFNET, GAP, MAP, TOKEN = "nfnet:w8-d1x2-s4-g4", "vit:w8-d1-p8", "vit:w8-d2-p8,pool=map", "vit:w8-d1-p8,pool=token"
RECIPES = [
    ("nfnet-faithful", NFNET),
    ("nfnet-short", NFNET),
    ("nfnet-adamw", NFNET),
    ("vit-big-vision", TOKEN),
    ("vit-short", MAP),
    ("vit-sgd-agc", f"{MAP},pos=sincos2d"),
    ("vit-sgd-agc", GAP),
]


def spec_of(name: str, architecture: str) -> TrialSpec:
    """A short run of a preset, with enough decay, and a short enough average, to be seen in its weights."""
    peak_lr = 0.5 if "sgd" in name or name in ("nfnet-faithful", "nfnet-short") else 0.02
    noticed = {"weight_decay": 0.03, "ema_fraction": 0.15, "warmup_fraction": 0.25}
    return TrialSpec(
        architecture=architecture,
        data=DigitPairsSpec(resolution=16, select_examples=64, report_examples=64),
        recipe=preset(name, peak_lr=peak_lr, override=noticed),
        head=LinearHead(num_outputs=5),
        budget_flops=1e8,
        global_batch_size=2,
        steps=STEPS,
    )


def new_state(spec: TrialSpec, dtype: torch.dtype) -> TrainState:
    torch.manual_seed(0)
    model = registry.build(spec.architecture, num_outputs=5, resolution=16).to(dtype)
    roles = {name: registry.parameter_role(spec.architecture, name) for name, _ in model.named_parameters()}
    return TrainState(model, spec, policy_table(dict(model.named_parameters()), roles, spec.recipe))


class GivenGradients:
    """A task whose loss has the gradients that it is given, exactly: it is linear in the weights."""

    fields = ("image",)
    additive = True

    def __init__(self, weights: Named, gradients: Sequence[Named]) -> None:
        self.weights, self.gradients = weights, iter(gradients)

    def weight(self, fields: Named, valid: Tensor) -> Tensor:
        return torch.ones(())

    def loss(self, outputs: Tensor, fields: Named, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        gradients = next(self.gradients)
        return torch.stack([(weight * gradients[name]).sum() for name, weight in self.weights.items()]).sum()

    def head(self, known: Any) -> Any:
        raise NotImplementedError

    def measures(self, known: Any) -> Any:
        raise NotImplementedError

    def scores(self, outputs: Tensor, fields: Named) -> Any:
        raise NotImplementedError


def batch(step: int, dtype: torch.dtype) -> Batch:
    ids = np.array([2 * step, 2 * step + 1], dtype=np.int64)
    return Batch(
        positions=ids,
        epochs=np.zeros(2, dtype=np.int64),
        ids=ids,
        augment_keys=ids.astype(np.uint64),
        fields={"image": torch.zeros(2, 3, 16, 16, dtype=dtype)},
        valid=torch.ones(2, dtype=torch.bool),
    )


def given_gradients(weights: Named, steps: int) -> list[dict[str, Tensor]]:
    """Some units far above their limit, some far below; some units, whole tensors and one whole step are zero."""
    generator = torch.Generator().manual_seed(1)
    draw = lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    gradients: list[dict[str, Tensor]] = [{} for _ in range(steps)]
    for step in range(steps):
        for place, (name, weight) in enumerate(weights.items()):
            units = weight.shape[:1] + (1,) * (weight.ndim - 1)
            gradient = draw(weight.shape) * 10 ** (1.5 * draw(units) - 2)
            if weight.ndim > 1 and len(weight) > 1:
                gradient[step % len(weight)] = 0
            if step == 5 or (step + place) % 7 == 0:
                gradient = torch.zeros_like(gradient)
            gradients[step][name] = gradient
    return gradients


def is_kernel(name: str) -> bool:
    return name.endswith(".weight") and "norm" not in name


def has_units(name: str) -> bool:
    """The outputs of a kernel; and each learned position, of which the paper says nothing."""
    return is_kernel(name) or name == "position"


def is_clipped(name: str, recipe: str) -> bool:
    """2102.06171 section 4.1 and its code: all but the classifier's kernel; the short preset spares the skip gain."""
    return name != "head.weight" and not (recipe == "nfnet-short" and name.endswith("skip_gain"))


def clipped_by_hand(weight: Tensor, gradient: Tensor, clip_lambda: float, *, by_unit: bool) -> Tensor:
    """2102.06171 equation 3, one unit at a time, or all of a tensor that has none."""
    clipped = gradient.clone()
    for unit in range(len(weight)) if by_unit else [...]:
        limit = clip_lambda * max(math.sqrt((weight[unit] ** 2).sum().item()), 1e-3)
        norm = math.sqrt((gradient[unit] ** 2).sum().item())
        if norm > limit:
            clipped[unit] = gradient[unit] * (limit / norm)
    return clipped


def updated_by_hand(start: Named, steps: Sequence[Named], name: str, recipe: RecipeSpec) -> tuple[Named, Named]:
    """(weights, averages) after ``steps``, in float64, as 2102.06171 and its code say, or big_vision."""
    weights = {key: tensor.clone() for key, tensor in start.items()}
    averages = {key: tensor.clone() for key, tensor in start.items()}
    first = {key: torch.zeros_like(tensor) for key, tensor in start.items()}
    second = {key: torch.zeros_like(tensor) for key, tensor in start.items()}
    for t, gradients in enumerate(steps, start=1):
        schedule = t / 3 if t <= 3 else (1 + math.cos(math.pi * (t - 4) / (STEPS - 3))) / 2
        rate = recipe.peak_lr * schedule
        joint = math.sqrt(sum((gradient**2).sum().item() for gradient in gradients.values()))
        for key, weight in weights.items():
            gradient, decay = gradients[key], 0.03 if is_kernel(key) else 0.0
            if "adamw" in name or name in ("vit-big-vision", "vit-short"):
                beta2 = 0.999 if name == "vit-big-vision" else 0.95
                gradient = gradient / max(1.0, joint)
                first[key] = 0.9 * first[key] + 0.1 * gradient
                second[key] = beta2 * second[key] + (1 - beta2) * gradient**2
                step = first[key] / (1 - 0.9**t) / ((second[key] / (1 - beta2**t)).sqrt() + 1e-8)
                weights[key] = weight - rate * step - schedule * decay * weight  # whatever the peak rate is
            else:
                if is_clipped(key, name):
                    clip_lambda = 0.01 if name == "nfnet-faithful" else 0.16
                    gradient = clipped_by_hand(weight, gradient, clip_lambda, by_unit=has_units(key))
                gradient = gradient + decay * weight  # coupled, and after clipping
                first[key] = 0.9 * first[key] + gradient
                weights[key] = weight - rate * (gradient + 0.9 * first[key])
        remembered = min(1 - 1 / (0.15 * STEPS), (1 + t) / (10 + t))
        averages = {key: remembered * averages[key] + (1 - remembered) * weights[key] for key in weights}
    return weights, averages


@pytest.mark.parametrize(("name", "architecture"), RECIPES)
def test_every_weight_and_its_average_move_as_the_sources_say(name: str, architecture: str) -> None:
    spec = spec_of(name, architecture)
    state = new_state(spec, torch.float64)
    start = {key: weight.detach().clone() for key, weight in state.parameters.items()}
    assert any(not weight.any() for weight in start.values())
    gradients = given_gradients(start, STEPS)
    step = TrainingStep(spec, GivenGradients(state.parameters, gradients), device=CPU)
    assert all(step(state, batch(t, torch.float64)).finite for t in range(STEPS))
    weights, averages = updated_by_hand(start, gradients, name, spec.recipe)
    assert state.average is not None
    for place, (key, weight) in enumerate(state.parameters.items()):
        message = lambda text, key=key: f"{key}: {text}"  # noqa: E731
        assert not torch.equal(weight, start[key]), key
        torch.testing.assert_close(weight.detach(), weights[key], rtol=1e-12, atol=1e-15, msg=message)
        torch.testing.assert_close(state.average.averages[place], averages[key], rtol=1e-12, atol=1e-15, msg=message)


@pytest.mark.parametrize(("name", "architecture"), [("nfnet-faithful", NFNET), ("vit-big-vision", TOKEN)])
def test_float32_updates_are_the_float64_ones_to_rounding(name: str, architecture: str) -> None:
    spec = spec_of(name, architecture)
    state = new_state(spec, torch.float32)
    start = {key: weight.detach().double() for key, weight in state.parameters.items()}
    gradients = [{key: tensor.float() for key, tensor in step.items()} for step in given_gradients(start, STEPS)]
    step = TrainingStep(spec, GivenGradients(state.parameters, gradients), device=CPU)
    for t in range(STEPS):
        step(state, batch(t, torch.float32))
    exact = [{key: tensor.double() for key, tensor in given.items()} for given in gradients]
    weights, _ = updated_by_hand(start, exact, name, spec.recipe)
    for key, weight in state.parameters.items():
        scale = weights[key].abs().max().item()
        torch.testing.assert_close(weight.double(), weights[key], rtol=0, atol=1e-6 * scale, msg=key)


class FailsAt(GivenGradients):
    """The same with ``term`` of the head's bias added to the loss of one step."""

    def __init__(
        self, weights: Named, gradients: Sequence[Named], *, step: int, term: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(weights, gradients)
        self.terms = iter([term if place == step else torch.sum for place in range(len(gradients))])

    def loss(self, outputs: Tensor, fields: Named, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        return super().loss(outputs, fields, valid, recipe) + next(self.terms)(self.weights["head.bias"])


@pytest.mark.parametrize("name", ["nfnet-faithful", "vit-big-vision"])
@pytest.mark.parametrize(
    ("term", "loss_is_finite"),
    [
        (lambda bias: (bias - bias.detach()).abs().sqrt().sum(), True),  # a gradient of 0 / 0
        (lambda bias: (bias - bias.detach()).sum() * 3e38 * 10, True),
        (lambda bias: bias.sum() + math.inf, False),  # only the loss
        (lambda bias: bias.sum() * math.nan, False),
    ],
    ids=["a gradient that is nan", "a gradient that overflows", "an infinite loss", "nan everywhere"],
)
def test_a_step_that_is_not_finite_changes_nothing(
    name: str, term: Callable[[Tensor], Tensor], loss_is_finite: bool
) -> None:
    spec = spec_of(name, NFNET if name.startswith("nfnet") else TOKEN)
    state = new_state(spec, torch.float32)
    gradients = [{key: tensor.float() for key, tensor in step.items()} for step in given_gradients(state.parameters, 4)]
    step = TrainingStep(spec, FailsAt(state.parameters, gradients, step=3, term=term), device=CPU)
    for t in range(3):
        assert step(state, batch(t, torch.float32)).finite
    before = copy.deepcopy(state.to_plain())
    report = step(state, batch(3, torch.float32))
    assert not report.finite
    assert math.isfinite(report.loss) == loss_is_finite
    assert report.step == 3
    assert plain_equal(state.to_plain(), before)


def plain_equal(first: Any, second: Any) -> bool:
    """Whether two nests of dictionaries, lists and tensors are equal bit for bit."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(plain_equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(plain_equal, first, second))
    return first == second
