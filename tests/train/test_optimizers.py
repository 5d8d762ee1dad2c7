"""The optimisers are torch's own, to the bit, without its compiler."""

import subprocess
import sys

import pytest
import torch

from levelfield.records.trial import RecipeSpec
from levelfield.study.plan.recipes import preset
from levelfield.train.optimizers import build_optimizer
from levelfield.train.policy import TensorPolicy

SCRIPT = """
import sys, torch
from tests.train.test_optimizers import RECIPES, steps
for recipe in RECIPES.values():
    steps(recipe, ours=True)
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""

RECIPES: dict[str, RecipeSpec] = {
    "sgd": preset("nfnet-short", peak_lr=0.3),
    "adamw": preset("vit-short", peak_lr=0.01),
}


def steps(recipe: RecipeSpec, *, ours: bool):
    """Three steps, a state that is given back to another optimiser, and two more: weights and state."""
    torch.manual_seed(0)
    parameters = {name: torch.randn(3, 4, requires_grad=True) for name in ("kernel", "bias")}
    policy = [_policy(name, decayed=name == "kernel") for name in parameters]

    def made():
        optimizer = build_optimizer(parameters, policy, recipe)
        kind = torch.optim.SGD if recipe.optimizer == "sgd" else torch.optim.AdamW
        if ours:
            return optimizer
        return kind([dict(group) for group in optimizer.param_groups])

    optimizer = made()
    for number in range(5):
        if number == 3:
            held, optimizer = optimizer.state_dict(), made()
            optimizer.load_state_dict(held)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([each.sin().sum() * (number + 1) for each in parameters.values()]).sum().backward()
        optimizer.step()
    return [each.detach() for each in parameters.values()], optimizer.state_dict()


def _policy(name: str, *, decayed: bool) -> TensorPolicy:
    scale = 1.0 if decayed else 0.5
    return TensorPolicy(
        name=name, shape=(3, 4), role="kernel", clipped=True, decayed=decayed, unit_axis=None, lr_scale=scale
    )


@pytest.mark.parametrize("name", RECIPES)
def test_steps_and_states_are_those_of_torch_to_the_bit(name):
    weights, state = steps(RECIPES[name], ours=True)
    expected, expected_state = steps(RECIPES[name], ours=False)
    assert all(torch.equal(each, other) for each, other in zip(weights, expected, strict=True))
    assert state["param_groups"] == expected_state["param_groups"]
    for number, held in expected_state["state"].items():
        assert all(torch.equal(value, state["state"][number][key]) for key, value in held.items())


@pytest.mark.slow
def test_training_loads_nothing_of_torchs_compiler():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
