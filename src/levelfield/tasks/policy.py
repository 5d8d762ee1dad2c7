"""Behaviour cloning: the actions that were demonstrated, from what was seen and sensed; see
docs/decisions/0041-policies.md for the head and for what decides."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from levelfield.data.transforms import fed
from levelfield.records.errors import SpecError
from levelfield.records.fields import FieldFacts
from levelfield.records.head import PolicyHead
from levelfield.records.measure import Measure
from levelfield.records.trial import RecipeSpec
from levelfield.tasks.base import Fields

if TYPE_CHECKING:
    from torch import Tensor

ACTION_LOSS, NEXT_ACTION_LOSS = "action loss", "next action loss"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """A Gaussian of fixed spread over the next actions, whose mean a network learns: twice its negative logarithm, but
    for a constant, is the squared error, in units of the actions that are trained on.

    The head has ``depth`` hidden layers of ``width``. A module of one's own names another size:
    ``Mine = functools.partial(Policy, width=1024)``.
    """

    width: int = 256
    depth: int = 2

    fields = ("image", "state", "action", "within")
    additive = True

    def head(self, known: FieldFacts) -> PolicyHead:
        if known.state_scale is None or known.action_scale is None or known.chunk is None:
            raise SpecError("a policy needs to know how many numbers are sensed and acted; this data does not say")
        return PolicyHead(
            num_outputs=known.chunk * len(known.action_scale.mean),
            num_states=len(known.state_scale.mean),
            width=self.width,
            depth=self.depth,
        )

    def measures(self, known: FieldFacts) -> tuple[Measure, ...]:
        """Who answers the mean of all actions errs by their variance, which is 1 in their own units."""
        floor = known.action_noise
        return (
            Measure(name=ACTION_LOSS, chance=1.0, floor=floor),
            Measure(name=NEXT_ACTION_LOSS, chance=1.0, floor=floor),
        )

    def weight(self, fields: Fields, valid: Tensor) -> Tensor:
        return (fields["within"] & valid[:, None]).sum()

    def answers(self, network: Any, fields: Fields) -> Tensor:
        """See :class:`levelfield.tasks.base.PairingTask`: [B, chunk * A]."""
        return network.head.acted(network(fed(fields["image"])), fields["state"])

    def loss(self, outputs: Tensor, fields: Fields, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        import torch

        if recipe.label_smoothing:
            raise SpecError("label_smoothing is of shares over classes, and actions have none: set it 0")
        held = fields["within"] & valid[:, None]
        return torch.where(held, _errors(outputs, fields), 0.0).sum()

    def scores(self, outputs: Tensor, fields: Fields) -> dict[str, Tensor]:
        errors, within = _errors(outputs, fields), fields["within"]
        return {
            ACTION_LOSS: (errors * within).sum(1) / within.sum(1).clamp(min=1),
            NEXT_ACTION_LOSS: errors[:, 0],
        }


def _errors(outputs: Tensor, fields: Fields) -> Tensor:
    """The squared error of every action of a chunk, the mean over its numbers [B, chunk]."""
    wanted = fields["action"]
    return (outputs.float().view_as(wanted) - wanted).square().mean(-1)
