"""Where runs diverge at once: a wall above the minimum of tuning curves, which no smooth curve has.

Runs on the foot of a wall lie above any smooth curve through the others and draw its minimum towards them: on planted
walls by 0.24 in ln rate, where intervals were half as wide. Runs that diverged are no points of a curve, but they are
evidence: they say where the wall stands. Where many cells have one, runs count only as far above the minimum as lies
below its foot: left out by where they lie, and not by their own losses, so that none is for the luck that it had.

A wall that stands at the minimum itself leaves no minimum, but a bound: losses fall up to the largest rate that does
not diverge. Then the fitted minimum is not told from the rates that diverged, or there is none. Assumed: a wall stands
at much the same multiple of the best rate in all cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from levelfield.scaling.laws import Floats
from levelfield.scaling.optimum.aligned import REACH, Aligned, aligned
from levelfield.scaling.optimum.clustered import larger

_JUMP, _TIMES, _LEAST_RISE = 0.1, 6.0, 0.01
"""Over a wall ln loss rises within one step of the rates by so much, and so many times as much as in the step before
(which counts as no less than the last). A smooth curve rises by up to 3 times as much, next to its minimum."""
_BEYOND = 3.0
"""And so many times as much as half of the steps of its cell rise or fall, which noise alone moves up and down."""
_SHARE = 1 / 3
"""Of the cells, at the least, that have a wall where there is one."""
_FOOT = math.log(1.75)
"""How far in ln rate the foot of a wall may reach below it, and how far above the minimum runs count at the least."""
_FIRST = 0.1
"""Walls stand somewhere between two rates: the share of cells whose first rate beyond it is nearer."""
_MOST_GROUPS = 15
"""Of cells that the jackknife leaves out in turn."""
_MOST_AT_WALL = 0.25
"""Where the minimum cannot be told from the wall in a larger share of the cells, there is none."""


def walls_of(curves: Sequence[Floats]) -> Floats:
    """ln of the least rate above the best one at which runs diverge, of every curve (rates, 2); inf where none does."""
    return np.array([_wall(curve[np.argsort(curve[:, 0])]) for curve in curves])


def _wall(curve: Floats) -> float:
    rises = np.diff(curve[:, 1])
    before = np.maximum(np.concatenate([[0.0], rises[:-1]]), _LEAST_RISE)
    beyond_noise = rises > _BEYOND * np.median(np.abs(rises))
    over = np.flatnonzero((rises > _JUMP) & (rises > _TIMES * before) & beyond_noise) + 1
    over = over[over > np.argmin(curve[:, 1])]
    return float(curve[over[0], 0]) if len(over) else math.inf


def aligned_below_walls(curves: Sequence[Floats], z: Floats, walls: Floats) -> Aligned | None:
    """As :func:`levelfield.scaling.optimum.aligned.aligned`, of the runs below the feet of the ``walls``, if there are.

    The minimum and how far a wall lies above it depend on each other: both are found twice. Where runs end shortly
    above the minimum, what counts moves with it: the covariance is the larger of its own and the jackknife's.
    """
    found = aligned(curves, z)
    if found is None or np.mean(np.isfinite(walls)) < _SHARE:
        return found
    found = _below(curves, z, walls, found)
    return found and _jackknifed(curves, z, walls, found)


def _below(curves: Sequence[Floats], z: Floats, walls: Floats, found: Aligned) -> Aligned | None:
    there, below = np.isfinite(walls), found
    for _ in range(2):
        above = walls[there] - z[there] @ below.vertex
        reach = float(np.clip(np.quantile(above, _FIRST) - _FOOT, _FOOT, REACH))
        nearer = aligned(curves, z, reach=reach)
        if nearer is None:
            return None
        below = nearer
    return below


def _jackknifed(curves: Sequence[Floats], z: Floats, walls: Floats, found: Aligned) -> Aligned:
    """``found`` with the covariance of a jackknife that leaves out a group of cells, where that is larger.

    Source: Shao and Tu, "The jackknife and bootstrap", 1995, section 2.3.
    """
    groups = min(len(curves), _MOST_GROUPS)
    vertices = []
    for group in range(groups):
        kept = [place for place in range(len(curves)) if place % groups != group]
        without = aligned([curves[place] for place in kept], z[kept], reach=found.reach)
        if without is not None:
            vertices.append(without.vertex)
    off = np.array(vertices) - np.mean(vertices, axis=0)
    spread = off.T @ off * (groups - 1) / max(1, len(vertices))
    return found._replace(covariance=larger(found.covariance, spread))


def num_at_walls(walls: Floats, z: Floats, found: Aligned | None) -> int:
    """In how many cells the minimum that was ``found`` is not told from a wall; 0 where they are few among all.

    That is where runs diverge at a rate at or below it, or one standard error above it; any rate, without a minimum.
    """
    upper = np.full(len(walls), np.inf)
    if found is not None:
        upper = z @ found.vertex + np.sqrt(np.maximum(np.sum(z @ found.covariance * z, axis=1), 0.0))
    num = int(np.sum(np.isfinite(walls) & (walls <= upper)))
    return num if num > _MOST_AT_WALL * len(walls) else 0
