"""The optimal learning rate as a surface in size and examples, with its interval and its flat range.

Estimated: s(N, D), the ln rate of least expected ln loss at a size and length, as a plane s0 + s1 ln N + s2 ln D: the
common minimum of all tuning curves of a family, moved onto one another (aligned.py). So every cell with two rates near
the minimum tells something, bracketed or not, and the best of a coarse grid is never taken for the optimum. Intervals
are Student's t with as many degrees as there are such cells beyond the plane's three terms. Symbols:
docs/explanation/notation.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.scaling.laws import Floats
from levelfield.scaling.optimum.aligned import MAX_CONDITION, REACH, Aligned, height
from levelfield.scaling.optimum.walls import aligned_below_walls, num_at_walls, walls_of
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import LearningRateCell, RateSurface
from levelfield.scaling.results.reasons.optima import (
    FallToWall,
    FewBracketed,
    FittedBelowWall,
    FittedOnCurves,
    NoMinimumOfRates,
    VaryTogether,
)

MIN_CELLS = 5
TOLERANCE = 0.01
"""Loss given up over the flat range where no seed noise is known: 1 %."""
MOST_SD = math.log(2)
"""A minimum whose place is known no better than by this sd of ln rate is none that the curves show."""
_MOST_SHARPER = math.log(4)
"""Curves are not taken for more than 4 times as sharp, or flat, as in the middle of the cells, however far it is."""


class RateAt(NamedTuple):
    """The optimal rate at one size and length, and the range of rates that lose no more than the tolerance."""

    best: Interval
    flat: tuple[float, float]


def rate_surfaces(
    cells: Sequence[LearningRateCell], families: Sequence[str], *, seed_sd: float | None, level: float
) -> tuple[RateSurface, ...]:
    """The surface of every family that has tuned cells with known size and examples, or why it has none."""
    found = []
    for family in families:
        own = [c for c in cells if c.family == family and not c.variant and c.params and c.examples]
        if own:
            found.append(_surface(family, own, seed_sd or TOLERANCE, level))
    return tuple(found)


def rate_at(surface: RateSurface, params: float, examples: float, *, level: float) -> RateAt | None:
    """The optimal base rate at ``params`` and ``examples`` with its interval; None where the family has no surface."""
    if not surface.coefficients:
        return None
    z = np.array([1.0, *(np.log([params, examples]) - np.log(surface.centre))])
    best = _along(surface, z, level).exponential
    sharp = math.exp(float(np.clip(z[1:] @ np.array(surface.sharpness), -_MOST_SHARPER, _MOST_SHARPER)))
    wall = math.log(surface.status.times) if isinstance(surface.status, FittedBelowWall) else REACH
    low, high = (_reach(surface.shape, surface.tolerance / sharp, end) for end in (-REACH, wall))
    return RateAt(best, (best.estimate * math.exp(low), best.estimate * math.exp(high)))


def _reach(shape: Sequence[float], tolerance: float, end: float) -> float:
    """The h on one side of the minimum at which g(h) is ``tolerance``, no farther than runs count: to ``end``."""
    h = np.linspace(0.0, end, 2001)
    beyond = np.flatnonzero(height(h, shape) >= tolerance)
    return float(h[beyond[0]] if len(beyond) else h[-1])


def _surface(family: str, cells: Sequence[LearningRateCell], tolerance: float, level: float) -> RateSurface:
    used = [cell for cell in cells if len(cell.tried) > 1]
    bracketed = sum(cell.status == "bracketed" for cell in used)  # only they show how curved a tuning curve is
    nothing = RateSurface(family=family, tolerance=tolerance, num_cells=len(used), status=NoMinimumOfRates())
    if bracketed < MIN_CELLS:
        return dataclasses.replace(nothing, status=FewBracketed(num=bracketed, needed=MIN_CELLS))
    place = np.log([[cell.params or 1.0, cell.examples or 1.0] for cell in used])
    centre = place.mean(axis=0)
    z = np.column_stack([np.ones(len(used)), place - centre])
    if np.linalg.cond(z) > MAX_CONDITION:
        return dataclasses.replace(nothing, status=VaryTogether())
    curves = [np.log(cell.tried) for cell in used]
    walls = walls_of(curves)
    found = aligned_below_walls(curves, z, walls)
    if num := num_at_walls(walls, z, found):
        return dataclasses.replace(nothing, status=FallToWall(num=num, num_cells=len(used)))
    if found is None or found.num_cells < MIN_CELLS or math.sqrt(found.covariance[0, 0]) > MOST_SD:
        return nothing
    surface = dataclasses.replace(
        nothing,
        num_cells=found.num_cells,
        num_runs=len(found.misfit),
        centre=tuple(np.exp(centre).tolist()),
        shape=tuple(found.shape.tolist()),
        sharpness=tuple(found.sharpness.tolist()),
        coefficients=tuple(found.vertex.tolist()),
        covariance=tuple(map(tuple, found.covariance.tolist())),
        status=_status(found, bracketed),
    )
    rate, size, length = (_along(surface, row, level) for row in np.eye(3))
    return dataclasses.replace(surface, rate=rate.exponential, params_exponent=size, examples_exponent=length)


def _status(found: Aligned, bracketed: int) -> FittedOnCurves | FittedBelowWall:
    if found.reach < REACH:
        return FittedBelowWall(num_curves=found.num_cells, num_bracketed=bracketed, times=math.exp(found.reach))
    return FittedOnCurves(num_curves=found.num_cells, num_bracketed=bracketed)


def _along(surface: RateSurface, z: Floats, level: float) -> Interval:
    """s . z with its t interval, with as many degrees as there are cells beyond the surface's three terms."""
    from scipy.special import stdtrit

    value = float(np.array(surface.coefficients) @ z)
    error = math.sqrt(max(0.0, float(z @ np.array(surface.covariance) @ z)))
    half = float(stdtrit(max(1, surface.num_cells - 3), (1 + level) / 2)) * error
    return Interval(estimate=value, low=value - half, high=value + half, level=level)
