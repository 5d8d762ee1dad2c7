"""How far a mean over held-out images, or over seeds, may lie from that over all there could be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def proportion_ends(hits: int, num: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a share of ``num`` images."""
    from scipy.stats import binomtest

    found = binomtest(hits, num).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def mean_ends(values: NDArray[np.float64], level: float) -> tuple[float, float] | None:
    """Student's interval of a mean; None of fewer than two values."""
    from scipy.special import stdtrit

    if len(values) < 2:
        return None
    mean = float(values.mean())
    half = float(stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(len(values)))
    return mean - half, mean + half
