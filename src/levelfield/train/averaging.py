"""The exponential moving average of the weights, with the ramp that makes short runs usable."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def ema_decay(step: int, *, num_steps: int, fraction: float) -> float:
    """The decay after ``step`` updates (1-based) of a horizon that is ``fraction`` of the run.

    min(d, (1 + t) / (10 + t)) with d = 1 - 1 / (fraction * num_steps): the ramp of 2102.06171's code, which counts t
    from 0, with the horizon tied to the run, since a fixed 0.99999 never leaves the initial weights in a short one.
    """
    horizon = max(1.0, fraction * num_steps)
    return min(1.0 - 1.0 / horizon, (1 + step) / (10 + step))


class WeightAverage:
    """A running average of parameters, kept beside them in full precision."""

    def __init__(self, parameters: Sequence[Tensor], *, num_steps: int, fraction: float) -> None:
        self.num_steps = num_steps
        self.fraction = fraction
        self.averages = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def begin(self, parameters: Sequence[Tensor]) -> None:
        """Start from ``parameters`` as they are now, before the first update."""
        torch._foreach_copy_(self.averages, list(parameters))

    @torch.no_grad()
    def update(self, parameters: Sequence[Tensor], *, step: int, alive: Tensor | None = None) -> None:
        """Take in the weights after update number ``step`` (1-based), unless ``alive``, a boolean scalar on their
        device, is not set."""
        taken = 1.0 - ema_decay(step, num_steps=self.num_steps, fraction=self.fraction)
        if alive is None:
            torch._foreach_lerp_(self.averages, list(parameters), taken)
        else:
            share = taken * alive
            torch._foreach_lerp_(self.averages, list(parameters), [share] * len(self.averages))

    @torch.no_grad()
    def load_into(self, parameters: Sequence[Tensor]) -> None:
        """Overwrite ``parameters`` by their averages."""
        torch._foreach_copy_(list(parameters), self.averages)
