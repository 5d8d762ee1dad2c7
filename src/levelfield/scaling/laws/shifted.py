"""Zhai's law: a power law over a floor that also levels off at small compute."""

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

_GRID = Grid.of(np.geomspace(0.02, MAX_EXPONENT, 20), [0.0, 0.02, 0.1, 0.5, 2.0], parts=[4, 3])


@dataclass(frozen=True)
class Shifted:
    """A power law in C + d over a floor: theta is (ln A, b, E, d), d in the unit of compute."""

    form: str = "shifted"
    equation: str = "L = E + A (C + d)^-b"
    latex: str = r"L = E + A\,(C + d)^{-b}"
    source: str = "Zhai et al., Scaling Vision Transformers, 2106.04560, section 2"
    inputs: tuple[str, ...] = ("compute",)
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-30.0, high=30.0, meaning="reducible loss at one unit of compute"),
        Parameter(name="b", low=MIN_EXPONENT, high=MAX_EXPONENT, meaning="exponent of compute"),
        Parameter(name="E", low=0.0, high=np.inf, meaning="irreducible loss"),
        Parameter(name="d", low=0.0, high=100.0, meaning="compute below which nothing is learnt"),
    )
    example: tuple[float, ...] = (-0.3, 0.5, 0.3, 0.3)
    num_starts: int = 4

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        compute = np.log(np.exp(x[..., 0]) + theta[..., 3:4])
        return np.log(theta[..., 2:3] + np.exp(theta[..., 0:1] - theta[..., 1:2] * compute))

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        b, total = theta[..., 1:2], np.exp(x[..., 0]) + theta[..., 3:4]
        compute = np.log(total)
        reducible = np.exp(theta[..., 0:1] - b * compute)
        exponent = np.stack([np.ones_like(total), -compute, np.zeros_like(total), -b / total], axis=-1)
        curve = np.zeros((*total.shape, 4, 4))
        curve[..., 1, 3] = curve[..., 3, 1] = -1 / total
        curve[..., 3, 3] = b / total**2
        gradient, hessian = of_exponential(reducible, exponent, curve)
        gradient[..., 2] = 1.0
        return of_log(theta[..., 2:3] + reducible, gradient, hessian)

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        total = np.exp(x[..., None, :, 0:1]) + _GRID.values[:, 1, None, None]
        bases = np.exp(-_GRID.values[:, 0, None, None] * np.log(total))
        found, grid = projected_seeds(bases, _GRID, y, weights, num=num, floor=True)
        return np.stack([log_of(found[..., 0]), grid[..., 0], found[..., 1], grid[..., 1]], axis=-1)

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        a, b, floor, shift = (theta[..., place] for place in range(4))
        return {
            "A": exponential(a + b * log_units[0] + log_loss_unit),
            "b": b,
            "E": floor * np.exp(log_loss_unit),
            "d": shift * np.exp(log_units[0]),
        }
