"""The laws: small objects that predict ln loss from compute and seed their own fit.

Adding one is adding a class here and its name to ``LAWS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Form = Literal["log-log", "saturating"]


class Law(Protocol):
    """An equation for loss against compute. Its coordinates ``theta`` ``[..., num_parameters]`` are unconstrained."""

    form: Form
    equation: str
    latex: str
    source: str
    parameter_names: tuple[str, ...]

    def log_loss(self, theta: Floats, log_compute: Floats) -> Floats:
        """ln loss ``[..., n]`` at ``log_compute`` ``[n]`` (natural log, centred)."""
        ...

    def gradient(self, theta: Floats, log_compute: Floats) -> Floats:
        """d ln loss / d theta ``[..., n, num_parameters]``."""
        ...

    def seeds(self, log_compute: Floats, log_loss: Floats) -> Floats:
        """Starting points ``[num_seeds, num_parameters]``, the other parameters solved where some are fixed."""
        ...

    def natural(self, theta: Floats, centre: float) -> dict[str, Floats]:
        """The parameters of the equation, for compute in FLOPs; ``centre`` is the mean ln compute of the fit."""
        ...


@dataclass(frozen=True)
class LogLog:
    """A straight line in ln loss against ln compute: theta = (ln loss at the centre, b)."""

    form: Form = "log-log"
    equation: str = "L = A C^-b"
    latex: str = r"L = A\,C^{-b}"
    source: str = "2310.16764 figure 2"
    parameter_names: tuple[str, ...] = ("A", "b")

    def log_loss(self, theta: Floats, log_compute: Floats) -> Floats:
        return theta[..., :1] - theta[..., 1:2] * log_compute

    def gradient(self, theta: Floats, log_compute: Floats) -> Floats:
        columns = np.stack([np.ones_like(log_compute), -log_compute], axis=-1)
        return np.broadcast_to(columns, (*theta.shape[:-1], *columns.shape))

    def seeds(self, log_compute: Floats, log_loss: Floats) -> Floats:
        slope, level = np.polyfit(log_compute, log_loss, 1)
        return np.array([[level, -slope]])

    def natural(self, theta: Floats, centre: float) -> dict[str, Floats]:
        return {"A": np.exp(theta[..., 0] + theta[..., 1] * centre), "b": theta[..., 1]}


@dataclass(frozen=True)
class Saturating:
    """A power law above an irreducible loss: theta = (ln A at the centre, ln b, ln E).

    E and b are positive by construction; data without a floor drive ln E far down, which is E = 0.
    """

    form: Form = "saturating"
    equation: str = "L = E + A C^-b"
    latex: str = r"L = E + A\,C^{-b}"
    source: str = "2106.04560 section 3, without the shift of compute"
    parameter_names: tuple[str, ...] = ("E", "A", "b")

    def log_loss(self, theta: Floats, log_compute: Floats) -> Floats:
        return np.logaddexp(theta[..., 2:3], self._log_excess(theta, log_compute))

    def gradient(self, theta: Floats, log_compute: Floats) -> Floats:
        excess = np.exp(self._log_excess(theta, log_compute) - self.log_loss(theta, log_compute))
        slope = -excess * np.exp(theta[..., 1:2]) * log_compute
        return np.stack([excess, slope, 1.0 - excess], axis=-1)

    def seeds(self, log_compute: Floats, log_loss: Floats) -> Floats:
        lowest = float(np.exp(log_loss.min()))
        found = []
        for share in (1e-3, 0.3, 0.6, 0.8, 0.9, 0.96, 0.99):
            floor = share * lowest
            slope, level = np.polyfit(log_compute, np.log(np.exp(log_loss) - floor), 1)
            found.append([level, np.log(max(-slope, 1e-3)), np.log(floor)])
        return np.array(found)

    def natural(self, theta: Floats, centre: float) -> dict[str, Floats]:
        exponent = np.exp(theta[..., 1])
        return {"E": np.exp(theta[..., 2]), "A": np.exp(theta[..., 0] + exponent * centre), "b": exponent}

    def _log_excess(self, theta: Floats, log_compute: Floats) -> Floats:
        return theta[..., :1] - np.exp(theta[..., 1:2]) * log_compute


LAWS: tuple[Law, ...] = (LogLog(), Saturating())
