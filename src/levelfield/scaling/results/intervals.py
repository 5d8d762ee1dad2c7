"""Estimates with their intervals, and curves of them."""

from __future__ import annotations

import math

from levelfield.records.codec import record


@record
class Interval:
    """An estimate with its two-sided confidence interval at ``level``."""

    estimate: float
    low: float
    high: float
    level: float = 0.9

    @property
    def exponential(self) -> Interval:
        """That of e to the power of what this one is of, kept within the range of floats."""
        low, estimate, high = (math.exp(max(-700.0, min(700.0, end))) for end in (self.low, self.estimate, self.high))
        return Interval(estimate=estimate, low=low, high=high, level=self.level)


@record
class ProfileInterval:
    """The values of a parameter that the points do not speak against, all others refitted; None is no end."""

    estimate: float
    low: float | None
    high: float | None
    level: float


@record
class CurvePoint:
    """A point of a fitted curve with its interval, ready to draw."""

    x: float
    y: float
    low: float
    high: float
