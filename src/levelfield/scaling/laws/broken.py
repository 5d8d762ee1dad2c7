"""The broken neural scaling law with one smooth break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.scaling.laws.base import (
    MAX_EXPONENT,
    Floats,
    Grid,
    Parameter,
    exponential,
    log_of,
    of_exponential,
    of_log,
    projected_seeds,
)

_GRID = Grid.of([0.03, 0.15, 0.5, 1.2], [-0.3, 0.3, 1.0], np.linspace(-2.0, 2.0, 7), [0.2, 1.0], parts=[1, 3, 7, 1])


@dataclass(frozen=True)
class Broken:
    """Two power laws joined at d over a floor: theta is (ln A, c0, c1, ln d, f, E); f is the width of the break."""

    form: str = "broken"
    equation: str = "L = E + A C^-c0 (1 + (C/d)^(1/f))^(-c1 f)"
    latex: str = r"L = E + A\,C^{-c_0}\,\bigl(1 + (C/d)^{1/f}\bigr)^{-c_1 f}"
    source: str = "Caballero et al., Broken Neural Scaling Laws, 2210.14891, equation 1 with one break"
    inputs: tuple[str, ...] = ("compute",)
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-30.0, high=30.0, meaning="reducible loss at one unit of compute, before the break"),
        Parameter(name="c0", low=0.0, high=MAX_EXPONENT, meaning="exponent before the break"),
        Parameter(name="c1", low=-MAX_EXPONENT, high=MAX_EXPONENT, meaning="what the break adds to the exponent"),
        Parameter(name="d", low=-10.0, high=10.0, meaning="compute at the break"),
        Parameter(name="f", low=0.05, high=5.0, meaning="width of the break in ln compute"),
        Parameter(name="E", low=0.0, high=np.inf, meaning="irreducible loss"),
    )
    example: tuple[float, ...] = (-0.2, 0.15, 0.5, 0.3, 0.5, 0.2)
    num_starts: int = 16

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        return np.log(np.maximum(theta[..., 5:6] + np.exp(_exponent(theta, x)), 1e-300))

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        c1, f = theta[..., 2:3], theta[..., 4:5]
        reducible = np.exp(_exponent(theta, x))
        compute, zero = np.broadcast_to(x[..., 0], reducible.shape), np.zeros_like(reducible)
        at = (compute - theta[..., 3:4]) / f
        past, rate = np.exp(-np.logaddexp(0, -at)), np.exp(-np.logaddexp(0, -at) - np.logaddexp(0, at))
        soft = np.logaddexp(0, at)
        lag = soft - at * past
        first = np.stack([zero + 1, -compute, -f * soft, c1 * past, -c1 * lag, zero], axis=-1)
        second = np.zeros((*reducible.shape, 6, 6))
        second[..., 2, 3] = second[..., 3, 2] = past
        second[..., 2, 4] = second[..., 4, 2] = -lag
        second[..., 3, 3] = -c1 * rate / f
        second[..., 3, 4] = second[..., 4, 3] = -c1 * rate * at / f
        second[..., 4, 4] = -c1 * rate * at**2 / f
        gradient, hessian = of_exponential(reducible, first, second)
        gradient[..., 5] = 1.0
        return of_log(np.maximum(theta[..., 5:6] + reducible, 1e-300), gradient, hessian)

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        grid = np.pad(_GRID.values, [(0, 0), (1, 1)])
        bases = np.exp(_exponent(grid, x[..., None, :, :]))[..., None]
        found, best = projected_seeds(bases, _GRID, y, weights, num=num, floor=True)
        return np.concatenate([log_of(found[..., :1]), best, found[..., 1:]], axis=-1)

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        a, c0, c1, log_d, f, floor = (theta[..., place] for place in range(6))
        return {
            "A": exponential(a + c0 * log_units[0] + log_loss_unit),
            "c0": c0,
            "c1": c1,
            "d": exponential(log_d + log_units[0]),
            "f": f,
            "E": floor * np.exp(log_loss_unit),
        }


def _exponent(theta: Floats, x: Floats) -> Floats:
    """ln of the reducible loss."""
    a, c0, c1, log_d, f = (theta[..., place : place + 1] for place in range(5))
    return a - c0 * x[..., 0] - c1 * f * np.logaddexp(0, (x[..., 0] - log_d) / f)
