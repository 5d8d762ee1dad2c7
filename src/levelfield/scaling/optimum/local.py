"""The size of least loss at one budget: a polynomial in ln size through the sizes near the best one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.records.reason import Reason
from levelfield.scaling.laws import Floats
from levelfield.scaling.results.reasons.optima import BestSizeAtEnd, FewSizes, MinimumOutside, OpensDownwards

WIDTH = math.log(8)
"""Sizes within this ln distance of the best one are local. Loss rises unevenly on both sides of its minimum, so that a
parabola over a factor of 64 either way misplaces it by 85 %, over 4 by 7.5 % (alpha 0.465, beta 0.155, no noise)."""
MIN_SIZES = 3
CUBIC_FROM = 5
"""A cubic term needs this many sizes; with fewer the curve is a parabola."""


class LocalCurve(NamedTuple):
    """The sizes near the best one: ``x`` is ln size about ``centre``, and ``degree`` that of the curve through them."""

    centre: float
    x: Floats
    near: NDArray[np.bool_]
    degree: int

    @property
    def design(self) -> Floats:
        return np.vander(self.x, self.degree + 1, increasing=True)


def local_curve(size: Floats, log_loss: Floats, *, width: float = WIDTH, degree: int = 3) -> LocalCurve | Reason:
    """The sizes within ``width`` of the best one and its neighbours however far they are, or why there is no minimum.

    ``size`` is ln size, rising. ``degree`` is lowered to 2 where fewer than 5 sizes are near.
    """
    if len(np.unique(size)) < MIN_SIZES:
        return FewSizes(num=len(np.unique(size)), needed=MIN_SIZES)
    best = int(np.argmin(log_loss))
    if best in (0, len(size) - 1):
        return BestSizeAtEnd(side="smallest" if best == 0 else "largest")
    return curve_about(size, best, width=width, degree=degree)


def curve_about(size: Floats, best: int, *, width: float = WIDTH, degree: int = 3) -> LocalCurve:
    """The sizes within ``width`` of the one at ``best``, which has neighbours on both sides."""
    near = np.abs(size - size[best]) <= width
    near[best - 1 : best + 2] = True
    x = size[near] - size[best]
    return LocalCurve(float(size[best]), x, near, degree if len(np.unique(x)) >= CUBIC_FROM else 2)


def minima(coefficients: Floats) -> Floats:
    """Where polynomials of degree 2 or 3, coefficients (..., degree + 1) rising, have their minimum; nan where none.

    The stable root of the derivative: it passes into the parabola's vertex as the cubic term vanishes.
    """
    slope, bend = coefficients[..., 1], coefficients[..., 2]
    skew = coefficients[..., 3] if coefficients.shape[-1] > 3 else np.zeros_like(bend)
    under = bend**2 - 3 * slope * skew
    below = bend + np.sqrt(np.where(under > 0, under, np.nan))
    # With the cubic term 0 a parabola that opens downwards has nothing below the line.
    return -slope / np.where((skew == 0) & (bend <= 0), np.nan, np.where(below == 0, np.nan, below))


def local_minimum(size: Floats, log_loss: Floats, *, width: float = WIDTH, degree: int = 3) -> float | Reason:
    """ln of the size of least loss, or why there is none: too few sizes, an edge, or a curve that opens downwards."""
    curve = local_curve(size, log_loss, width=width, degree=degree)
    if isinstance(curve, Reason):
        return curve
    place = float(minima(np.linalg.pinv(curve.design) @ log_loss[curve.near]))
    return why_no_minimum(place, curve) or curve.centre + place


def why_no_minimum(place: float, curve: LocalCurve) -> Reason | None:
    """Why ``place``, the minimum of ``curve``, is none; None where it is one."""
    if math.isnan(place):
        return OpensDownwards()
    if not curve.x[0] <= place <= curve.x[-1]:
        return MinimumOutside()
    return None
