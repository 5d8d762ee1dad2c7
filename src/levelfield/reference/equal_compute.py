"""NFNet against ViT at equal compute, as published: each NFNet run against the ViTs' law, never beyond its points.

The difference is ln(error of the NFNet / error of the law at the same compute). Its interval holds the law's own (runs
left out whole), the luck of one run (the scatter of ViT runs about their law stands in for what no paper measured),
what the conversion of compute leaves open (times the slope of the law), and the rounding of the printed accuracy. The
intervals hold together for every run and for their mean (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.reference.currency import LEVEL, Compute
from levelfield.reference.placed import PlacedPoint
from levelfield.reference.protocols import differing
from levelfield.reference.resampled import FittedPoint, Resampled
from levelfield.scaling.results.intervals import CurvePoint, Interval
from levelfield.scaling.results.verdicts import Verdict

MARGIN = 0.05
"""Of "equivalent", in ln error: that of every study here, fixed before these points were compared."""
ACCURACY_ROUNDING = 0.1
"""Accuracies are printed to a tenth of a percent; any value within half of it is as likely."""
_SLOPE_STEP = 0.01


@record
class Difference:
    """One NFNet run against the law: ``log_ratio`` in its counted compute, ``by_hours`` in published device time."""

    model: str
    run: str
    exaflops: float
    error: float
    law_error: float
    log_ratio: Interval
    by_hours: Interval | None
    verdict: Verdict
    reasons: tuple[str, ...]
    confounds: tuple[str, ...]


@record
class EqualCompute:
    """All differences, their mean in counted compute and in published device time, the curve between them.

    ``curve`` joins the cheapest and the dearest NFNet of the lower envelope by a line in ln error: an interpolation
    between two runs, no law. ``parts`` are the sds that make up the interval of the mean.
    """

    margin: float
    low_exaflops: float
    high_exaflops: float
    differences: tuple[Difference, ...]
    mean: Interval
    mean_by_hours: Interval
    verdict: Verdict
    verdict_by_hours: Verdict
    reasons: tuple[str, ...]
    curve: tuple[CurvePoint, ...]
    parts: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class _Contrast:
    """Weighted runs against the law at their computes; ``weights`` sum to one."""

    points: Sequence[PlacedPoint]
    computes: Sequence[Compute]
    weights: NDArray[np.float64]

    @property
    def exaflops(self) -> list[float]:
        return [compute.exaflops for compute in self.computes]


def compare(
    points: Sequence[PlacedPoint], law: Resampled, rows: Sequence[FittedPoint], *, scatter: float, typical: PlacedPoint
) -> EqualCompute:
    """The ``points`` of one family against ``law``, fitted to ``rows`` of the other; ``typical`` is one of these.

    Points outside the law's range are not compared.
    """
    kept = [row for row in rows if not row.dropped]
    low, high = kept[0].exaflops, kept[-1].exaflops
    inside = [point for point in points if low <= point.exaflops <= high]
    statements = len(inside) + 1
    edge = _edge(kept, inside)
    differences = tuple(_difference(point, law, scatter, statements, edge, typical) for point in inside)
    overall = _mean(inside, [point.compute for point in inside])
    mean, parts = _interval(overall, law, scatter, statements)
    timed = _mean(inside, [point.by_hours or point.compute for point in inside])
    by_hours, _ = _interval(timed, law, scatter, statements)
    verdict, reasons = _verdict(mean, law, statements, edge)
    return EqualCompute(
        margin=MARGIN,
        low_exaflops=min(overall.exaflops),
        high_exaflops=max(overall.exaflops),
        differences=differences,
        mean=mean,
        mean_by_hours=by_hours,
        verdict=verdict,
        verdict_by_hours=_verdict(by_hours, law, statements, edge)[0],
        reasons=reasons,
        curve=_curve(inside, law, scatter, statements),
        parts=parts,
    )


def _difference(
    point: PlacedPoint, law: Resampled, scatter: float, statements: int, edge: str, typical: PlacedPoint
) -> Difference:
    log_ratio, _ = _interval(_one(point, point.compute), law, scatter, statements)
    hours = None if point.by_hours is None else _interval(_one(point, point.by_hours), law, scatter, statements)[0]
    verdict, reasons = _verdict(log_ratio, law, statements, edge)
    return Difference(
        model=point.model,
        run=point.run,
        exaflops=point.exaflops,
        error=point.error,
        law_error=law.full.predict(point.exaflops),
        log_ratio=log_ratio,
        by_hours=hours,
        verdict=verdict,
        reasons=reasons,
        confounds=differing(point.protocol, typical.protocol),
    )


def _one(point: PlacedPoint, compute: Compute) -> _Contrast:
    return _Contrast(points=[point], computes=[compute], weights=np.ones(1))


def _mean(points: Sequence[PlacedPoint], computes: Sequence[Compute]) -> _Contrast:
    return _Contrast(points=points, computes=computes, weights=np.full(len(points), 1 / len(points)))


def _interval(
    contrast: _Contrast, law: Resampled, scatter: float, statements: int
) -> tuple[Interval, dict[str, float]]:
    """The weighted difference with its interval, and the sds of its parts."""
    weights = contrast.weights
    errors = np.array([point.error for point in contrast.points])
    estimate = float(weights @ (np.log(errors) - law.log_errors(contrast.exaflops)))
    slopes = np.array([_slope(law, value) for value in contrast.exaflops])
    log_sds = np.array([compute.log_sd for compute in contrast.computes])
    parts = {
        "the law of the ViTs": math.sqrt(float(weights @ law.covariance(contrast.exaflops) @ weights)),
        "the luck of a run": scatter * math.sqrt(float(weights @ weights)),
        # Runs may share what their conversion gets wrong, so these errors are added, not their squares.
        "the conversion of compute": float(np.sum(np.abs(weights * slopes * log_sds))),
        "the rounding of accuracy": math.sqrt(float(np.sum((weights * ACCURACY_ROUNDING / errors) ** 2 / 12))),
    }
    half = law.critical(LEVEL, statements=statements) * math.sqrt(sum(sd**2 for sd in parts.values()))
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half, level=LEVEL), parts


def _slope(law: Resampled, exaflops: float) -> float:
    """The derivative of the law's ln error by ln compute."""
    low, high = law.log_errors([exaflops * math.exp(-_SLOPE_STEP), exaflops * math.exp(_SLOPE_STEP)])
    return float(high - low) / (2 * _SLOPE_STEP)


def _verdict(found: Interval, law: Resampled, statements: int, edge: str) -> tuple[Verdict, tuple[str, ...]]:
    """By the rules of :mod:`levelfield.scaling.verdicts.compare`: a difference from a bound is never "better"."""
    half = (found.high - found.low) / 2
    outer = half * law.critical((1 + LEVEL) / 2, statements=statements) / law.critical(LEVEL, statements=statements)
    if found.low > -MARGIN and found.high < MARGIN and not edge:
        return "equivalent", ()
    if abs(found.estimate) > outer:
        if found.estimate > 0:
            return "worse", ()
        return ("cannot tell", (edge,)) if edge else ("better", ())
    why = f"too noisy: the interval is ±{half:.3f} wide, the margin is ±{MARGIN:g}"
    if half < MARGIN:
        why = "the interval reaches beyond the margin"
    return "cannot tell", (why, *((edge,) if edge else ()))


def _edge(kept: Sequence[FittedPoint], inside: Sequence[PlacedPoint]) -> str:
    """Why the law is only a bound where the points lie; empty where it is not."""
    low, high = min(point.exaflops for point in inside), max(point.exaflops for point in inside)
    near = [row for row in kept if row.edge and low / 5 <= row.exaflops <= high * 5]
    if not near:
        return ""
    models = ", ".join(dict.fromkeys(row.model for row in near))
    return f"the law rests on {models} here, the largest tried: a larger ViT might do better, so it is only a bound"


def _curve(points: Sequence[PlacedPoint], law: Resampled, scatter: float, statements: int) -> tuple[CurvePoint, ...]:
    """The difference between the two ends of the points' lower envelope, interpolated in ln error by ln compute."""
    first = min(points, key=lambda point: point.exaflops)
    last = max(points, key=lambda point: (point.exaflops, -point.error))
    span = math.log(last.exaflops / first.exaflops)
    if span <= 0:
        return ()
    found = []
    for share in np.linspace(0.0, 1.0, 21).tolist():
        exaflops = first.exaflops * math.exp(share * span)
        both = [_moved(point.compute, exaflops) for point in (first, last)]
        contrast = _Contrast(points=[first, last], computes=both, weights=np.array([1 - share, share]))
        interval, _ = _interval(contrast, law, scatter, statements)
        found.append(CurvePoint(x=exaflops, y=interval.estimate, low=interval.low, high=interval.high))
    return tuple(found)


def _moved(compute: Compute, exaflops: float) -> Compute:
    """The same uncertainty at another place."""
    ratio = exaflops / compute.exaflops
    return Compute(
        exaflops=exaflops,
        low=compute.low * ratio,
        high=compute.high * ratio,
        log_sd=compute.log_sd,
        basis=compute.basis,
        how=compute.how,
    )
