"""Loss by size and examples where examples repeat: what a second epoch is worth."""

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

_EXPONENTS = np.geomspace(0.05, 1.3, 9)
_GRID = Grid.of(_EXPONENTS, _EXPONENTS, np.log([2.0, 6.0, 20.0, 100.0]), parts=[3, 3, 2])


@dataclass(frozen=True)
class Repeated:
    """Two power laws over a floor in which repeated examples are worth less.

    Theta is (ln A, alpha, ln B, beta, E, ln R). D examples seen, U of them distinct, are worth the D' of the equation;
    fresh examples (D <= U) are worth themselves. The source's matching term for excess parameters is left out: these
    studies size nets to budgets.
    """

    form: str = "repeated"
    equation: str = "L = E + A N^-alpha + B D'^-beta, D' = U + U R (1 - exp(-(D/U - 1)/R))"
    latex: str = r"L = E + A\,N^{-\alpha} + B\,D'^{-\beta},\quad D' = U + U R\,(1 - e^{-(D/U - 1)/R})"
    source: str = "Muennighoff et al., Scaling Data-Constrained Language Models, 2305.16264, section 3"
    inputs: tuple[str, ...] = ("params", "examples", "unique_examples")
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-30.0, high=30.0, meaning="loss for want of size, at one parameter"),
        Parameter(name="alpha", low=MIN_EXPONENT, high=MAX_EXPONENT, meaning="exponent of size"),
        Parameter(name="B", low=-30.0, high=30.0, meaning="loss for want of examples, at one example"),
        Parameter(name="beta", low=MIN_EXPONENT, high=MAX_EXPONENT, meaning="exponent of examples"),
        Parameter(name="E", low=0.0, high=np.inf, meaning="irreducible loss"),
        Parameter(name="R", low=-3.0, high=8.0, meaning="repetitions after which nothing more is learnt"),
    )
    example: tuple[float, ...] = (-1.0, 0.35, -0.8, 0.3, 0.4, 1.5)
    num_starts: int = 3

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        worth, _, _ = _log_worth(theta[..., 5:6], x)
        size = np.exp(theta[..., 0:1] - theta[..., 1:2] * x[..., 0])
        return np.log(theta[..., 4:5] + size + np.exp(theta[..., 2:3] - theta[..., 3:4] * worth))

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        beta = theta[..., 3:4]
        worth, slope, curve = _log_worth(theta[..., 5:6], x)
        size = np.exp(theta[..., 0:1] - theta[..., 1:2] * x[..., 0])
        data = np.exp(theta[..., 2:3] - beta * worth)
        n, zero, one = np.broadcast_to(x[..., 0], size.shape), np.zeros_like(size), np.ones_like(size)
        by_size, curve_of_size = of_exponential(size, np.stack([one, -n, zero, zero, zero, zero], -1), np.zeros((6, 6)))
        bent = np.zeros((*size.shape, 6, 6))
        bent[..., 3, 5] = bent[..., 5, 3] = -slope
        bent[..., 5, 5] = -beta * curve
        by_data, curve_of_data = of_exponential(
            data, np.stack([zero, zero, one, -worth, zero, -beta * slope], -1), bent
        )
        gradient = by_size + by_data
        gradient[..., 4] = 1.0
        return of_log(theta[..., 4:5] + size + data, gradient, curve_of_size + curve_of_data)

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        worth, _, _ = _log_worth(_GRID.values[:, 2, None], x[..., None, :, :])
        size = np.broadcast_to(x[..., None, :, 0], worth.shape)
        bases = np.exp(-_GRID.values[:, None, :2] * np.stack([size, worth], axis=-1))
        found, grid = projected_seeds(bases, _GRID, y, weights, num=num, floor=True)
        coefficients = (log_of(found[..., 0]), grid[..., 0], log_of(found[..., 1]), grid[..., 1])
        return np.stack([*coefficients, found[..., 2], grid[..., 2]], axis=-1)

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        log_a, alpha, log_b, beta, floor, log_r = (theta[..., place] for place in range(6))
        return {
            "A": exponential(log_a + alpha * log_units[0] + log_loss_unit),
            "alpha": alpha,
            "B": exponential(log_b + beta * log_units[1] + log_loss_unit),
            "beta": beta,
            "E": floor * np.exp(log_loss_unit),
            "R": exponential(log_r),
        }


def _log_worth(log_r: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """ln D' with its first and second derivative by ln R; ``x`` is (..., points, 3), in units shared by D and U."""
    r = np.exp(log_r)
    repeats = np.maximum(np.expm1(x[..., 1] - x[..., 2]), 0.0)
    faded = np.exp(-repeats / r)
    worth = 1 + r * (1 - faded)
    first = r * (1 - faded) - repeats * faded
    second = first - repeats**2 / r * faded
    log_worth = np.minimum(x[..., 1], x[..., 2]) + np.log(worth)
    return log_worth, first / worth, second / worth - (first / worth) ** 2
