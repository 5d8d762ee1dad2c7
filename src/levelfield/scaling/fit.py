"""Fitting a law: residuals in ln loss, variable-projection seeds, Levenberg-Marquardt batched over fits.

The objective is half the sum of squared residuals of ln loss. Rungs near chance are shown, not fitted. What the points
cannot support is refused with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.records.errors import RefusedError
from levelfield.scaling.laws import LAWS, Floats, Form, Law

NEAR_CHANCE = 0.85
"""A loss above this share of chance is shown, not fitted (protocol 6)."""
MIN_BUDGETS = 4
ASSUMED_RUN_SD = 0.02
"""sd of ln loss between seeds, taken where none was measured: small studies show 0.01-0.03 (protocol, preamble)."""
RISE_SDS = 3.0
"""A rise of the frontier is beyond noise when it exceeds this many sds of a difference of two rungs."""
_NUM_SEEDS = 3


class Solution(NamedTuple):
    """Optima of a batch of fits: theta (fits, parameters), objective (fits,), gradient_norm (fits,)."""

    theta: Floats
    objective: Floats
    gradient_norm: Floats


@record
class Fit:
    """A law fitted to one set of points, and everything needed to judge the fit.

    ``theta`` holds the parameters in the units ``compute_unit`` and ``loss_unit`` (see laws.py); ``parameters`` the
    same in the user's. ``rows`` are (compute, loss, why dropped or ""). ``agreement`` is the share of the best seeds
    that ended at the same objective. ``status`` is a sentence; ``supported`` is False where it is a refusal.
    """

    form: Form
    theta: tuple[float, ...]
    parameters: dict[str, float]
    compute_unit: float
    loss_unit: float
    objective: float
    gradient_norm: float
    agreement: float
    rows: tuple[tuple[float, float, str], ...]
    status: str
    supported: bool

    @property
    def kept(self) -> tuple[tuple[float, float], ...]:
        return tuple((compute, loss) for compute, loss, why in self.rows if not why)

    def predict(self, compute: float) -> float:
        """The loss in nats that the law gives at ``compute``."""
        law, theta = LAWS[self.form], np.asarray(self.theta)
        return float(np.exp(law.log_loss(theta, np.log([compute / self.compute_unit])))[0] * self.loss_unit)


def fit(
    compute: Sequence[float],
    loss: Sequence[float],
    *,
    form: Form = "log-log",
    chance_loss: float | None = None,
    run_sd: float | None = None,
    refuse: bool = True,
) -> Fit:
    """Fit one law of loss (nats) against compute, one point a budget.

    ``run_sd`` is the sd of a point's ln loss; it tells a rise of the frontier from noise. With ``refuse`` False an
    unsupported fit is returned with ``supported`` False; fewer budgets than parameters are refused all the same.

    Raises:
        RefusedError: fewer than 4 budgets away from chance, a frontier that rises beyond noise, or a loss that does
            not fall with compute.
    """
    rows = tuple((float(c), float(v), why_dropped(c, v, chance_loss)) for c, v in _in_rising_compute(compute, loss))
    kept = [(c, v) for c, v, why in rows if not why]
    log_c, log_v = np.log([c for c, _ in kept]), np.log([v for _, v in kept])
    why = refusal(log_c, log_v, run_sd=run_sd)
    if why and (refuse or len(np.unique(log_c)) < len(LAWS[form].parameters)):
        dropped = len(rows) - len(kept)
        raise RefusedError(f"{why}" + (f" ({dropped} of {len(rows)} rows dropped)" if dropped else ""))
    unit, loss_unit = float(log_c.mean()), float(log_v.mean())
    theta, solution, agreement = solve_one(LAWS[form], log_c - unit, log_v - loss_unit)
    named = LAWS[form].named(theta, log_compute_unit=unit, log_loss_unit=loss_unit)
    if not why and named["b"] <= 0:
        why = "the loss does not fall with compute: the fitted exponent is not positive"
        if refuse:
            raise RefusedError(why)
    return Fit(
        form=form,
        theta=tuple(theta.tolist()),
        parameters={name: float(value) for name, value in named.items()},
        compute_unit=math.exp(unit),
        loss_unit=math.exp(loss_unit),
        objective=float(solution.objective[0]),
        gradient_norm=float(solution.gradient_norm[0]),
        agreement=agreement,
        rows=rows,
        status=why or _status(LAWS[form], named, rows, agreement),
        supported=not why,
    )


def why_dropped(compute: float, loss: float, chance_loss: float | None) -> str:
    """Why a row is shown but not fitted; empty where it is fitted."""
    if not (math.isfinite(compute) and math.isfinite(loss) and compute > 0 and loss > 0):
        return "compute and loss must be positive and finite"
    if chance_loss is not None and loss > NEAR_CHANCE * chance_loss:
        return f"near chance: loss {loss:.3g} is above {NEAR_CHANCE:.0%} of {chance_loss:.3g}"
    return ""


def refusal(log_compute: Floats, log_loss: Floats, *, run_sd: float | None = None) -> str:
    """Why these rungs, in rising compute, support no monotone law; empty where they do."""
    num_budgets = len(np.unique(log_compute))
    if num_budgets < MIN_BUDGETS:
        return f"{num_budgets} budgets away from chance, at least {MIN_BUDGETS} are needed"
    rise = log_loss - np.minimum.accumulate(log_loss)
    allowed = RISE_SDS * math.sqrt(2) * (run_sd if run_sd else _sd_along(log_loss))
    worst = int(np.argmax(rise))
    if rise[worst] > allowed:
        where = math.exp(log_compute[worst])
        return (
            f"the curve is not monotone: at compute {where:.3g} the loss lies {math.expm1(rise[worst]):.1%} above a "
            f"cheaper rung, more than noise explains ({math.expm1(allowed):.1%})"
        )
    return ""


def _in_rising_compute(compute: Sequence[float], loss: Sequence[float]) -> list[tuple[float, float]]:
    return sorted(zip(compute, loss, strict=True), key=lambda point: point[0])


def _sd_along(log_loss: Floats) -> float:
    """The noise of a point: from second differences where the curve is long enough, else what small studies show."""
    if len(log_loss) < 10:
        return ASSUMED_RUN_SD
    # A second difference of independent points has 6 times their variance; 0.6745 makes the median an sd.
    second = np.diff(log_loss, n=2)
    return min(ASSUMED_RUN_SD, max(0.002, float(np.median(np.abs(second))) / (0.6745 * math.sqrt(6))))


def solve_one(law: Law, x: Floats, y: Floats) -> tuple[Floats, Solution, float]:
    """The optimum of one fit from the best few seeds, and the share of them that agree on it."""
    starts = law.seeds(x, y[None, :], num=_NUM_SEEDS)[0]
    ends = minimise(law, x, np.broadcast_to(y, (len(starts), len(y))), starts)
    best = int(np.argmin(ends.objective))
    slack = 1e-6 * ends.objective[best] + 1e-14
    agreement = float(np.mean(ends.objective <= ends.objective[best] + slack))
    return ends.theta[best], Solution(*(part[best : best + 1] for part in ends)), agreement


def solve_many(law: Law, x: Floats, y: Floats) -> Floats:
    """Theta of (fits, parameters) for ln losses ``y`` of (fits, rungs), each from its own best seed."""
    return minimise(law, x, y, law.seeds(x, y, num=1)[:, 0], max_steps=30, tolerance=1e-7, least_gain=1e-6).theta


def minimise(
    law: Law,
    x: Floats,
    y: Floats,
    start: Floats,
    *,
    max_steps: int = 100,
    tolerance: float = 1e-10,
    least_gain: float = 0.0,
) -> Solution:
    """Levenberg-Marquardt on every row of ``y`` at once, held inside the law's bounds.

    A row is done when its gradient is shorter than ``tolerance``, when no step lowers its objective, or when one lowers
    it by a share of less than ``least_gain``.
    """
    low = np.array([parameter.low for parameter in law.parameters])
    high = np.array([parameter.high for parameter in law.parameters])
    theta = np.clip(start, low, high)
    objective = 0.5 * np.sum((law.log_loss(theta, x) - y) ** 2, axis=-1)
    gradient_norm = np.full(len(theta), np.inf)
    damping = np.full(len(theta), 1e-3)
    going = np.arange(len(theta))
    for _ in range(max_steps):
        at = theta[going]
        slope, residual = law.jacobian(at, x), law.log_loss(at, x) - y[going]
        gradient = np.matmul(residual[:, None, :], slope)[:, 0]
        held = ((at <= low) & (gradient > 0)) | ((at >= high) & (gradient < 0))
        gradient = np.where(held, 0.0, gradient)
        gradient_norm[going] = np.sqrt(np.sum(gradient**2, axis=-1))
        open_ = (gradient_norm[going] > tolerance) & (damping[going] < 1e12)
        if not open_.any():
            break
        going, at, slope, gradient, held = going[open_], at[open_], slope[open_], gradient[open_], held[open_]
        trial = np.clip(at - _damped_step(slope, gradient, held, damping[going]), low, high)
        trial_objective = 0.5 * np.sum((law.log_loss(trial, x) - y[going]) ** 2, axis=-1)
        better = trial_objective < objective[going]
        small = better & (objective[going] - trial_objective < least_gain * objective[going])
        theta[going] = np.where(better[:, None], trial, at)
        objective[going] = np.where(better, trial_objective, objective[going])
        damping[going] *= np.where(better, 0.2, 8.0)
        going = going[~small]
    return Solution(theta, objective, gradient_norm)


def _damped_step(slope: Floats, gradient: Floats, held: NDArray[np.bool_], damping: Floats) -> Floats:
    """(H + damping diag H)^-1 g with H = J'J, parameters held at a bound left out."""
    hessian = np.matmul(slope.swapaxes(-1, -2), slope)
    hessian = np.where(held[:, :, None] | held[:, None, :], 0.0, hessian)
    diagonal = np.arange(hessian.shape[-1])
    hessian[:, diagonal, diagonal] = hessian[:, diagonal, diagonal] * (1 + damping[:, None]) + 1e-14 + held
    return np.asarray(np.linalg.solve(hessian, gradient[..., None])[..., 0], dtype=np.float64)


def _status(law: Law, named: dict[str, Floats], rows: tuple[tuple[float, float, str], ...], agreement: float) -> str:
    kept = sum(not why for *_, why in rows)
    parts = [f"fitted on {kept} of {len(rows)} rungs"]
    if law.form == "saturating" and named["E"] <= 0:
        parts.append("the irreducible loss is at its bound of 0")
    if law.form == "saturating" and (named["b"] <= 1.01e-3 or named["b"] >= 2.99):
        parts.append("the exponent is at a bound")
    if agreement < 1:
        parts.append(f"only {agreement:.0%} of the best seeds agree on the optimum")
    return "; ".join(parts)
