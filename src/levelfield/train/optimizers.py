"""The two optimisers, as their sources define weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from levelfield.records.trial import RecipeSpec
from levelfield.train.policy import TensorPolicy


def build_optimizer(
    parameters: Mapping[str, Tensor], policy: Iterable[TensorPolicy], recipe: RecipeSpec
) -> torch.optim.Optimizer:
    """Nesterov SGD with coupled L2, or AdamW whose decay does not depend on the learning rate.

    torch's AdamW shrinks weights by lr * weight_decay; big_vision shrinks them by schedule * weight_decay whatever the
    peak is, so the decay handed to torch is divided by the peak. Source: 2102.06171 section 6; big_vision optax.py.
    """
    rows = tuple(policy)
    decay = recipe.weight_decay if recipe.optimizer == "sgd" else recipe.weight_decay / recipe.peak_lr
    groups = [
        {"params": [parameters[row.name] for row in rows if row.decayed is decayed], "weight_decay": rate}
        for decayed, rate in ((True, decay), (False, 0.0))
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        nesterov = recipe.momentum > 0
        return torch.optim.SGD(groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=nesterov, fused=True)
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(recipe.beta1, recipe.beta2), fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group ``learning_rate``."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
