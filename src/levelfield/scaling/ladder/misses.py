"""How far off a law was beyond its own rows, cut short at one budget after another: more than noise explains.

A backtest errs for two reasons: the few rows below the cut were noisy, and the law is not the truth. The first is known
from the rows' noise by the delta method, so what is left over measures the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.scaling.fitting.fit import MIN_BUDGETS, recency_weights
from levelfield.scaling.ladder.backtest import MIN_POINTS, LawForm, LossCurve, fit_curves
from levelfield.scaling.ladder.errors import covariance_of
from levelfield.scaling.laws import LAWS, Floats, Law
from levelfield.scaling.results.laws import LawFit

CUTS = (2.0, 4.0, 8.0, 16.0, 32.0)
"""How far below the largest compute a long curve or a cloud is cut."""
FEW_BUDGETS = 12
"""So many budgets, or fewer, are cut at each of them."""
SAME = 1e-7
"""ln compute of one budget, computed in two ways, differs by less."""
_PLACES = 8
CUBIC, OWN_ROWS = 3, 1
_PARTS = 4
"""What lies beyond a cut of many rows is judged in so many parts, near to far."""


@dataclass(frozen=True, kw_only=True)
class Miss:
    """ln loss seen less ln loss foretold at a ln ``distance`` beyond a cut, and the sd that noise alone gives it."""

    cut: float
    distance: float
    error: float
    noise_sd: float


def excess_slope(misses: Sequence[Miss]) -> float | None:
    """The sd of ln loss by which a law is wrong for every e-fold of compute beyond its rows; None without a backtest.

    What noise explains is taken off, so it may be 0.
    """
    if not misses:
        return None
    error, noise, distance = np.array([(each.error, each.noise_sd, each.distance) for each in misses]).T
    return math.sqrt(max(0.0, float(np.sum(error**2 - noise**2))) / float(np.sum(distance**2)))


def cuts_of(log_compute: Floats, needed: int) -> list[float]:
    """The ln compute of every cut that leaves at least ``needed`` budgets at or below it and one beyond."""
    budgets = np.unique(np.round(log_compute, _PLACES))
    if len(budgets) <= FEW_BUDGETS:
        return budgets[needed - 1 : -1].tolist()
    tops = [float(budgets[budgets <= budgets[-1] - math.log(cut) + SAME][-1:].sum()) for cut in CUTS]
    return [top for top in dict.fromkeys(tops) if np.sum(budgets <= top) >= max(needed, MIN_POINTS)]


def misses_of(found: LawFit) -> tuple[Miss, ...]:
    """The misses of a law of compute, cut short at every budget or every halving."""
    kept = [row for row in found.rows if not row.dropped]
    compute, loss = np.array([row.compute for row in kept]), np.array([row.loss for row in kept])
    x, law = np.log(compute), LAWS[found.form]
    cuts = cuts_of(x, max(MIN_BUDGETS, len(law.parameters) + 1))
    if not cuts:
        return ()
    below = [x <= cut + SAME for cut in cuts]
    parts = [LossCurve(name=found.family, compute=compute[rows], loss=loss[rows]) for rows in below]
    fits = fit_curves(parts, LawForm(found.form, found.recency))
    noise = noise_of_rows(found)
    return tuple(
        miss
        for cut, rows, (theta, compute_unit, loss_unit) in zip(cuts, below, fits, strict=True)
        for miss in beyond_cut(
            law,
            theta,
            (x - compute_unit)[:, None],
            np.log(loss) - loss_unit,
            np.where(rows, recency_weights(x[:, None] - cut, found.recency), 0.0),
            log_compute=x,
            cut=cut,
            noise=noise,
        )
    )


def noise_of_rows(found: LawFit) -> Floats:
    """The covariance of the kept rows' errors without what the form is to blame for.

    A law's own errors hold its scatter, and a wrong form scatters, too. A cubic follows any of the forms, so what it
    leaves over is noise; where rows are few that is little known, and the law's own figure counts for ``OWN_ROWS``.
    """
    kept = [row for row in found.rows if not row.dropped]
    covariance = covariance_of(found.errors, len(kept))
    x, y = np.log([row.compute for row in kept]), np.log([row.loss for row in kept])
    free = len(x) - CUBIC - 1
    if free < 1:
        return covariance
    left = y - np.polyval(np.polyfit(x - x.mean(), y, CUBIC), x - x.mean())
    own = float(np.mean(np.diag(covariance)))
    pooled = (float(left @ left) + OWN_ROWS * own) / (free + OWN_ROWS)
    return covariance * min(1.0, pooled / own)


def beyond_cut(
    law: Law,
    theta: Floats,
    x: Floats,
    y: Floats,
    weights: Floats,
    *,
    log_compute: Floats,
    cut: float,
    noise: Floats,
    worth: Floats | None = None,
) -> list[Miss]:
    """The misses of ``theta``, fitted with ``weights`` (0 beyond the ``cut``), part by part of what lies beyond.

    ``worth`` weighs the rows beyond; ``noise`` is the covariance of all rows.
    """
    beyond = np.flatnonzero(log_compute > cut + SAME)
    value, slope, _ = law.derivatives(theta, x)
    root = np.sqrt(weights)
    from_rows = np.linalg.pinv(root[:, None] * slope) * root
    budgets = np.unique(log_compute[beyond])
    parts = np.array_split(budgets, min(len(budgets), _PARTS if len(budgets) > FEW_BUDGETS else len(budgets)))
    found = []
    for part in parts:
        among = beyond[(log_compute[beyond] >= part[0] - SAME) & (log_compute[beyond] <= part[-1] + SAME)]
        share = np.ones(len(among)) if worth is None else worth[among]
        if share.sum() <= 0:
            continue
        share = share / share.sum()
        told = -(share @ slope[among]) @ from_rows
        told[among] += share
        error = float(share @ (y - value)[among])
        sd = math.sqrt(max(float(told @ noise @ told), 0.0))
        distance = float(share @ log_compute[among]) - cut
        if math.isfinite(error) and math.isfinite(sd):
            found.append(Miss(cut=cut, distance=distance, error=error, noise_sd=sd))
    return found
