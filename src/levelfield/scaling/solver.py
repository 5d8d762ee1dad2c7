"""The solver: exact damped Newton on the Huber loss of ln-loss residuals, for a whole batch of fits at once.

The objective of a fit is the sum over its points of weight x huber(ln predicted - ln seen), huber being r^2 / 2 up to
``delta`` and delta (|r| - delta / 2) beyond. Each step solves (H + damping x M) s = g, with H the exact Hessian, which
gives quadratic convergence near the optimum, and M the matrix of iteratively reweighted least squares, which majorises
the loss's own curvature, so that a large damping is a safe short step. Starts, bootstrap replicates and profiles are
all just fits of one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.laws import Floats, Law, bounds, summed

CONVERGED = 1e-8
"""A fit has converged when every parameter's gradient is below this share of what its residuals could give it."""
AGREEING = 1e-6
"""Seeds agree on an optimum when their objectives differ by less than this share."""
NUM_SEEDS = 3
_CHUNK_BYTES = 16 << 20
_SEEDED_AT_ONCE = 512
"""Fits whose grids of seeds are held in memory together."""
_MAX_DAMPING = 1e12
_EXACT = 1e-26


class _Fits(NamedTuple):
    """What a batch of fits is fitted to, one row a fit."""

    x: Floats
    y: Floats
    weights: Floats
    delta: Floats
    low: Floats
    high: Floats

    def of(self, which: slice | NDArray[np.intp]) -> _Fits:
        return _Fits(*(part[which] for part in self))


class Solution(NamedTuple):
    """Optima of a batch of fits: theta (fits, parameters), objective (fits,), gradient_norm (fits,).

    ``gradient_norm`` has no unit: it is the largest cosine between residuals and a parameter's column, free parameters
    alone.
    """

    theta: Floats
    objective: Floats
    gradient_norm: Floats


def minimise(
    law: Law,
    x: Floats,
    y: Floats,
    start: Floats,
    *,
    weights: Floats | None = None,
    delta: float | Floats = np.inf,
    low: Floats | None = None,
    high: Floats | None = None,
    max_steps: int = 200,
    tolerance: float = CONVERGED,
    least_gain: float = 0.0,
) -> Solution:
    """The optimum from every row of ``start`` (fits, parameters), held inside the bounds.

    ``x`` is (points, inputs) or (fits, points, inputs); ``y`` and ``weights`` are (points,) or (fits, points);
    ``delta`` is one number or (fits,); ``low`` and ``high`` are the law's unless given, (parameters,) or (fits,
    parameters). A fit is done when its gradient is below ``tolerance``, when no step lowers its objective, or when one
    lowers it by a share of less than ``least_gain``.
    """
    num, points = len(start), x.shape[-2]
    low_of_law, high_of_law = bounds(law)
    whole = _Fits(
        x=np.broadcast_to(x, (num, *x.shape[-2:])),
        y=np.broadcast_to(y, (num, points)),
        weights=np.broadcast_to(1.0 if weights is None else weights, (num, points)),
        delta=np.broadcast_to(np.asarray(delta, dtype=float)[..., None], (num, 1)),
        low=np.broadcast_to(low_of_law if low is None else low, start.shape),
        high=np.broadcast_to(high_of_law if high is None else high, start.shape),
    )
    size = max(1, _CHUNK_BYTES // (8 * points * start.shape[-1] ** 2))
    parts = [
        _minimise(law, whole.of(slice(at, at + size)), start[at : at + size], max_steps, tolerance, least_gain)
        for at in range(0, num, size)
    ]
    return Solution(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def solve_one(
    law: Law, x: Floats, y: Floats, *, weights: Floats | None = None, delta: float = np.inf
) -> tuple[Floats, Solution, float]:
    """The optimum of one fit from the best few seeds, and the share of them that agree on it."""
    share = np.ones(len(y)) if weights is None else weights
    starts = law.seeds(x, y[None, :], share[None, :], num=NUM_SEEDS)[0]
    ends = minimise(law, x, y, starts, weights=share, delta=delta)
    best = int(np.argmin(ends.objective))
    agreement = float(np.mean(ends.objective <= ends.objective[best] * (1 + AGREEING) + _EXACT))
    return ends.theta[best], Solution(*(part[best : best + 1] for part in ends)), agreement


def solve_many(
    law: Law,
    x: Floats,
    y: Floats,
    *,
    weights: Floats | None = None,
    delta: float | Floats = np.inf,
    start: Floats | None = None,
    tolerance: float = 1e-6,
    least_gain: float = 1e-6,
) -> Floats:
    """Theta of (fits, parameters) for ln losses ``y`` and ``weights``, (points,) or (fits, points).

    Each fit starts from ``start`` (parameters,), such as the optimum of the points that replicates were drawn from,
    else from its own best seed.
    """
    shape = np.broadcast_shapes(np.atleast_2d(y).shape, np.shape(1.0 if weights is None else weights))
    y, share = np.broadcast_to(y, shape), np.broadcast_to(1.0 if weights is None else weights, shape)
    if start is None:
        parts = [slice(at, at + _SEEDED_AT_ONCE) for at in range(0, len(y), _SEEDED_AT_ONCE)]
        points = [x if x.ndim == 2 else x[part] for part in parts]
        seeds = [law.seeds(at, y[part], share[part], num=1) for at, part in zip(points, parts, strict=True)]
        starts = np.concatenate(seeds)[:, 0]
    else:
        starts = np.broadcast_to(start, (len(y), len(start)))
    found = minimise(
        law, x, y, starts, weights=share, delta=delta, max_steps=40, tolerance=tolerance, least_gain=least_gain
    )
    return found.theta


def _minimise(law: Law, fits: _Fits, start: Floats, max_steps: int, tolerance: float, least_gain: float) -> Solution:
    theta = np.clip(start, fits.low, fits.high)
    objective = _objective(law.log_loss(theta, fits.x) - fits.y, fits.weights, fits.delta)
    gradient_norm = np.full(len(theta), np.inf)
    damping = np.full(len(theta), 1e-3)
    going = np.arange(len(theta))
    for _ in range(max_steps):
        at, its = theta[going], fits.of(going)
        predicted, slope, bend = summed(law, at, its.x)
        residual = predicted - its.y
        pull = its.weights * np.clip(residual, -its.delta, its.delta)
        gradient = np.matmul(pull[:, None, :], slope)[:, 0]
        held = ((at <= its.low) & (gradient > 0)) | ((at >= its.high) & (gradient < 0)) | (its.low == its.high)
        gradient = np.where(held, 0.0, gradient)
        gradient_norm[going] = _cosine(gradient, slope, pull, its.weights)
        open_ = (gradient_norm[going] > tolerance) & (damping[going] < _MAX_DAMPING) & (objective[going] > _EXACT)
        if not open_.any():
            break
        hessian, safe = _curvatures(slope, bend(pull), residual, its.weights, its.delta)
        step = _damped_step(hessian, safe, gradient, held, damping[going], at - its.low, at - its.high)
        trial = np.clip(at - step, its.low, its.high)
        reached = _objective(law.log_loss(trial, its.x) - its.y, its.weights, its.delta)
        lowered, taken = objective[going] - reached, at - trial
        better = open_ & (lowered > 0)
        foreseen = np.sum(taken * (gradient - 0.5 * np.matmul(hessian, taken[..., None])[..., 0]), axis=-1)
        trust = lowered / np.maximum(np.abs(foreseen), 1e-300)
        damping[going] *= np.select([~better, trust < 0.25, trust < 0.75], [8.0, 2.0, 0.5], 0.1)
        damping[going] = np.maximum(damping[going], 1e-15)
        small = better & (lowered < least_gain * objective[going])
        theta[going] = np.where(better[:, None], trial, at)
        objective[going] = np.where(better, reached, objective[going])
        going = going[open_ & ~small]
    # Residuals of rounding alone have no direction worth a gradient.
    return Solution(theta, objective, np.where(objective <= _EXACT, 0.0, gradient_norm))


def _objective(residual: Floats, weights: Floats, delta: Floats) -> Floats:
    size = np.abs(residual)
    near = np.minimum(size, delta)
    return np.sum(weights * near * (size - 0.5 * near), axis=-1)


def _cosine(gradient: Floats, slope: Floats, pull: Floats, share: Floats) -> Floats:
    columns = np.sqrt(np.einsum("fn,fnp->fp", share, slope**2))
    rows = np.sqrt(np.sum(pull**2 / np.maximum(share, 1e-300), axis=-1))
    return np.max(np.abs(gradient) / np.maximum(columns * rows[:, None], 1e-300), axis=-1)


def _curvatures(slope: Floats, bent: Floats, residual: Floats, share: Floats, delta: Floats) -> tuple[Floats, Floats]:
    """The exact Hessians of the objectives, and the matrices of reweighted least squares: (fits, parameters, same)."""
    inside = share * (np.abs(residual) <= delta)
    reweighted = share * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
    transposed = slope.swapaxes(-1, -2)
    return np.matmul(transposed * inside[:, None, :], slope) + bent, np.matmul(
        transposed * reweighted[:, None, :], slope
    )


def _damped_step(
    hessian: Floats,
    safe: Floats,
    gradient: Floats,
    held: NDArray[np.bool_],
    damping: Floats,
    to_low: Floats,
    to_high: Floats,
) -> Floats:
    """The step to be taken off theta; ``to_low`` and ``to_high`` are the steps that would end at the bounds."""
    diagonal = np.arange(hessian.shape[-1])
    scale = np.maximum(safe[:, diagonal, diagonal], 1e-300)
    safe[:, diagonal, diagonal] += 1e-9 * scale
    system = np.where(held[:, :, None] | held[:, None, :], 0.0, hessian + damping[:, None, None] * safe)
    system[:, diagonal, diagonal] += np.where(held, 1.0, 1e-14 * scale)
    step = _solved(system, gradient)
    # A parameter that would cross its bound goes to the bound, and the others take the step that belongs to that.
    crossing = (step > to_low) | (step < to_high)
    if crossing.any():
        bounded = np.where(crossing[:, :, None], np.eye(len(diagonal)), system)
        again = _solved(bounded, np.where(crossing, np.clip(step, to_high, to_low), gradient))
        step = np.where(crossing.any(axis=-1, keepdims=True), again, step)
    downhill = np.sum(step * gradient, axis=-1, keepdims=True) > 0
    # An indefinite Hessian may point uphill: then the short safe step, which always points down.
    return np.where(downhill, step, gradient / (scale * (1 + damping[:, None])))


def _solved(system: Floats, right: Floats) -> Floats:
    try:
        return np.linalg.solve(system, right[..., None])[..., 0].astype(np.float64)
    except np.linalg.LinAlgError:  # one singular system of the batch: the pseudo-inverse serves them all
        return np.matmul(np.linalg.pinv(system), right[..., None])[..., 0].astype(np.float64)
