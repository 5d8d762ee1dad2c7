"""How to spend a budget: loss against size at equal compute, the vertex, and how it moves with compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS
from levelfield.scaling.ladder.errors import NUM_REFITS
from levelfield.scaling.ladder.forms import interval
from levelfield.scaling.laws import Floats
from levelfield.scaling.optimum.local import LocalCurve, local_curve, minima, why_no_minimum
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import Allocation, IsoflopPoint, IsoflopProfile
from levelfield.scaling.results.reasons.optima import FewVertices, FittedOnVertices, FlatWithinNoise, NoNoiseOfSizes
from levelfield.scaling.tables.rungs import grouped, tuned_cells

LEAST_DEGREES = 4
"""Without seeds a rung's noise is the scatter about its own curve, and about those of the rungs beside it until so many
degrees of freedom tell it: noise may change with compute, but the scatter of five sizes alone tells next to nothing."""


def isoflop_profiles(
    rows: Sequence[Observation],
    *,
    seed_sd: float | None,
    degrees_of_freedom: float = math.inf,
    level: float,
    generator: np.random.Generator,
) -> tuple[IsoflopProfile, ...]:
    """The profile of every (family, budget) whose search runs know their size and examples.

    Each size counts by its best learning rate in the unvaried recipe, so that all sizes were searched alike.
    ``seed_sd`` is the sd of one run's ln loss, known by ``degrees_of_freedom``; without it the scatter about the curves
    of a rung and those beside it serves.
    """
    rungs: dict[tuple[str, float], list[Observation]] = {}
    for (family, budget), runs in grouped(tuned_cells(rows), lambda r: (r.family, r.budget_flops)).items():
        sizes = grouped(runs, lambda r: (r.model, r.params)).values()
        best = [min(same, key=lambda r: (r.loss, r.run)) for same in sizes]
        rungs[family, budget] = sorted(best, key=lambda r: (r.params or 0.0, r.model))
    curves = {where: _curve(best) for where, best in rungs.items()}
    profiles = []
    for (family, budget), best in rungs.items():
        noise = (seed_sd, degrees_of_freedom) if seed_sd else _scatter(curves, family, budget)
        profiles.append(
            IsoflopProfile(
                family=family,
                budget_flops=budget,
                points=tuple(
                    IsoflopPoint(
                        model=r.model, params=r.params or 0, examples=r.examples or 0, epochs=r.epochs, loss=r.loss
                    )
                    for r in best
                ),
                best_model=min(best, key=lambda r: (r.loss, r.run)).model,
                optimal_params=_vertex(curves[family, budget], noise, level, generator),
            )
        )
    return tuple(profiles)


def _curve(best: Sequence[Observation]) -> tuple[LocalCurve, Floats] | Reason:
    """The local curve in ln size and the ln losses that it goes through, or why there is none."""
    log_loss = np.log([r.loss for r in best])
    curve = local_curve(np.log([r.params or 1.0 for r in best]), log_loss)
    return curve if isinstance(curve, Reason) else (curve, log_loss[curve.near])


def _scatter(
    curves: Mapping[tuple[str, float], tuple[LocalCurve, Floats] | Reason], family: str, budget: float
) -> tuple[float, float] | None:
    """The sd of ln loss about the curves of this rung and those beside it, and its degrees of freedom."""
    misfits = {}
    for (name, at), curve in curves.items():
        if name == family and not isinstance(curve, Reason) and (free := len(curve[1]) - curve[0].degree - 1) > 0:
            misfit = curve[1] - curve[0].design @ np.linalg.lstsq(curve[0].design, curve[1])[0]
            misfits[at] = float(misfit @ misfit), free
    squares, degrees = 0.0, 0
    for at in sorted(misfits, key=lambda at: abs(math.log(at / budget))):
        if degrees >= LEAST_DEGREES:
            break
        squares, degrees = squares + misfits[at][0], degrees + misfits[at][1]
    return (math.sqrt(squares / degrees), degrees) if degrees else None


def _vertex(
    found: tuple[LocalCurve, Floats] | Reason,
    noise: tuple[float, float] | None,
    level: float,
    generator: np.random.Generator,
) -> Interval | Reason:
    """The optimal number of parameters by the local curve in ln size, or why there is none."""
    if isinstance(found, Reason):
        return found
    curve, y = found
    project = np.linalg.pinv(curve.design)
    fitted = curve.design @ (project @ y)
    vertex = float(minima(project @ y))
    if why := why_no_minimum(vertex, curve):
        return why
    if noise is None:
        return NoNoiseOfSizes()
    sd, degrees = noise
    normal = generator.standard_normal((NUM_REFITS, len(y)))
    if math.isfinite(degrees):  # an sd that is itself uncertain: t, not normal
        sd = sd * np.sqrt(degrees / generator.chisquare(degrees, (NUM_REFITS, 1)))
    drawn = lowest((fitted + sd * normal) @ project.T, curve)
    optimum = interval(math.exp(curve.centre + vertex), np.exp(curve.centre + drawn), level)
    low, high = (math.exp(curve.centre + end) for end in (curve.x[0], curve.x[-1]))
    if optimum.low <= low * 1.001 and optimum.high >= high * 0.999:
        return FlatWithinNoise()
    return optimum


def lowest(coefficients: Floats, curve: LocalCurve) -> Floats:
    """Where curves (draws, degree + 1) are lowest within the sizes: their minimum, else the lower of the two ends."""
    places, ends = minima(coefficients), coefficients @ curve.design[[0, -1]].T
    inside = (places >= curve.x[0]) & (places <= curve.x[-1])
    return np.where(inside, places, np.where(ends[:, 0] <= ends[:, 1], curve.x[0], curve.x[-1]))


def optima(profiles: Sequence[IsoflopProfile], family: str) -> tuple[Floats, Floats, Floats]:
    """ln budget, ln optimal params and ln examples there, for the rungs of ``family`` that have a vertex."""
    found = []
    for profile in profiles:
        if profile.family == family and isinstance(profile.optimal_params, Interval):
            points = sorted(profile.points, key=lambda point: point.params)
            size = math.log(profile.optimal_params.estimate)
            examples = np.interp(size, np.log([p.params for p in points]), np.log([p.examples for p in points]))
            found.append((math.log(profile.budget_flops), size, float(examples)))
    return tuple(np.array(found, dtype=float).reshape(-1, 3).T)  # pyright: ignore[reportReturnType]


def allocation(profiles: Sequence[IsoflopProfile], family: str, *, level: float) -> Allocation:
    """The exponents of optimal size and examples against compute, from at least four vertices."""
    budgets, sizes, examples = optima(profiles, family)
    num_rungs = sum(profile.family == family for profile in profiles)
    if len(budgets) < MIN_BUDGETS:
        why = FewVertices(num=len(budgets), num_rungs=num_rungs, needed=MIN_BUDGETS)
        return Allocation(family=family, params_exponent=None, examples_exponent=None, status=why)
    return Allocation(
        family=family,
        params_exponent=line(budgets, sizes, level=level)[1],
        examples_exponent=line(budgets, examples, level=level)[1],
        status=FittedOnVertices(num=len(budgets), num_rungs=num_rungs),
    )


def line(x: Floats, y: Floats, *, level: float, at: float | None = None) -> tuple[Interval | None, Interval]:
    """A least-squares line with t intervals: the mean at ``at`` (if given), and the slope."""
    from scipy.special import stdtrit

    middle = x.mean()
    spread = float((x - middle) @ (x - middle))
    slope = float((x - middle) @ y) / spread
    residual = y - y.mean() - slope * (x - middle)
    free = len(x) - 2
    variance = float(residual @ residual) / free
    critical = float(stdtrit(free, (1 + level) / 2))

    def around(estimate: float, error: float) -> Interval:
        half = critical * error
        return Interval(estimate=estimate, low=estimate - half, high=estimate + half, level=level)

    mean = None
    if at is not None:
        error = math.sqrt(variance * (1 / len(x) + (at - middle) ** 2 / spread))
        mean = around(float(y.mean() + slope * (at - middle)), error)
    return mean, around(slope, math.sqrt(variance / spread))
