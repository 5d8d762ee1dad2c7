"""The line: a power law without a floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.scaling.laws.base import Floats, Parameter, exponential


@dataclass(frozen=True)
class LogLog:
    """A straight line through ln loss against ln compute: theta is (ln A, b)."""

    form: str = "log-log"
    equation: str = "ln L = ln A - b ln C"
    latex: str = r"\ln L = \ln A - b \ln C"
    source: str = "2310.16764, figure 2: held-out loss of NFNets against compute is a line on log-log axes"
    inputs: tuple[str, ...] = ("compute",)
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-np.inf, high=np.inf, meaning="loss at one unit of compute"),
        Parameter(name="b", low=-np.inf, high=np.inf, meaning="exponent of compute"),
    )
    example: tuple[float, ...] = (0.1, 0.2)
    num_starts: int = 1

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        return theta[..., 0:1] - theta[..., 1:2] * x[..., 0]

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        loss = self.log_loss(theta, x)
        compute = np.broadcast_to(x[..., 0], loss.shape)
        return loss, np.stack([np.ones_like(loss), -compute], axis=-1), np.zeros((*loss.shape, 2, 2))

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        """The exact optimum of squared residuals: ordinary least squares."""
        compute, share = x[..., 0], weights / np.sum(weights, axis=-1, keepdims=True)
        centred = compute - np.sum(share * compute, axis=-1, keepdims=True)
        slope = np.sum(share * centred * y, axis=-1) / np.sum(share * centred**2, axis=-1)
        level = np.sum(share * y, axis=-1) - slope * np.sum(share * compute, axis=-1)
        return np.stack([level, -slope], axis=-1)[:, None, :]

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        a, b = theta[..., 0], theta[..., 1]
        return {"A": exponential(a + b * log_units[0] + log_loss_unit), "b": b}
