"""Profile likelihood: how far a parameter can be moved, all others refitted, before the points speak against it.

An interval of its own beside the resampled one: it needs no draws, follows the curvature where the parameter is badly
known, and says when one side has no end. Source: Venzon and Moolgavkar, "A method for computing
profile-likelihood-based confidence intervals", 1988; F in place of chi-squared where the noise is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.fitting.fit import Fit
from levelfield.scaling.fitting.solver import minimise
from levelfield.scaling.laws import Floats, bounds
from levelfield.scaling.results.intervals import ProfileInterval

PROFILED = ("E", "b", "alpha", "beta")
_STEPS = 24
_REFINEMENTS = 4
_POINTS = 9
_AT_ONCE = 8
"""Values on one side that are tried together."""


def profile_intervals(found: Fit, *, variance: float, degrees: float, level: float) -> dict[str, ProfileInterval]:
    """The intervals of irreducible loss and exponents of ``found``, in the user's units.

    ``variance`` is that of a point's ln loss, known to ``degrees`` of freedom. Points weighed by recency count for as
    many as their weights are worth, sum(w)^2 / sum(w^2) of them.
    """
    from scipy.special import fdtri

    weights = found.weights
    worth = weights.sum() / (weights**2).sum()
    critical = float(fdtri(1, degrees, level)) * variance / (2 * worth)
    names = [parameter.name for parameter in found.law.parameters]
    profiled = [name for name in PROFILED if name in names and name in found.parameters]
    sides = [(names.index(name), direction) for name in profiled for direction in (-1, 1)]
    ends = iter(_together(found, {side: _end(found, *side, critical) for side in sides}))
    return {
        name: ProfileInterval(estimate=found.parameters[name], low=next(ends), high=next(ends), level=level)
        for name in profiled
    }


Search: TypeAlias = Generator[Floats, Floats, float | None]
"""Looks for an end: yields values of a parameter, is sent how far the objective rises at each, returns the end."""


def _together(found: Fit, searches: dict[tuple[int, int], Search]) -> list[float | None]:
    """The ends that ``searches`` by (place, direction) find, what all of them want to know solved as one batch."""
    ends: dict[tuple[int, int], float | None] = {}
    asked = {side: next(search) for side, search in searches.items()}
    while asked:
        places = np.concatenate([np.full(len(values), place) for (place, _), values in asked.items()])
        rises = _objectives(found, places, np.concatenate(list(asked.values()))) - found.objective
        at = np.cumsum([len(values) for values in asked.values()])[:-1]
        told, asked = dict(zip(asked, np.split(rises, at), strict=True)), {}
        for side, rise in told.items():
            try:
                asked[side] = searches[side].send(rise)
            except StopIteration as done:
                ends[side] = done.value
    return [ends[side] for side in searches]


def _end(found: Fit, place: int, direction: int, critical: float) -> Search:
    """Where the objective has risen by ``critical`` on one side of the optimum; None where it never does."""
    theta = np.asarray(found.theta)
    low, high = (limits[place] for limits in bounds(found.law))
    limit = low if direction < 0 else high
    step = max(abs(theta[place]), 0.01) * 1e-3
    values = theta[place] + direction * step * 2.0 ** np.arange(_STEPS)
    values = np.clip(values, low, high) if math.isfinite(limit) else values
    inside = theta[place]
    for round_ in range(1 + _REFINEMENTS):
        first = yield from _first_beyond(values, critical)
        if first is None:
            if round_ == 0:
                return None
            break
        inside = values[first - 1] if first else inside
        values = np.linspace(inside, values[first], _POINTS)[1:]
    return _named(found, place, float(values[0] + inside) / 2)


def _first_beyond(values: Floats, critical: float) -> Generator[Floats, Floats, int | None]:
    """The first of ``values`` at which the objective has risen by more than ``critical``; those far out are not tried
    where one before them is it."""
    for at in range(0, len(values), _AT_ONCE):
        rises = yield values[at : at + _AT_ONCE]
        beyond = np.flatnonzero(rises > critical)
        if len(beyond):
            return at + int(beyond[0])
    return None


def _objectives(found: Fit, places: NDArray[np.intp], values: Floats) -> Floats:
    """The objective with the parameter at each of ``places`` held at the value beside it."""
    start, low, high = _held(found, places, values)
    return minimise(
        found.law,
        found.x,
        found.y,
        start,
        weights=found.weights,
        delta=found.delta,
        low=low,
        high=high,
        tolerance=1e-5,
        least_gain=1e-8,
    ).objective


def _held(found: Fit, places: NDArray[np.intp], values: Floats) -> tuple[Floats, Floats, Floats]:
    start = np.repeat(np.asarray(found.theta)[None], len(values), axis=0)
    low, high = (np.repeat(limits[None], len(values), axis=0) for limits in bounds(found.law))
    for part in (start, low, high):
        part[np.arange(len(values)), places] = values
    return start, low, high


def _named(found: Fit, place: int, value: float) -> float:
    theta = np.asarray(found.theta).copy()
    theta[place] = value
    return float(found.named(theta)[found.law.parameters[place].name])
