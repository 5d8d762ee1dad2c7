"""The trend of the difference between two families: analysis of covariance of ln loss on ln compute.

Each family gets a line of its own; what both share beside it (their common curve) is taken out first. Offset and slope
are linear contrasts of the cells, so the study's noise model gives their errors; where the points scatter about the
model by more than that noise explains, the errors are widened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.uncertainty import widened
from levelfield.scaling.results.intervals import CurvePoint, Interval
from levelfield.scaling.results.reasons.beside import (
    DifferencesScatter,
    FewInsideOverlap,
    NoiseIsScatter,
    NothingLeftToJudge,
    ScatterAsNoise,
)
from levelfield.scaling.results.verdicts import Ancova
from levelfield.scaling.verdicts.between.curves import FamilyCurve, overlap
from levelfield.scaling.verdicts.between.difference import bounds
from levelfield.scaling.verdicts.contrasts import Evidence

MIN_INSIDE = 2
"""Points of a family inside the overlap, at the least."""
MIN_FREE = 2
"""Residual degrees of freedom that must be left before a common bend is fitted."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """offset + slope * (ln cost - middle) on [low, high], with the covariance of (offset, slope).

    ``common_offset`` and ``common_error`` are those of parallel lines; ``free`` residuals judged the straightness.
    """

    a: str
    b: str
    low: float
    high: float
    middle: float
    offset: float
    slope: float
    covariance: Floats
    common_offset: float
    common_error: float
    degrees_of_freedom: float
    num_points: int
    free: int
    excess: bool
    from_scatter: bool

    def at(self, log_cost: Floats) -> tuple[Floats, Floats]:
        """The difference and its standard error at ``log_cost``."""
        basis = np.stack([np.ones_like(log_cost), log_cost - self.middle], axis=-1)
        variance = np.einsum("ki,ij,kj->k", basis, self.covariance, basis)
        return basis @ np.array([self.offset, self.slope]), np.sqrt(np.maximum(variance, 0.0))

    def critical(self, level: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.degrees_of_freedom, (1 + level) / 2))


def fit_trend(a: FamilyCurve, b: FamilyCurve, evidence: Evidence) -> Trend | Reason:
    """The trend of ln(loss of a / loss of b) from the points inside the overlap, or why there is none."""
    low, high = overlap(a, b)
    inside = [curve.within(low, high) for curve in (a, b)]
    for curve, points in zip((a, b), inside, strict=True):
        if len(points) < MIN_INSIDE:
            return FewInsideOverlap(family=curve.family, num=len(points), needed=MIN_INSIDE)
    middle = (low + high) / 2
    x = np.concatenate([curve.log_cost[points] for curve, points in zip((a, b), inside, strict=True)]) - middle
    sign = np.repeat([0.5, -0.5], [len(points) for points in inside])
    design = design_of(x, sign)
    places = np.concatenate([curve.places[points] for curve, points in zip((a, b), inside, strict=True)])
    y = evidence.log_losses[places]
    covariance = _covariance(x, sign, y, places, a, evidence)
    solved = np.linalg.pinv(design)
    free = len(x) - round(float(np.sum(design.T * solved)))
    scatter = float(np.sum((y - design @ (solved @ y)) ** 2))
    expected = float(np.trace(covariance) - np.sum(design.T * (solved @ covariance)))
    both, noise = np.asarray(solved[-2:], dtype=np.float64), evidence.noise
    known = _degrees(both, places, evidence)
    factor, degrees, excess = widened(scatter / max(expected, 1e-24), free, known)
    if noise.from_scatter:  # the noise is this very scatter, which must not vouch for itself
        factor, degrees, excess = 1.0, known, False
    parallel = np.linalg.pinv(design[:, :-1])[-1]
    return Trend(
        a=a.family,
        b=b.family,
        low=low,
        high=high,
        middle=middle,
        offset=float(both[0] @ y),
        slope=float(both[1] @ y),
        covariance=factor * both @ covariance @ both.T,
        common_offset=float(parallel @ y),
        common_error=math.sqrt(factor * float(parallel @ covariance @ parallel)),
        degrees_of_freedom=degrees,
        num_points=len(x),
        free=free,
        excess=excess,
        from_scatter=noise.from_scatter,
    )


def design_of(x: Floats, sign: Floats) -> Floats:
    """The model's columns at ``x``: what the families share, then their difference and its slope.

    ``sign`` is 1/2 for the first family and -1/2 for the second. On equal rungs the share is free at every rung, so
    that only differences are judged; else it is a line, bent where there are points enough.
    """
    first, second = np.sort(x[sign > 0]), np.sort(x[sign < 0])
    if len(first) == len(second) and np.allclose(first, second, atol=1e-9):
        common = (np.abs(x[:, None] - first) < 1e-6).astype(np.float64)
    else:
        distinct = min(len(np.unique(side.round(9))) for side in (first, second))
        bent = len(x) - 5 >= MIN_FREE and distinct >= 3
        common = np.stack([x**power for power in range(3 if bent else 2)], axis=-1)
    return np.column_stack([common, sign, sign * x])


def ancova_record(trend: Trend, a: FamilyCurve, b: FamilyCurve, *, level: float) -> Ancova:
    """The trend as a record, in units of the currency."""
    critical = trend.critical(level)
    ends = np.array([trend.low, trend.high])
    at, errors = trend.at(ends)
    rows = zip(np.exp(ends).tolist(), at.tolist(), (critical * errors).tolist(), strict=True)

    def around(estimate: float, error: float) -> Interval:
        half = critical * error
        return Interval(estimate=estimate, low=estimate - half, high=estimate + half, level=level)

    offset_error, slope_error = np.sqrt(np.maximum(np.diag(trend.covariance), 0.0)).tolist()
    return Ancova(
        middle=math.exp(trend.middle),
        offset=around(trend.offset, offset_error),
        slope=around(trend.slope, slope_error),
        common_offset=around(trend.common_offset, trend.common_error),
        num_points=trend.num_points,
        line=tuple(CurvePoint(x=x, y=y, low=y - half, high=y + half) for x, y, half in rows),
        status=(_status(trend), *bounds(a, b)),
    )


def _covariance(x: Floats, sign: Floats, y: Floats, places: np.ndarray, a: FamilyCurve, evidence: Evidence) -> Floats:
    """That of the points' ln losses, a clock's error counting by the slope of its family's line."""
    covariance = evidence.noise.positive_covariance(places)
    assert covariance is not None  # no trend is fitted without a noise model
    if evidence.regret.chosen.any():
        covariance = covariance + evidence.regret.covariance(places)
    if a.currency == "device_seconds" and evidence.seconds.sd > 0:
        slopes = {value: np.polyfit(x[sign == value], y[sign == value], 1)[0] for value in (0.5, -0.5)}
        slope = np.where(sign > 0, slopes[0.5], slopes[-0.5])
        covariance = covariance + np.diag(slope**2 * evidence.seconds.sd**2 / evidence.seconds.num_runs[places])
    return covariance


def _degrees(both: Floats, places: np.ndarray, evidence: Evidence) -> float:
    """How well the noise of offset and slope is known: as well as that of the one that is known less."""
    weights = np.zeros((len(both), len(evidence.log_losses)))
    weights[:, places] = both
    return float(np.min(evidence.noise.seed_variances(weights)[1]))


def _status(trend: Trend) -> Reason:
    if trend.from_scatter:
        return NoiseIsScatter()
    if trend.excess:
        return DifferencesScatter()
    return ScatterAsNoise() if trend.free else NothingLeftToJudge(num_points=trend.num_points)
