"""Loss by size and examples seen apart: the law behind a compute-optimal allocation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.scaling.laws.base import (
    MAX_EXPONENT,
    MIN_EXPONENT,
    Bend,
    Floats,
    Grid,
    Parameter,
    exponential,
    log_of,
    of_log,
    projected_seeds,
)

_EXPONENTS = np.geomspace(0.03, 1.6, 16)
_GRID = Grid.of(_EXPONENTS, _EXPONENTS, parts=[4, 4])


@dataclass(frozen=True)
class SizeAndExamples:
    """Two power laws over a floor: theta is (ln A, alpha, ln B, beta, E)."""

    form: str = "size-and-examples"
    equation: str = "L = E + A N^-alpha + B D^-beta"
    latex: str = r"L = E + A\,N^{-\alpha} + B\,D^{-\beta}"
    source: str = "Hoffmann et al., 2203.15556, section 3.3 (approach 3)"
    inputs: tuple[str, ...] = ("params", "examples")
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-30.0, high=30.0, meaning="loss for want of size, at one parameter"),
        Parameter(name="alpha", low=MIN_EXPONENT, high=MAX_EXPONENT, meaning="exponent of size"),
        Parameter(name="B", low=-30.0, high=30.0, meaning="loss for want of examples, at one example"),
        Parameter(name="beta", low=MIN_EXPONENT, high=MAX_EXPONENT, meaning="exponent of examples"),
        Parameter(name="E", low=0.0, high=np.inf, meaning="irreducible loss"),
    )
    example: tuple[float, ...] = (-1.0, 0.35, -0.8, 0.3, 0.4)
    num_starts: int = 3

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        size, data = _terms(theta, x)
        return np.log(theta[..., 4:5] + size + data)

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        size, data = _terms(theta, x)
        n, d = (np.broadcast_to(x[..., place], size.shape) for place in (0, 1))
        gradient = np.stack([size, -n * size, data, -d * data, np.ones_like(size)], axis=-1)
        hessian = np.zeros((*size.shape, 5, 5))
        for place, term, at in ((0, size, n), (2, data, d)):
            hessian[..., place, place] = term
            hessian[..., place, place + 1] = hessian[..., place + 1, place] = -at * term
            hessian[..., place + 1, place + 1] = at**2 * term
        return of_log(theta[..., 4:5] + size + data, gradient, hessian)

    def summed(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Bend]:
        size, data = _terms(theta, x)
        loss = theta[..., 4:5] + size + data
        inverse = 1.0 / loss
        n, d = (np.broadcast_to(x[..., place], size.shape) for place in (0, 1))
        shares = (size * inverse, n), (data * inverse, d)
        columns = [column for share, at in shares for column in (share, -at * share)]
        slope = np.stack([*columns, inverse], axis=-2).swapaxes(-1, -2)

        def bend(pull: Floats) -> Floats:
            total = -np.matmul(slope.swapaxes(-1, -2) * pull[..., None, :], slope)
            for place, (share, at) in zip((0, 2), shares, strict=True):
                pulled = pull * share
                first, second = np.sum(pulled * at, axis=-1), np.sum(pulled * at**2, axis=-1)
                total[..., place, place] += np.sum(pulled, axis=-1)
                total[..., place, place + 1] -= first
                total[..., place + 1, place] -= first
                total[..., place + 1, place + 1] += second
            return total

        return np.log(loss), slope, bend

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        bases = np.exp(-_GRID.values[:, None, :] * x[..., None, :, :])
        found, grid = projected_seeds(bases, _GRID, y, weights, num=num, floor=True)
        log_a, log_b = log_of(found[..., 0]), log_of(found[..., 1])
        return np.stack([log_a, grid[..., 0], log_b, grid[..., 1], found[..., 2]], axis=-1)

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        log_a, alpha, log_b, beta, floor = (theta[..., place] for place in range(5))
        return {
            "A": exponential(log_a + alpha * log_units[0] + log_loss_unit),
            "alpha": alpha,
            "B": exponential(log_b + beta * log_units[1] + log_loss_unit),
            "beta": beta,
            "E": floor * np.exp(log_loss_unit),
        }


def _terms(theta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """What is lost for want of size and for want of examples."""
    size = np.exp(theta[..., 0:1] - theta[..., 1:2] * x[..., 0])
    return size, np.exp(theta[..., 2:3] - theta[..., 3:4] * x[..., 1])
