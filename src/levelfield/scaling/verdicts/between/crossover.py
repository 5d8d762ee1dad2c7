"""Where one family overtakes the other: the root of the trend of their difference, never quoted outside the overlap."""

from __future__ import annotations

import math

import numpy as np

from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.uncertainty import matrix_root
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.beside import Crosses, NoRootInside
from levelfield.scaling.results.verdicts import Crossover
from levelfield.scaling.verdicts.between.ancova import Trend

NUM_CHANCES = 8
"""Parts of the overlap for which the chance of a crossover is given."""
_FINE = 801


def crossover_of(trend: Trend, generator: np.random.Generator, *, level: float, num_draws: int) -> Crossover:
    """The root of ``trend`` with its distribution over plausible trends.

    Its interval holds every cost at which the trend is not told apart from 0 at ``level`` (Fieller 1940), cut at the
    ends of the overlap.
    """
    scale = np.sqrt(trend.degrees_of_freedom / generator.chisquare(trend.degrees_of_freedom, (num_draws, 1)))
    errors = generator.standard_normal((num_draws, 2)) @ matrix_root(trend.covariance).T * scale
    offsets, slopes = np.array([trend.offset, trend.slope])[:, None] + errors.T
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = trend.middle - offsets / slopes
    inside = (roots >= trend.low) & (roots <= trend.high)
    none = 1 - float(np.mean(inside))
    ends = np.linspace(trend.low, trend.high, NUM_CHANCES + 1)
    shares = np.histogram(roots[inside], ends)[0] / num_draws
    chances = tuple(zip(np.exp(ends[:-1]).tolist(), np.exp(ends[1:]).tolist(), shares.tolist(), strict=True))
    root = trend.middle - trend.offset / trend.slope if trend.slope else math.inf
    if not trend.low <= root <= trend.high:
        status = NoRootInside(probability=none)
        return Crossover(place=None, probability_of_none=none, chances=chances, status=(status,))
    low, high = _undecided(trend, root, level)
    place = Interval(estimate=math.exp(root), low=math.exp(low), high=math.exp(high), level=level)
    return Crossover(place=place, probability_of_none=none, chances=chances, status=(_status(trend, low, high, none),))


def _undecided(trend: Trend, root: float, level: float) -> tuple[float, float]:
    """The ends of the costs around ``root`` at which the trend is not told apart from 0."""
    at = np.linspace(trend.low, trend.high, _FINE)
    middle, error = trend.at(at)
    told: Floats = at[np.abs(middle) > trend.critical(level) * error]
    low = float(np.max(told[told < root], initial=trend.low))
    return low, float(np.min(told[told > root], initial=trend.high))


def _status(trend: Trend, low: float, high: float, none: float) -> Crosses:
    return Crosses(
        better=trend.a if trend.slope < 0 else trend.b,
        may_lie_outside=low <= trend.low or high >= trend.high,
        probability_of_none=none,
    )
