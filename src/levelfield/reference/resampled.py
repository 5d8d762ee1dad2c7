"""A law of published points, and the same law without each pre-training run.

Points of one pre-training run share its luck, so a run is left out whole: the spread of the fits without each run is
the cluster jackknife (CV3 of MacKinnon, Nielsen and Webb, 2205.03288), judged by Student's t with one degree of freedom
less than there are runs. It draws nothing at random: the same points give the same interval to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.records.reason import Reason
from levelfield.reference.placed import PlacedPoint
from levelfield.reference.points import Trust
from levelfield.scaling.fitting.fit import Fit, fit
from levelfield.scaling.results.intervals import CurvePoint, Interval
from levelfield.scaling.results.reasons.laws import FewRuns, NothingToJudgeBy

MIN_RUNS = 4
"""Fewer runs give no interval: with three, the t of two degrees of freedom rests on guesswork."""
CHANCE_ERROR = 99.9
"""Percent, of a thousand classes guessed at."""
_CURVE_POINTS = 41


@record
class FittedPoint:
    """A point that a law was asked to explain: fitted where ``dropped`` is empty.

    ``edge`` says why the error may not be the best that its compute could reach; ``trust`` is the point's.
    """

    model: str
    run: str
    exaflops: float
    error: float
    trust: Trust = "printed"
    dropped: str = ""
    edge: str = ""


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """A fit to all runs and the fits without each of them."""

    full: Fit
    without: Mapping[str, Fit]

    @property
    def degrees_of_freedom(self) -> int:
        return len(self.without) - 1

    def log_errors(self, exaflops: Sequence[float]) -> NDArray[np.float64]:
        """ln error of the full fit at ``exaflops``."""
        return np.log([self.full.predict(value) for value in exaflops])

    def covariance(self, exaflops: Sequence[float]) -> NDArray[np.float64]:
        """The jackknife covariance of the law's ln errors at ``exaflops``."""
        left = np.log([[each.predict(value) for value in exaflops] for each in self.without.values()])
        return _covariance(left - self.log_errors(exaflops))

    def parameter(self, name: str, *, level: float) -> Interval:
        """A parameter with its interval; a positive one is judged in its logarithm, the floor as it is."""
        full, left = self.full.parameters[name], np.array([each.parameters[name] for each in self.without.values()])
        floor = name == "E"
        deviations = left - full if floor else np.log(left / full)
        half = self.critical(level) * math.sqrt(_covariance(deviations[:, None])[0, 0])
        low, high = (full - half, full + half) if floor else (full * math.exp(-half), full * math.exp(half))
        return Interval(estimate=full, low=max(low, 0.0), high=high, level=level)

    def critical(self, level: float, *, statements: int = 1) -> float:
        """The half-width in standard errors of intervals that hold together for ``statements`` (Bonferroni)."""
        from scipy.special import stdtrit

        return float(stdtrit(self.degrees_of_freedom, 1 - (1 - level) / 2 / statements))


def resampled(rows: Sequence[FittedPoint], form: str, *, cheapest: float = 0.0) -> Resampled | Reason:
    """The fit of ``form`` to the frontier of ``rows``, and to the frontier of what is left without each run.

    ``cheapest`` leaves out frontier points below that many exaFLOPs. Or why there is none: fewer than 4 runs lead
    anywhere, or the points do not support a fit.
    """
    # A run that never led moves no fit: it must not lend its degree of freedom either.
    runs = sorted({row.run for row in _leading(rows, cheapest)})
    if len(runs) < MIN_RUNS:
        return FewRuns(num=len(runs), needed=MIN_RUNS)
    found = _at_own_scale(rows, form, cheapest)
    if isinstance(found, Reason):
        return found
    full, run_sd = found
    without: dict[str, Fit] = {}
    for run in runs:
        left = _fit([row for row in rows if row.run != run], form, cheapest, run_sd)
        if isinstance(left, Reason):
            return left
        without[run] = left
    return Resampled(full=full, without=without)


def fit_frontier(rows: Sequence[FittedPoint], form: str, *, cheapest: float = 0.0) -> Fit | Reason:
    """The law of ``form`` through the frontier of ``rows``, from ``cheapest`` exaFLOPs on.

    Residuals are judged at the scale of the points' own scatter about a first fit: no paper measured its seeds. Or why
    the frontier supports none.
    """
    found = _at_own_scale(rows, form, cheapest)
    return found if isinstance(found, Reason) else found[0]


def _at_own_scale(rows: Sequence[FittedPoint], form: str, cheapest: float) -> tuple[Fit, float] | Reason:
    first, leading = _fit(rows, form, cheapest, None), _leading(rows, cheapest)
    if isinstance(first, Reason):
        return first
    if len(leading) <= len(first.parameters):
        return NothingToJudgeBy(num=len(leading), num_parameters=len(first.parameters))
    run_sd = scatter(first, leading)
    found = _fit(rows, form, cheapest, run_sd)
    return found if isinstance(found, Reason) else (found, run_sd)


def _fit(rows: Sequence[FittedPoint], form: str, cheapest: float, run_sd: float | None) -> Fit | Reason:
    best = _leading(rows, cheapest)
    return fit(
        [row.exaflops for row in best],
        [row.error for row in best],
        form=form,
        chance=CHANCE_ERROR,
        run_sd=run_sd,
    )


def _leading(rows: Sequence[FittedPoint], cheapest: float) -> list[FittedPoint]:
    return [row for row in frontier(rows) if row.exaflops >= cheapest]


def frontier(rows: Sequence[FittedPoint]) -> tuple[FittedPoint, ...]:
    """The rows that no cheaper row beats, in rising compute."""
    best: list[FittedPoint] = []
    for row in sorted(rows, key=lambda row: (row.exaflops, row.error)):
        if not best or row.error < best[-1].error:
            best.append(row)
    return tuple(best)


def rows_of(points: Sequence[PlacedPoint]) -> tuple[FittedPoint, ...]:
    """``points`` as rows of a law: those that a cheaper one beats dropped, those at an edge of the sizes marked."""
    bare = [FittedPoint(model=p.model, run=p.run, exaflops=p.exaflops, error=p.error, trust=p.trust) for p in points]
    best = set(frontier(bare))
    found = []
    for row, point in zip(bare, points, strict=True):
        edge = "" if _larger_was_tried(point, points) else "no larger model was tried at this compute or below it"
        dropped = "" if row in best else "a cheaper run has a lower error"
        found.append(
            FittedPoint(
                model=row.model,
                run=row.run,
                exaflops=row.exaflops,
                error=row.error,
                trust=row.trust,
                dropped=dropped,
                edge="" if dropped else edge,
            )
        )
    return tuple(sorted(found, key=lambda row: (row.exaflops, row.error)))


def scatter(found: Fit, rows: Sequence[FittedPoint]) -> float:
    """The sd of ln error about a law, its parameters counted."""
    residuals = [math.log(row.error / found.predict(row.exaflops)) for row in rows]
    return math.sqrt(sum(value**2 for value in residuals) / (len(residuals) - len(found.parameters)))


def curve(found: Resampled, low: float, high: float, *, level: float) -> tuple[CurvePoint, ...]:
    """The law between two computes with its pointwise interval."""
    places = np.geomspace(low, high, _CURVE_POINTS).tolist()
    middle, half = found.log_errors(places), found.critical(level) * np.sqrt(np.diag(found.covariance(places)))
    rows = zip(places, np.exp(middle), np.exp(middle - half), np.exp(middle + half), strict=True)
    return tuple(CurvePoint(x=x, y=float(y), low=float(low), high=float(high)) for x, y, low, high in rows)


def _larger_was_tried(point: PlacedPoint, points: Sequence[PlacedPoint]) -> bool:
    return any(
        other.params and point.params and other.params > point.params and other.exaflops <= point.exaflops
        for other in points
    )


def _covariance(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """CV3: (runs, statistics) deviations from the full fit to their (statistics, statistics) covariance."""
    runs = len(deviations)
    return (runs - 1) / runs * deviations.T @ deviations
