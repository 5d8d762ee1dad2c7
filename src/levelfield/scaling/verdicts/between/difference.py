"""The difference of two families over all the compute both cover, with a band that holds over the whole of it."""

from __future__ import annotations

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.results.intervals import CurvePoint
from levelfield.scaling.results.reasons.beside import SomeAreBounds, StraightBetweenPoints
from levelfield.scaling.results.verdicts import DifferenceCurve
from levelfield.scaling.verdicts.between.curves import FamilyCurve, overlap
from levelfield.scaling.verdicts.contrasts import Evidence

NUM_PLACES = 41
"""Places between the ends of the overlap; the families' own points are added to them."""
MOST_POINTS = 400
"""Where the families have more points inside, they are so close that the places between stand for them."""


def difference_curve(a: FamilyCurve, b: FamilyCurve, evidence: Evidence, *, level: float) -> DifferenceCurve:
    """ln(loss of a / loss of b) on the overlap of ``a`` and ``b`` in ln cost.

    The band is simultaneous over the curve: its half-width is the ``level`` quantile of the largest |t| on a fine grid,
    Working and Hotelling's idea (1929) without their straight line.
    """
    low, high = overlap(a, b)
    own = np.concatenate([curve.log_cost[curve.within(low, high)] for curve in (a, b)])
    even = np.linspace(low, high, NUM_PLACES if high > low else 1)
    at = np.unique(np.concatenate([even, own if len(own) <= MOST_POINTS else []]).round(12))
    (a_weights, a_timed), (b_weights, b_timed) = a.weights(at), b.weights(at)
    weights, timed = a_weights - b_weights, a_timed - b_timed
    (critical,) = evidence.critical(weights, timed, (level,))
    middle, half = weights @ evidence.log_losses, evidence.errors(weights, timed).half_widths(critical)
    rows = np.stack([np.exp(at), middle, middle - half, middle + half], axis=-1).tolist()
    return DifferenceCurve(
        points=tuple(CurvePoint(x=x, y=y, low=low, high=high) for x, y, low, high in rows),
        level=level,
        status=(StraightBetweenPoints(), *bounds(a, b)),
    )


def bounds(a: FamilyCurve, b: FamilyCurve) -> tuple[Reason, ...]:
    """Which families' points are only upper bounds; empty where none are."""
    sides = tuple(curve.family for curve in (a, b) if curve.bounded)
    return (SomeAreBounds(families=sides),) if sides else ()
