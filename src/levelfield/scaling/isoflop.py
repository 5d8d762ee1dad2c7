"""How to spend a budget: loss against size at equal compute, the vertex, and how it moves with compute."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.scaling.analysis import Allocation, Interval, IsoflopPoint, IsoflopProfile
from levelfield.scaling.choose import NUM_DRAWS, interval
from levelfield.scaling.fit import MIN_BUDGETS
from levelfield.scaling.frontier import grouped
from levelfield.scaling.laws import Floats
from levelfield.scaling.local import local_curve, minima, why_no_minimum


def isoflop_profiles(
    rows: Sequence[Observation], *, seed_sd: float | None, level: float, generator: np.random.Generator
) -> tuple[IsoflopProfile, ...]:
    """The profile of every (family, budget) whose search runs know their size and examples.

    Each size counts by its best learning rate in the unvaried recipe, so that all sizes were searched alike.
    ``seed_sd`` is the sd of one run's ln loss; without it the scatter about the curve serves.
    """
    usable = (r for r in rows if r.role == "search" and not r.variant and r.params and r.examples)
    profiles = []
    for (family, budget), runs in grouped(usable, lambda r: (r.family, r.budget_flops)).items():
        best = [min(same, key=lambda r: (r.loss, r.run)) for same in grouped(runs, lambda r: r.model).values()]
        best.sort(key=lambda r: (r.params or 0.0, r.model))
        optimum, status = _vertex(
            np.log([r.params or 1.0 for r in best]), np.log([r.loss for r in best]), seed_sd, level, generator
        )
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
                optimal_params=optimum,
                status=status,
            )
        )
    return tuple(profiles)


def _vertex(
    size: Floats, log_loss: Floats, seed_sd: float | None, level: float, generator: np.random.Generator
) -> tuple[Interval | None, str]:
    """The optimal number of parameters by the local curve in ln size, or why there is none."""
    curve = local_curve(size, log_loss)
    if isinstance(curve, str):
        return None, curve
    y, project = log_loss[curve.near], np.linalg.pinv(curve.design)
    fitted = curve.design @ (project @ y)
    vertex = float(minima(project @ y))
    if why := why_no_minimum(vertex, curve):
        return None, why
    free, misfit = len(y) - curve.degree - 1, y - fitted
    sd = seed_sd if seed_sd else math.sqrt(float(misfit @ misfit) / free) if free > 0 else None
    if sd is None:
        return None, "no interval: one run a size and no noise estimate; repeat a cell with other seeds"
    drawn = minima((fitted + sd * generator.standard_normal((NUM_DRAWS, len(y)))) @ project.T)
    if np.mean(np.isnan(drawn)) > (1 - level) / 2:
        return None, "flat within noise: the seeds cannot tell a minimum from none"
    drawn = np.clip(drawn[np.isfinite(drawn)], curve.x[0], curve.x[-1])
    found = interval(math.exp(curve.centre + vertex), np.exp(curve.centre + drawn), level)
    touches = found.low <= math.exp(size[0]) * 1.001 or found.high >= math.exp(size[-1]) * 0.999
    return found, "vertex inside the sizes tried" + ("; its interval reaches the edge of them" if touches else "")


def optima(profiles: Sequence[IsoflopProfile], family: str) -> tuple[Floats, Floats, Floats]:
    """ln budget, ln optimal params and ln examples there, for the rungs of ``family`` that have a vertex."""
    found = []
    for profile in profiles:
        if profile.family == family and profile.optimal_params is not None:
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
        why = f"{len(budgets)} of {num_rungs} rungs have a vertex, at least {MIN_BUDGETS} are needed"
        return Allocation(family=family, params_exponent=None, examples_exponent=None, status=why)
    return Allocation(
        family=family,
        params_exponent=line(budgets, sizes, level=level)[1],
        examples_exponent=line(budgets, examples, level=level)[1],
        status=f"fitted on the vertices of {len(budgets)} of {num_rungs} rungs",
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
