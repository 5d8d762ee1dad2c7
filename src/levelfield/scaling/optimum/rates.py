"""The optimal learning rate as a surface in size and examples, with its interval and its flat range.

Near its minimum a tuning curve is a lopsided parabola in the ln of the rate u. One shape serves all cells: with
w = u - s and the vertex s = s0 + s1 ln N + s2 ln D, ln loss = level of the cell + c w^2 + k w^3. Every cell with two
near rates tells something, bracketed or not, and the best of a coarse grid is never taken for the optimum. Without the
cubic term curves that rise faster above their minimum than below it would bias the rate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.laws import Floats
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import LearningRateCell, RateSurface
from levelfield.scaling.results.reasons.optima import FewBracketed, FittedOnCurves, NoMinimumOfRates, VaryTogether

NEAR = math.log(4)
"""Rates within a factor of 4 of a cell's best are near: farther out the loss diverges, which no parabola tells."""
MIN_CELLS = 5
TOLERANCE = 0.01
"""Loss given up over the flat range where no seed noise is known: 1 %."""
NUM_STEPS = 60
MIN_RISE_SDS = 3.0
"""Loss a factor of 4 off the vertex lies this many sds of a run's misfit above it."""
_MAX_CONDITION = 100.0


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
    low, high = (_reach(surface.shape, surface.tolerance, side) for side in (-1, 1))
    return RateAt(best, (best.estimate * math.exp(low), best.estimate * math.exp(high)))


def _reach(shape: Sequence[float], tolerance: float, side: int) -> float:
    """The w on one side of the vertex at which c w^2 + k w^3 is ``tolerance``, no farther than near rates are."""
    c, k = shape
    w = np.linspace(0.0, side * NEAR, 2001)
    lost = c * w**2 + k * w**3
    beyond = np.flatnonzero(lost >= tolerance)
    return float(w[beyond[0]] if len(beyond) else w[-1])


def _surface(family: str, cells: Sequence[LearningRateCell], tolerance: float, level: float) -> RateSurface:
    near = {id(cell): _near(cell) for cell in cells}
    used = [cell for cell in cells if len(near[id(cell)]) > 1 and cell.status != "bound"]
    bracketed = sum(cell.status == "bracketed" for cell in used)  # only they show how curved a tuning curve is
    if bracketed < MIN_CELLS:
        why = FewBracketed(num=bracketed, needed=MIN_CELLS)
        return RateSurface(family=family, tolerance=tolerance, num_cells=len(used), status=why)
    place = np.log([[cell.params or 1.0, cell.examples or 1.0] for cell in used])
    centre = place.mean(axis=0)
    z = np.column_stack([np.ones(len(used)), place - centre])
    if np.linalg.cond(z) > _MAX_CONDITION:
        return RateSurface(family=family, tolerance=tolerance, num_cells=len(used), status=VaryTogether())
    found = _fitted([near[id(cell)] for cell in used], z)
    if found is None:
        return RateSurface(family=family, tolerance=tolerance, num_cells=len(used), status=NoMinimumOfRates())
    shape, vertex, covariance = found
    surface = RateSurface(
        family=family,
        tolerance=tolerance,
        num_cells=len(used),
        num_runs=sum(len(near[id(cell)]) for cell in used),
        centre=tuple(np.exp(centre).tolist()),
        shape=shape,
        coefficients=tuple(vertex.tolist()),
        covariance=tuple(map(tuple, covariance.tolist())),
        status=FittedOnCurves(num_curves=len(used), num_bracketed=bracketed, lopsided=bool(shape[1])),
    )
    rate, size, length = (_along(surface, row, level) for row in np.eye(3))
    return dataclasses.replace(surface, rate=rate.exponential, params_exponent=size, examples_exponent=length)


def _near(cell: LearningRateCell) -> Floats:
    """(rates, 2) of ln rate and ln loss of the cell's near rates."""
    log = np.log(cell.tried)
    return log[np.abs(log[:, 0] - math.log(cell.best_base_lr)) <= NEAR + 1e-9]


def _fitted(curves: Sequence[Floats], z: Floats) -> tuple[tuple[float, float], Floats, Floats] | None:
    """(c, k), (s0, s1, s2) and the covariance of these; None where no minimum shows.

    Gauss-Newton on s: a term e . z w beside w^2 and w^3 moves the vertex by -e . z / 2 c, until none is left.
    """
    cells = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    u, y = np.concatenate(curves).T
    at, y = z[cells], _within(y, cells)
    parabola = _within(np.column_stack([u**2, u[:, None] * at]), cells)
    found = np.linalg.pinv(parabola) @ y
    if found[0] <= 0:
        return None
    vertex = -found[1:] / (2 * found[0])
    for _ in range(NUM_STEPS):
        design = _design(u, at, vertex, cells)
        found = np.linalg.pinv(design) @ y
        step = -found[1:4] / (2 * max(found[0], 1e-12))
        vertex = vertex + np.clip(step, -math.log(2), math.log(2))
        if np.max(np.abs(step)) < 1e-6:
            break
    else:
        return None
    misfit = y - design @ found
    covariance = _covariance(design, misfit, cells)
    # Near rates lie about the best one, which noise alone makes the lowest: so a minimum has to tower over the noise.
    towers = found[0] * NEAR**2 > MIN_RISE_SDS * math.sqrt(float(misfit @ misfit) / max(1, len(y) - len(curves)))
    if not towers or found[0] <= 3 * math.sqrt(covariance[0, 0]):
        return None
    shape = float(found[0]), float(found[4]) if len(found) > 4 else 0.0
    return shape, vertex, covariance[1:4, 1:4] / (2 * found[0]) ** 2


def _design(u: Floats, at: Floats, vertex: Floats, cells: NDArray[np.intp]) -> Floats:
    """The columns w^2, w, w ln N, w ln D, and w^3 where the rates tell it from the others."""
    w = u - at @ vertex
    columns = _within(np.column_stack([w**2, w[:, None] * at, w**3]), cells)
    return columns if _distinct(columns) else columns[:, :-1]


def _within(values: Floats, cells: NDArray[np.intp]) -> Floats:
    """``values`` less their cell's mean."""
    sums = np.zeros((cells.max() + 1, *values.shape[1:]))
    np.add.at(sums, cells, values)
    counts = np.bincount(cells).reshape(-1, *[1] * (values.ndim - 1))
    return values - (sums / counts)[cells]


def _distinct(design: Floats) -> bool:
    """Whether the columns tell their terms apart."""
    scale = np.sqrt(np.sum(design**2, axis=0))
    return bool(np.linalg.cond(design / np.maximum(scale, 1e-300)) < _MAX_CONDITION)


def _covariance(design: Floats, misfit: Floats, cells: NDArray[np.intp]) -> Floats:
    """The larger, by its trace, of the ordinary covariance and of that clustered by cell (Liang and Zeger 1986).

    Runs of a cell err together: the vertex of a cell need not lie on the plane.
    """
    num, free = cells.max() + 1, len(misfit) - cells.max() - 1 - design.shape[1]
    inverse = np.linalg.pinv(design.T @ design)
    ordinary = inverse * float(misfit @ misfit) / max(1, free)
    scores = np.zeros((num, design.shape[1]))
    np.add.at(scores, cells, design * misfit[:, None])
    clustered = inverse @ (scores.T @ scores) @ inverse * num / max(1, num - 3)
    return max(ordinary, clustered, key=lambda covariance: float(np.trace(covariance)))


def _along(surface: RateSurface, z: Floats, level: float) -> Interval:
    """s . z with its t interval, with as many degrees as there are cells beyond the surface's three terms."""
    from scipy.special import stdtrit

    value = float(np.array(surface.coefficients) @ z)
    error = math.sqrt(max(0.0, float(z @ np.array(surface.covariance) @ z)))
    half = float(stdtrit(max(1, surface.num_cells - 3), (1 + level) / 2)) * error
    return Interval(estimate=value, low=value - half, high=value + half, level=level)
