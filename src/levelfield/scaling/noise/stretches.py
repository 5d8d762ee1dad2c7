"""Intervals over examples that err together: frames of a film, steps of an episode.

Neighbours resemble one another, so that many frames say little more than few; what is left out at a time is therefore a
stretch of them, and Student's quantile has one degree of freedom for each stretch but one.

Source: the delete-a-group jackknife (Kott, "The delete-a-group jackknife", Journal of Official Statistics 17, 2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.float64]], float]


def summed_by_stretch(values: NDArray[np.floating], stretch: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sums [stretches, ...] of ``values`` [examples, ...] over each stretch, in the order of their numbers."""
    _, places = np.unique(stretch, return_inverse=True)
    sums = np.zeros((int(places.max()) + 1, *values.shape[1:]))
    np.add.at(sums, places, values)
    return sums


def stretch_means(values: NDArray[np.floating], stretch: NDArray[np.int64]) -> NDArray[np.float64]:
    """One number [stretches] for every stretch of ``values`` [examples], whose mean is that of the examples.

    A stretch weighs as much as it has examples: it is its sum over the mean length of a stretch.
    """
    sums = summed_by_stretch(values, stretch)
    return sums * (len(sums) / len(values))


def jackknifed(sums: NDArray[np.float64], statistic: Statistic, *, level: float) -> tuple[float, float, float]:
    """``statistic`` of the total of ``sums`` [stretches, ...], and its interval at ``level``.

    Raises:
        ValueError: there is one stretch.
    """
    number = len(sums)
    if number < 2:
        raise ValueError("an interval over stretches needs two at least")
    from scipy.special import stdtrit

    total = sums.sum(axis=0)
    without = np.array([statistic(total - each) for each in sums])
    spread = math.sqrt((number - 1) / number * float(((without - without.mean()) ** 2).sum()))
    half = float(stdtrit(number - 1, (1 + level) / 2)) * spread
    estimate = statistic(total)
    return estimate, estimate - half, estimate + half
