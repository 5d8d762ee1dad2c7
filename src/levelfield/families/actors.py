"""What acts on the features of an image and on what a robot senses."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.records.head import PolicyHead


class Actor(nn.Module):
    """Pooled features (batch, num_features) to what the image tells a policy (batch, width), on which with what is
    sensed the actions depend: :meth:`acted`.

    The image and the senses meet in one linear map of both, which is the sum of a map of either.
    """

    def __init__(self, head: PolicyHead, *, num_features: int) -> None:
        super().__init__()
        fan_in = num_features + head.num_states
        self.seen = _linear(num_features, head.width, fan_in=fan_in, bias=False)
        self.state = _linear(head.num_states, head.width, fan_in=fan_in)
        self.hidden = nn.ModuleList(_linear(head.width, head.width, fan_in=head.width) for _ in range(head.depth - 1))
        self.actions = nn.Linear(head.width, head.num_outputs)
        nn.init.zeros_(self.actions.weight)  # the mean of all actions to begin with, whatever the features' scale
        nn.init.zeros_(self.actions.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.seen(features)

    def acted(self, seen: Tensor, states: Tensor) -> Tensor:
        """Actions (batch, num_outputs) where an image told ``seen`` (batch, width) and ``states`` (batch, num_states)
        are sensed."""
        x = F.gelu(seen + self.state(states))
        for linear in self.hidden:
            x = F.gelu(linear(x))
        return self.actions(x)


def _linear(into: int, out: int, *, fan_in: int, bias: bool = True) -> nn.Linear:
    """He's start for what a gelu follows (arXiv 1502.01852, section 2.2)."""
    linear = nn.Linear(into, out, bias=bias)
    nn.init.normal_(linear.weight, std=(2 / fan_in) ** 0.5)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear
