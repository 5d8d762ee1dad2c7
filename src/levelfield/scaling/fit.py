"""Fitting a law to ln loss: least squares by a damped Gauss-Newton, batched over starts and bootstrap draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import RefusedError
from levelfield.scaling.laws import Law

Floats = NDArray[np.float64]

MIN_BUDGETS = 4
_ITERATIONS = 60
# Convergence: no coordinate's gradient, in units of ln loss squared, is larger than this.
_GRADIENT_TOLERANCE = 1e-9
# A floor this far below the lowest loss is no floor; the objective is flat there and needs no further step.
_THETA_LIMIT = 40.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A law fitted to points: its coordinates, objective (sum of squared residuals in ln loss) and how it converged.

    ``agreeing_seeds`` counts the starts that ended within 1e-6 of the best objective.
    """

    law: Law
    centre: float
    theta: Floats
    objective: float
    gradient_norm: float
    agreeing_seeds: int
    num_seeds: int
    status: str

    def log_loss(self, compute: Floats, theta: Floats | None = None) -> Floats:
        """ln loss at ``compute`` ``[n]``, for these coordinates or for ``theta`` ``[..., num_parameters]``."""
        return self.law.log_loss(self.theta if theta is None else theta, np.log(compute) - self.centre)


def fit_law(law: Law, compute: Floats, loss: Floats) -> Fit:
    """The best fit of ``law`` to points ``compute`` ``[n]``, ``loss`` ``[n]``.

    Raises:
        RefusedError: too few budgets, numbers that are not positive and finite, or no convergence.
    """
    if len(np.unique(compute)) < MIN_BUDGETS:
        raise RefusedError(f"a law needs at least {MIN_BUDGETS} budgets, saw {len(np.unique(compute))}; add rungs")
    if not (np.isfinite(compute).all() and np.isfinite(loss).all() and (compute > 0).all() and (loss > 0).all()):
        raise RefusedError("compute and loss must be positive and finite; drop the rows that are not")
    centre = float(np.log(compute).mean())
    log_compute, log_loss = np.log(compute) - centre, np.log(loss)
    seeds = law.seeds(log_compute, log_loss)
    theta = minimise(law, seeds, log_compute, np.broadcast_to(log_loss, (len(seeds), len(log_loss))))
    objectives = ((law.log_loss(theta, log_compute) - log_loss) ** 2).sum(axis=-1)
    best = int(objectives.argmin())
    residual = law.log_loss(theta[best], log_compute) - log_loss
    gradient = float(np.abs(law.gradient(theta[best], log_compute).T @ residual).max())
    agreeing = int((objectives <= objectives[best] + 1e-6).sum())
    converged = gradient < 1e-6
    if not converged:
        raise RefusedError(f"the fit of {law.equation} did not converge (gradient {gradient:.1e}); its form is doubtful")
    return Fit(
        law=law,
        centre=centre,
        theta=theta[best],
        objective=float(objectives[best]),
        gradient_norm=gradient,
        agreeing_seeds=agreeing,
        num_seeds=len(seeds),
        status=f"converged; {agreeing} of {len(seeds)} starts agree",
    )


def refit(fit: Fit, compute: Floats, log_loss_draws: Floats) -> Floats:
    """The coordinates ``[num_draws, num_parameters]`` of the same law for every draw ``[num_draws, n]``."""
    start = np.broadcast_to(fit.theta, (len(log_loss_draws), len(fit.theta)))
    return minimise(fit.law, start, np.log(compute) - fit.centre, log_loss_draws)


def minimise(law: Law, start: Floats, log_compute: Floats, log_loss: Floats) -> Floats:
    """Levenberg-Marquardt from every row of ``start`` ``[k, p]`` to its own targets ``log_loss`` ``[k, n]``."""
    theta = np.array(start, dtype=np.float64)
    damping = np.full(len(theta), 1e-3)
    objective = ((law.log_loss(theta, log_compute) - log_loss) ** 2).sum(axis=-1)
    for _ in range(_ITERATIONS):
        jacobian = law.gradient(theta, log_compute)
        residual = law.log_loss(theta, log_compute) - log_loss
        gradient = np.einsum("knp,kn->kp", jacobian, residual)
        if np.abs(gradient).max() < _GRADIENT_TOLERANCE:
            break
        curvature = np.einsum("knp,knq->kpq", jacobian, jacobian)
        diagonal = np.einsum("kpp->kp", curvature) * damping[:, None] + 1e-12
        curvature = curvature + np.eye(theta.shape[1]) * diagonal[:, None, :]
        proposal = theta - np.linalg.solve(curvature, gradient[..., None])[..., 0]
        proposal = np.clip(proposal, -_THETA_LIMIT, _THETA_LIMIT)
        proposed = ((law.log_loss(proposal, log_compute) - log_loss) ** 2).sum(axis=-1)
        better = proposed < objective
        theta = np.where(better[:, None], proposal, theta)
        objective = np.where(better, proposed, objective)
        damping = np.where(better, damping * 0.3, damping * 4.0).clip(1e-12, 1e12)
    return theta
