"""The two optimisers, as their sources define weight decay."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from levelfield.records.trial import RecipeSpec
from levelfield.train.policy import TensorPolicy

ADAM_EPS = 1e-8
"""Against division by zero: torch's and optax' own."""


class _Uncompiled(torch.optim.Optimizer):
    """torch's methods as they are written, without what wraps them for its compiler.

    The wrappers load torch._dynamo whether anything is compiled or not: 1.3 to 2 CPU seconds a process, as long as some
    trials train. What is computed is the same.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class _Sgd(_Uncompiled, torch.optim.SGD):
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class _AdamW(_Uncompiled, torch.optim.AdamW):
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def build_optimizer(
    parameters: Mapping[str, Tensor], policy: Iterable[TensorPolicy], recipe: RecipeSpec
) -> torch.optim.Optimizer:
    """SGD with momentum and coupled L2, or AdamW whose decay does not depend on the learning rate.

    Source: 2102.06171 section 6; big_vision optax.py.
    """
    decay = decay_handed(recipe)
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    for row in sorted(policy, key=lambda row: (not row.decayed, row.lr_scale)):
        groups.setdefault((row.decayed, row.lr_scale), []).append(parameters[row.name])
    tables = [
        {"params": held, "weight_decay": decay if decayed else 0.0, "lr_scale": scale}
        for (decayed, scale), held in groups.items()
    ]
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return _Sgd(tables, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=nesterov, fused=True)
    return _AdamW(tables, lr=recipe.peak_lr, betas=(recipe.beta1, recipe.beta2), eps=ADAM_EPS, fused=True)


def decay_handed(recipe: RecipeSpec) -> float:
    """The decay that an optimiser is handed for the tensors that have any.

    AdamW shrinks weights by lr * decay; big_vision shrinks them by schedule * weight_decay whatever the peak is, so
    what is handed over is divided by the peak.
    """
    return recipe.weight_decay if recipe.optimizer == "sgd" else recipe.weight_decay / recipe.peak_lr


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group ``learning_rate``, times its own scale (a checkpoint of before there were any has none)."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_scale", 1.0)


def step_while(alive: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """A step of ``optimizer`` while ``alive`` is set, a boolean scalar on its device; else it changes nothing.

    torch's fused optimisers look at ``found_inf`` on the device, as mixed precision needs it. They would leave the
    first momentum of a step that is none as it comes from memory, so it is made first.

    Source: torch/optim/sgd.py and adam.py, ``_fused_sgd`` and ``_fused_adam``.
    """
    for group in optimizer.param_groups:
        if group.get("momentum"):
            for parameter in group["params"]:
                optimizer.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
    scaled: Any = optimizer
    scaled.found_inf = alive.logical_not().float()
    optimizer.step()
    del scaled.found_inf
