"""What a study knows of one family at a target budget, and what one more run would add: the matter of its design."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.records.errors import InputError, RefusedError
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS
from levelfield.scaling.ladder.errors import covariance_of
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.optimum.isoflop import optima
from levelfield.scaling.optimum.local import CUBIC_FROM, local_curve
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import LawFit
from levelfield.scaling.results.optima import IsoflopProfile

PRIOR_SD = 3.0
"""Inside a fit every parameter is of order one: so wide a prior only keeps the information from being singular."""
MOST_NEW_SEEDS = 12
"""New runs at one budget: more would resolve how wrong the law's form is there, which no further seed can mend."""
MOST_PROFILES = 3
"""New isoFLOP profiles at one budget, for the same reason."""


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What is known of one family, and what more lots of runs would tell.

    ``after(budgets)`` gives the variance of what is wanted at the target as a function of how many further lots each
    budget gets, (..., budgets) to (...). A lot is one run of the best size, or one run of each of ``sizes(budget, 1)``
    where that gives any: several lots are the sizes of ``sizes(budget, lots)``. More than ``most_lots`` at one budget
    tell nothing new.
    """

    family: str
    after: Callable[[Floats], Callable[[Floats], Floats]]
    lowest: float
    highest: float
    most_lots: int
    sizes: Callable[[float, int], tuple[float, ...]] = lambda _, __: ()


def loss_knowledge(law: LawFit, *, target: float, num_seeds: float) -> Knowledge:
    """Of ln loss: what the rungs of ``law`` tell, each the mean of ``num_seeds`` runs."""
    compute = np.array([row.compute for row in law.rows if not row.dropped])
    form, theta, unit = LAWS[law.form], np.asarray(law.theta), law.log_input_units[0]

    def slope(budgets: Floats) -> Floats:
        return form.derivatives(theta, (np.log(budgets) - unit)[:, None])[1]

    covariance = covariance_of(law.errors, len(compute))
    run_variance = float(np.mean(np.diag(covariance))) * num_seeds
    seen, wanted = slope(compute), slope(np.array([target]))[0]
    known = seen.T @ np.linalg.pinv(covariance) @ seen + np.eye(len(theta)) / PRIOR_SD**2

    def after(budgets: Floats) -> Callable[[Floats], Floats]:
        told = slope(budgets)
        outer = np.einsum("bp,bq->bpq", told, told) / run_variance

        def variance(lots: Floats) -> Floats:
            information = known + np.tensordot(lots, outer, axes=1)
            return np.linalg.solve(information, wanted[:, None])[..., 0] @ wanted

        return variance

    return Knowledge(
        family=law.family, after=after, lowest=law.fitted_low, highest=law.fitted_high, most_lots=MOST_NEW_SEEDS
    )


def size_knowledge(profiles: Sequence[IsoflopProfile], family: str, *, target: float) -> Knowledge:
    """Of ln optimal size: what the vertices of the isoFLOP profiles of ``family`` tell through the line they lie on.

    A lot is a profile of at most five sizes about the foretold vertex, as wide as those there are. Its vertex has their
    noise, more by what it has fewer sizes, and their scatter about the line beyond noise, which no second lot mends.

    Raises:
        InputError: no run tells its size and examples.
        RefusedError: fewer than four rungs have a vertex.
    """
    own = [profile for profile in profiles if profile.family == family and isinstance(profile.optimal_params, Interval)]
    rungs, vertices, _ = optima(own, family)
    num_rungs = sum(profile.family == family for profile in profiles)
    if num_rungs == 0:
        raise InputError(f"the size of {family} needs searched runs with parameters and examples, saw none of them")
    if len(own) < MIN_BUDGETS:
        raise RefusedError(
            f"{family} has no line of optimal size to plan from: {len(own)} of {num_rungs} rungs have a vertex, at "
            f"least {MIN_BUDGETS} are needed; run sizes beyond the best one of the others"
        )
    slope, start = np.polyfit(rungs, vertices, 1)
    misfit = vertices - start - slope * rungs
    noise = np.array([_variance(profile) for profile in own])
    scatter = max(0.0, float(misfit @ misfit) / (len(own) - 2) - float(noise.mean()))
    count, width = np.median([_near(profile) for profile in own], axis=0)
    num_sizes = min(round(count), CUBIC_FROM)
    fewer = _slope_variance(width, num_sizes) / _slope_variance(width, round(count))
    lot_noise = float(noise.mean()) * fewer

    def after(budgets: Floats) -> Callable[[Floats], Floats]:
        """By least squares every rung's vertex counts the same; lots at a rung join its profile."""
        log = np.log(budgets)
        joined = np.isclose(log[:, None], rungs)
        free = ~joined.any(axis=1)
        x = np.concatenate([rungs, log[free]]) - math.log(target)

        def variance(lots: Floats) -> Floats:
            there = np.concatenate([np.ones((*lots.shape[:-1], len(rungs))), lots[..., free] > 0], axis=-1)
            centre = (there @ x / there.sum(axis=-1))[..., None]
            spread = there * (x - centre)
            shares = there * (
                1 / there.sum(axis=-1, keepdims=True) - centre * spread / (spread**2).sum(-1, keepdims=True)
            )
            mended = 1 / (1 / noise + lots @ joined / lot_noise)
            new = lot_noise / np.maximum(lots[..., free], 1)
            return (shares**2 * (np.concatenate([mended, new], axis=-1) + scatter)).sum(axis=-1)

        return variance

    def sizes(budget: float, lots: int) -> tuple[float, ...]:
        at = start + slope * math.log(budget)
        return tuple(np.exp(at + width * np.linspace(-0.5, 0.5, lots * num_sizes)).tolist())

    return Knowledge(
        family=family,
        after=after,
        lowest=float(np.exp(rungs.min())),
        highest=float(np.exp(rungs.max())),
        most_lots=MOST_PROFILES,
        sizes=sizes,
    )


def _variance(profile: IsoflopProfile) -> float:
    """Of ln size at the vertex, from its interval."""
    from scipy.special import ndtri

    found = profile.optimal_params
    assert isinstance(found, Interval)  # asked only of profiles with a vertex
    return (math.log(found.high / found.low) / (2 * float(ndtri((1 + found.level) / 2)))) ** 2


def _near(profile: IsoflopProfile) -> tuple[int, float]:
    """How many sizes the vertex rests on, and how far they reach in ln size."""
    points = sorted(profile.points, key=lambda point: point.params)
    curve = local_curve(np.log([p.params for p in points]), np.log([p.loss for p in points]))
    assert not isinstance(curve, Reason)  # it has a vertex
    return len(curve.x), float(curve.x[-1] - curve.x[0])


def _slope_variance(width: float, num: int) -> float:
    """Of a local curve's slope in its middle, which places its vertex, at unit noise."""
    design = np.vander(width * np.linspace(-0.5, 0.5, num), (3 if num >= CUBIC_FROM else 2) + 1, increasing=True)
    return float(np.linalg.inv(design.T @ design)[1, 1])
