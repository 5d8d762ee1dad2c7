"""M4: a power law between two floors, that of chance and that of what cannot be learnt."""

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
    of_log,
    projected_seeds,
)

_GRID = Grid.of([0.3, 1.0, 2.0, 4.0], np.geomspace(0.05, 2.0, 9), np.linspace(-4.0, 3.0, 8), parts=[2, 3, 2])
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class M4:
    """(L - E) / (E + S - L)^alpha falls as a power of compute: theta is (E, ln S, alpha, ln beta, c), S the span.

    E + S is the loss of a model that has learnt nothing. Solved for L through z, the logit of (L - E) / S, by Newton.
    """

    form: str = "m4"
    equation: str = "(L - E) / (E + S - L)^alpha = beta C^-c"
    latex: str = r"\frac{L - E}{(E + S - L)^\alpha} = \beta\,C^{-c}"
    source: str = "Alabdulmohsin et al., Revisiting Neural Scaling Laws, 2209.06640, equation 2 (M4)"
    inputs: tuple[str, ...] = ("compute",)
    parameters: tuple[Parameter, ...] = (
        Parameter(name="E", low=0.0, high=np.inf, meaning="irreducible loss"),
        Parameter(name="S", low=-12.0, high=12.0, meaning="span from the irreducible loss to that of chance"),
        Parameter(name="alpha", low=0.02, high=10.0, meaning="how long the start lingers near chance"),
        Parameter(name="beta", low=-30.0, high=30.0, meaning="coefficient of compute"),
        Parameter(name="c", low=MIN_EXPONENT, high=MAX_EXPONENT, meaning="exponent of compute"),
    )
    example: tuple[float, ...] = (0.3, 0.2, 1.5, -0.2, 0.4)
    num_starts: int = 6

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        z = _logit(theta[..., 2:3], theta[..., 3:4] - theta[..., 4:5] * x[..., 0])
        return np.log(np.maximum(theta[..., 0:1] + np.exp(theta[..., 1:2]) * _sigmoid(z), 1e-300))

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        alpha = theta[..., 2:3]
        z = _logit(alpha, theta[..., 3:4] - theta[..., 4:5] * x[..., 0])
        up, down = _sigmoid(z), _sigmoid(-z)
        compute, zero = np.broadcast_to(x[..., 0], z.shape), np.zeros_like(z)
        slope = down + alpha * up
        # F(z, theta) = ln up(z) - alpha ln down(z) - ln beta + c x = 0, differentiated implicitly once and twice.
        by_theta = np.stack([zero, zero, np.logaddexp(0, z), zero - 1, compute], axis=-1)
        first = -by_theta / slope[..., None]
        mixed = np.zeros((*z.shape, 5, 5))
        mixed[..., 2, :] += up[..., None] * first
        mixed[..., :, 2] += up[..., None] * first
        bend = ((alpha - 1) * up * down)[..., None, None]
        second = -(bend * first[..., :, None] * first[..., None, :] + mixed) / slope[..., None, None]
        span, rate = np.exp(theta[..., 1:2]), up * down
        gradient = (span * rate)[..., None] * first
        hessian = (span * rate)[..., None, None] * (
            second + (down - up)[..., None, None] * first[..., :, None] * first[..., None, :]
        )
        hessian[..., 1, :] += gradient
        hessian[..., :, 1] += gradient
        hessian[..., 1, 1] += span * up
        gradient[..., 1] += span * up
        gradient[..., 0] = 1.0
        return of_log(np.maximum(theta[..., 0:1] + span * up, 1e-300), gradient, hessian)

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        log_power = _GRID.values[:, 2, None] - _GRID.values[:, 1, None] * x[..., None, :, 0]
        bases = _sigmoid(_logit(_GRID.values[:, 0, None], log_power))[..., None]
        found, grid = projected_seeds(bases, _GRID, y, weights, num=num, floor=True)
        log_span = np.log(np.clip(found[..., 0], 1e-5, 1e5))
        return np.stack([found[..., 1], log_span, grid[..., 0], grid[..., 2], grid[..., 1]], axis=-1)

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        floor, log_span, alpha, log_beta, c = (theta[..., place] for place in range(5))
        # beta has the unit of loss^(1 - alpha): (L - E) / (..)^alpha at C = 1.
        log_unit = (1 - alpha) * (log_span + log_loss_unit)
        return {
            "E": floor * np.exp(log_loss_unit),
            "S": exponential(log_span + log_loss_unit),
            "alpha": alpha,
            "beta": exponential(log_beta + c * log_units[0] + log_unit),
            "c": c,
        }


def _sigmoid(z: Floats) -> Floats:
    return np.exp(-np.logaddexp(0, -z))


def _logit(alpha: Floats, target: Floats) -> Floats:
    """The z with ln sigmoid(z) - alpha ln sigmoid(-z) = target.

    The left side rises, and its slope only grows or only falls from 1 to alpha, so Newton comes home from anywhere.
    """
    z = np.where(target < 0, target, target / alpha)
    for _ in range(_NEWTON_STEPS):
        miss = -np.logaddexp(0, -z) + alpha * np.logaddexp(0, z) - target
        step = miss / (_sigmoid(-z) + alpha * _sigmoid(z))
        z = z - step
        if np.all(np.abs(step) < 1e-8 * (1 + np.abs(z))):  # the next step would be its square
            break
    return z
