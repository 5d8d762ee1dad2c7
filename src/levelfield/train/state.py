"""Everything that changes while training: weights, optimiser, average, step, loss trace.

The data order, augmentation, dropout and schedule are pure functions of the step, and the statistics of BatchNorm are
of the batch (:mod:`levelfield.train.statistics`), so nothing else needs saving. Buffers are saved with the weights.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn

from levelfield.data.audit import SeenAudit
from levelfield.families.noise import KeyedNoise
from levelfield.records.sharing import refuse_other_sharing
from levelfield.records.trial import TrialSpec
from levelfield.train.averaging import WeightAverage
from levelfield.train.optimizers import build_optimizer
from levelfield.train.policy import TensorPolicy
from levelfield.train.statistics import keep_none


def keyed_seed(*key: object) -> int:
    """A 63-bit seed that is a pure function of ``key``; unlike ``seed + epoch``, no two keys share a stream."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


class TrainState:
    """The state of one run, and its plain form for a checkpoint.

    ``shares_statistics`` says whether the examples of a batch do, which then nothing but the recipe may cut.

    Raises:
        SpecError: they do where the recipe cuts the batch, or do not where it says how many do.
    """

    def __init__(self, model: nn.Module, spec: TrialSpec, policy: tuple[TensorPolicy, ...]) -> None:
        recipe = spec.recipe
        self.model = model
        self.noise: KeyedNoise = model.noise  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
        self.policy = policy
        self.shares_statistics = keep_none(model)
        refuse_other_sharing(recipe, spec.architecture, shares=self.shares_statistics)
        self.parameters = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self.optimizer = build_optimizer(self.parameters, policy, recipe)
        self.average = (
            WeightAverage(list(self.parameters.values()), num_steps=spec.steps, fraction=recipe.ema_fraction)
            if recipe.ema_fraction > 0
            else None
        )
        self.step = 0
        self.losses: list[float] = []
        self.masked_examples = 0
        self.seen = SeenAudit()

    def to_plain(self) -> dict[str, Any]:
        """Tensors and numbers only, so that it loads without executing anything."""
        return {
            "step": self.step,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "masked_examples": self.masked_examples,
            "seen": (self.seen.examples, self.seen.digest),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.averages if self.average else None,
        }

    def restore(self, plain: dict[str, Any]) -> None:
        """Become what :meth:`to_plain` gave, bit for bit."""
        self.step = plain["step"]
        self.losses = plain["losses"].tolist()
        self.masked_examples = plain["masked_examples"]
        self.seen = SeenAudit(examples=plain["seen"][0], digest=plain["seen"][1])
        self.model.load_state_dict(plain["model"])
        self.optimizer.load_state_dict(plain["optimizer"])
        if self.average:
            with torch.no_grad():
                torch._foreach_copy_(self.average.averages, plain["average"])
