"""Damped Newton steps on the Huber loss of ln-loss residuals, taken by a whole batch of fits at once.

Estimated: θ, the parameters of a law with ln loss η(θ, x), as the minimum within their bounds of

    F(θ) = Σ_p v_p ρ_δ(η(θ, x_p) - y_p),    ρ_δ(r) = r² / 2 up to |r| = δ, δ (|r| - δ / 2) beyond,

over points p with weights v_p. That is the maximum of the likelihood where residuals are normal and δ is infinite; for
a finite δ it is Huber's M-estimate, which points far off sway little. Independence of the points is no part of it: that
enters where intervals are made (noise/dependence.py, optimum/size_law.py).

Each step solves (H + λ M) s = g, with g = Jᵀ v ψ_δ(r) the gradient, J the Jacobian of η and ψ_δ(r) the residual cut at
±δ; H = Jᵀ v 1(|r| ≤ δ) J + Σ_p v_p ψ_δ(r_p) ∇²η_p the exact Hessian, which gives quadratic convergence near the
optimum; and M = Jᵀ v min(1, δ / |r|) J that of iteratively reweighted least squares, which majorises the loss's own
curvature, so that a large damping λ is a safe short step.
Source: Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964; damping,
Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM Journal 11, 1963. Symbols:
docs/explanation/notation.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.laws import Floats, Law, summed

EXACT = 1e-26
"""Below this objective residuals are rounding."""
_DAMPING, _MAX_DAMPING = 0.1, 1e12
"""Of a first step, and of a fit that no step lowers."""
_POOR, _STUCK = 0.25, 1e-2
"""A step is corrected where the objective fell by less than this share of what was foreseen, in a fit so damped."""


class Fits(NamedTuple):
    """What a batch of fits is fitted to, one row a fit, or one row where all fits share it: x, y, v, δ, bounds of θ."""

    x: Floats
    y: Floats
    weights: Floats
    delta: Floats
    low: Floats
    high: Floats

    def of(self, which: slice | NDArray[np.intp]) -> Fits:
        return Fits(*(part if len(part) == 1 else part[which] for part in self))


class Solution(NamedTuple):
    """Optima of a batch of fits: theta (fits, parameters), objective F (fits,), gradient_norm (fits,).

    ``gradient_norm`` has no unit: it is the largest cosine between residuals and a parameter's column, free parameters
    alone.
    """

    theta: Floats
    objective: Floats
    gradient_norm: Floats


class _Model(NamedTuple):
    """What is known of a batch of fits where they stand, one row a fit: a step solves ``system`` for ``gradient``.

    ``residual`` r, ``slope`` J, ``gradient`` g, ``hessian`` H, ``system`` H + λ M; ``held`` parameters stay at a bound,
    ``steepest`` scales the gradient where no step goes downhill.
    """

    at: Floats
    residual: Floats
    slope: Floats
    gradient: Floats
    held: NDArray[np.bool_]
    hessian: Floats
    system: Floats
    steepest: Floats

    def of(self, which: NDArray[np.intp]) -> _Model:
        return self._make(part[which] for part in self)


class _Trial(NamedTuple):
    """Where a step ends: theta, residuals there, and the objective."""

    theta: Floats
    residual: Floats
    objective: Floats

    def replace(self, which: NDArray[np.intp], by: _Trial) -> None:
        for part, new in zip(self, by, strict=True):
            part[which] = new


def descend(
    law: Law, fits: Fits, start: Floats, max_steps: int, tolerance: float, least_gain: float, corrections: int
) -> Solution:
    """The ends of every fit's steps from ``start`` (fits, parameters); see solver.minimise."""
    theta = np.clip(start, fits.low, fits.high)
    objective = _objective(law.log_loss(theta, fits.x) - fits.y, fits.weights, fits.delta)
    gradient_norm = np.full(len(theta), np.inf)
    damping = np.full(len(theta), _DAMPING)
    going, its, shrunk = np.arange(len(theta)), fits, False
    for _ in range(max_steps):
        if shrunk:
            its = fits.of(going)
        model, gradient_norm[going] = _modelled(law, its, theta[going], damping[going])
        # A gradient that is no number is no reason to stop: steps get shorter until it is one, or damping ends the fit.
        open_ = ~(gradient_norm[going] <= tolerance) & (damping[going] < _MAX_DAMPING) & (objective[going] > EXACT)
        if not open_.any():
            break
        trial = _tried(law, its, model, model.gradient)
        trust = _trust(model, trial, objective[going])
        for _ in range(corrections):
            poor = np.flatnonzero(open_ & ~(trust >= _POOR) & (damping[going] > _STUCK))
            won = _correct(law, its, model, trial, poor)
            if not len(won):
                break
            trust = _trust(model, trial, objective[going])
        lowered = objective[going] - trial.objective
        better = open_ & (lowered > 0)
        eased = np.where(trust < 0.25, 2.0, np.where(trust < 0.75, 0.5, 0.1))
        damping[going] *= np.where(better, eased, 8.0)
        damping[going] = np.maximum(damping[going], 1e-15)
        small = better & (lowered < least_gain * objective[going])
        theta[going] = np.where(better[:, None], trial.theta, model.at)
        objective[going] = np.where(better, trial.objective, objective[going])
        on = open_ & ~small
        going, shrunk = going[on], not on.all()
    # Residuals of rounding alone have no direction worth a gradient.
    return Solution(theta, objective, np.where(objective <= EXACT, 0.0, gradient_norm))


def _modelled(law: Law, fits: Fits, at: Floats, damping: Floats) -> tuple[_Model, Floats]:
    """The model at ``at``, and the cosines of the gradients."""
    predicted, slope, bend = summed(law, at, fits.x)
    residual = predicted - fits.y
    pull = fits.weights * np.clip(residual, -fits.delta, fits.delta)
    gradient = np.matmul(pull[:, None, :], slope)[:, 0]
    held = ((at <= fits.low) & (gradient > 0)) | ((at >= fits.high) & (gradient < 0)) | (fits.low == fits.high)
    gradient = np.where(held, 0.0, gradient)
    hessian, safe = _curvatures(slope, bend(pull), residual, fits.weights, fits.delta)
    system, scale = _damped(hessian, safe, held, damping)
    model = _Model(at, residual, slope, gradient, held, hessian, system, scale * (1 + damping[:, None]))
    return model, _cosine(gradient, slope, pull, fits.weights)


def _tried(law: Law, fits: Fits, model: _Model, gradient: Floats) -> _Trial:
    to_low, to_high = model.at - fits.low, model.at - fits.high
    step = _bounded_step(model.system, gradient, to_low, to_high, model.steepest)
    theta = np.where(step >= to_low, fits.low, np.where(step <= to_high, fits.high, model.at - step))
    residual = law.log_loss(theta, fits.x) - fits.y
    return _Trial(theta, residual, _objective(residual, fits.weights, fits.delta))


def _trust(model: _Model, trial: _Trial, objective: Floats) -> Floats:
    """How much of what the quadratic foresaw the objective fell."""
    taken = model.at - trial.theta
    foreseen = np.sum(taken * (model.gradient - 0.5 * np.matmul(model.hessian, taken[..., None])[..., 0]), axis=-1)
    return (objective - trial.objective) / np.maximum(np.abs(foreseen), 1e-300)


def _correct(law: Law, fits: Fits, model: _Model, trial: _Trial, poor: NDArray[np.intp]) -> NDArray[np.intp]:
    """Step again for ``poor``, each point's curvature along its first step added to its residual; which are better.

    Valleys are bent: a straight step along one climbs its wall by the curvature of the residuals, and without this
    second-order correction only steps much shorter than the valley are taken. Source: Nocedal and Wright, "Numerical
    Optimization", 2006, section 18.3 (the Maratos effect).
    """
    if not len(poor):
        return poor
    its, of_poor = fits.of(poor), model.of(poor)
    taken = of_poor.at - trial.theta[poor]
    straight = of_poor.residual - np.matmul(of_poor.slope, taken[..., None])[..., 0]
    bent = its.weights * (np.abs(of_poor.residual) <= its.delta) * (trial.residual[poor] - straight)
    gradient = of_poor.gradient + np.matmul(bent[:, None, :], of_poor.slope)[:, 0]
    again = _tried(law, its, of_poor, np.where(of_poor.held, 0.0, gradient))
    won = np.flatnonzero(again.objective < trial.objective[poor])
    trial.replace(poor[won], again._make(part[won] for part in again))
    return poor[won]


def _objective(residual: Floats, weights: Floats, delta: Floats) -> Floats:
    size = np.abs(residual)
    near = np.minimum(size, delta)
    return np.sum(weights * near * (size - 0.5 * near), axis=-1)


def _cosine(gradient: Floats, slope: Floats, pull: Floats, share: Floats) -> Floats:
    columns = np.sqrt(np.matmul(share[:, None, :], slope**2)[:, 0])
    # A parameter of order one that moves ln losses by less than a millionth has rounding for a gradient.
    columns = np.maximum(columns, 1e-6 * np.sqrt(np.sum(share, axis=-1, keepdims=True)))
    rows = np.sqrt(np.sum(pull**2 / np.maximum(share, 1e-300), axis=-1))
    return np.max(np.abs(gradient) / np.maximum(columns * rows[:, None], 1e-300), axis=-1)


def _curvatures(slope: Floats, bent: Floats, residual: Floats, share: Floats, delta: Floats) -> tuple[Floats, Floats]:
    """H and M, (fits, parameters, parameters); ``bent`` is the part of H through the curvature of η."""
    inside = share * (np.abs(residual) <= delta)
    reweighted = share * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
    transposed = slope.swapaxes(-1, -2)
    return np.matmul(transposed * inside[:, None, :], slope) + bent, np.matmul(
        transposed * reweighted[:, None, :], slope
    )


def _damped(hessian: Floats, safe: Floats, held: NDArray[np.bool_], damping: Floats) -> tuple[Floats, Floats]:
    """H + λ M made positive definite, and the scale of every parameter's curvature: the diagonal of M."""
    diagonal = np.arange(hessian.shape[-1])
    scale = safe[:, diagonal, diagonal]
    scale = np.maximum(scale, np.maximum(1e-24 * scale.max(axis=-1, keepdims=True), 1e-300))
    safe[:, diagonal, diagonal] += 1e-9 * scale
    system = np.where(held[:, :, None] | held[:, None, :], 0.0, hessian + damping[:, None, None] * safe)
    system[:, diagonal, diagonal] += np.where(held, scale, 1e-14 * scale)
    finite = np.all(np.isfinite(system), axis=(-1, -2))
    if not finite.all():  # too far out for numbers: no step is known there
        system[~finite] = np.eye(len(diagonal))
        scale[~finite] = np.inf
    which = np.flatnonzero(_indefinite(system) & finite)
    if len(which):
        # Damping by M does nothing along a valley, where M is all but singular, however far H bends down there. A step
        # that takes every curvature by its size goes down along it (Dauphin et al., 1406.2572); damping shortens it.
        root = np.sqrt(scale[which])
        units = root[:, :, None] * root[:, None, :]
        values, axes = np.linalg.eigh(system[which] / units)
        sizes = np.abs(values) * (1 + damping[which, None]) + 1e-12
        system[which] = np.matmul(axes * sizes[:, None, :], axes.swapaxes(-1, -2)) * units
    return system, scale


def _indefinite(system: Floats) -> NDArray[np.bool_]:
    """Whether a pivot of the symmetric elimination is not positive."""
    left, found = np.moveaxis(system, 0, -1).copy(), np.zeros(len(system), dtype=bool)
    for place in range(len(left)):
        pivot, row = left[place, place], left[place, place + 1 :]
        found |= ~(pivot > 0)
        left[place + 1 :, place + 1 :] -= (row / np.where(found, 1.0, pivot))[:, None] * row[None]
    return found


def _bounded_step(system: Floats, gradient: Floats, to_low: Floats, to_high: Floats, steepest: Floats) -> Floats:
    """The step to be taken off theta; ``to_low`` and ``to_high`` are the steps that would end at the bounds."""
    step = _solved(system, gradient)
    # A parameter that would cross its bound goes to the bound, and the others take the step that belongs to that.
    crossing = (step > to_low) | (step < to_high)
    if crossing.any():
        bounded = np.where(crossing[:, :, None], np.eye(system.shape[-1]), system)
        limits = np.clip(step, to_high, to_low)
        again = np.where(crossing, limits, _solved(bounded, np.where(crossing, limits, gradient)))
        step = np.where(crossing.any(axis=-1, keepdims=True), again, step)
    step = np.where(np.isfinite(step), step, 0.0)
    downhill = np.sum(step * gradient, axis=-1, keepdims=True) > 0
    return np.where(downhill, step, gradient / steepest)


def _solved(system: Floats, right: Floats) -> Floats:
    try:
        return np.linalg.solve(system, right[..., None])[..., 0].astype(np.float64)
    except np.linalg.LinAlgError:  # one singular system of the batch: the pseudo-inverse serves them all
        return np.matmul(np.linalg.pinv(system), right[..., None])[..., 0].astype(np.float64)
