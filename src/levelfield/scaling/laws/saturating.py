"""A power law that falls towards an irreducible loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.scaling.laws.base import (
    MAX_EXPONENT,
    MIN_EXPONENT,
    Floats,
    Grid,
    Parameter,
    exponential,
    log_of,
    of_exponential,
    of_log,
    projected_seeds,
)

_GRID = Grid.of(np.geomspace(0.01, MAX_EXPONENT, 40), parts=[5])


@dataclass(frozen=True)
class Saturating:
    """A power law over a floor: theta is (ln A, b, E)."""

    form: str = "saturating"
    equation: str = "L = E + A C^-b"
    latex: str = r"L = E + A\,C^{-b}"
    source: str = "Hestness et al., 1712.00409"
    inputs: tuple[str, ...] = ("compute",)
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-30.0, high=30.0, meaning="reducible loss at one unit of compute"),
        Parameter(name="b", low=MIN_EXPONENT, high=MAX_EXPONENT, meaning="exponent of compute"),
        Parameter(name="E", low=0.0, high=np.inf, meaning="irreducible loss"),
    )
    example: tuple[float, ...] = (-0.3, 0.4, 0.3)
    num_starts: int = 3

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        return np.log(theta[..., 2:3] + np.exp(theta[..., 0:1] - theta[..., 1:2] * x[..., 0]))

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        reducible = np.exp(theta[..., 0:1] - theta[..., 1:2] * x[..., 0])
        compute, one = np.broadcast_to(x[..., 0], reducible.shape), np.ones_like(reducible)
        exponent = np.stack([one, -compute, np.zeros_like(one)], axis=-1)
        gradient, hessian = of_exponential(reducible, exponent, np.zeros((3, 3)))
        gradient[..., 2] = 1.0
        return of_log(theta[..., 2:3] + reducible, gradient, hessian)

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        bases = np.exp(-_GRID.values[:, :, None] * x[..., None, :, 0:1])
        found, exponents = projected_seeds(bases, _GRID, y, weights, num=num, floor=True)
        return np.stack([log_of(found[..., 0]), exponents[..., 0], found[..., 1]], axis=-1)

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        a, b, floor = theta[..., 0], theta[..., 1], theta[..., 2]
        return {"A": exponential(a + b * log_units[0] + log_loss_unit), "b": b, "E": floor * np.exp(log_loss_unit)}
