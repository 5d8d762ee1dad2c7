"""The noise of learning curves: rows err together with their neighbours, and less than their residuals show.

A fit takes out part of the noise and, more so, of its memory: both are found by matching what the residuals should show
after the fit with what they show. Blocks of residuals, drawn again, cover 43-73 % instead of 90 % on 40 such rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.scaling.laws import Floats

_MEMORIES = np.linspace(0.0, 0.96, 25)
_MANY = 400
"""Rows from which a fit takes out too little to matter, and (rows, rows) matrices too long."""
_ALIKE = 1.645
"""Neighbours err together where their products exceed what independence gives by so many sds."""


class Dependence(NamedTuple):
    """Errors of ``variance`` in ln loss, k-th neighbours correlated by memory^k, known to ``degrees`` of freedom."""

    variance: float
    memory: float
    degrees: float

    def covariance(self, curves: Sequence[Sequence[int]]) -> Floats:
        """The (rows, rows) covariance; ``curves`` are the places of the rows of each curve, in order."""
        return self.memory ** _apart(curves) * self.variance

    def draws(self, curves: Sequence[Sequence[int]], num: int, generator: np.random.Generator) -> Floats:
        """(num, rows) errors, their sd as uncertain as its degrees of freedom make it."""
        errors = generator.standard_normal((num, sum(map(len, curves))))
        for curve in curves:
            for before, place in itertools.pairwise(curve):
                errors[:, place] = self.memory * errors[:, before] + math.sqrt(1 - self.memory**2) * errors[:, place]
        scale = np.sqrt(self.variance * self.degrees / generator.chisquare(self.degrees, (num, 1)))
        return errors * scale


def dependence(residuals: Floats, slope: Floats, weights: Floats, curves: Sequence[Sequence[int]]) -> Dependence:
    """The dependence of rows along ``curves``, from the ``residuals`` of a fit with ``weights``.

    ``slope`` (rows, parameters) is the fit's Jacobian. Sd and memory are such that the weighted sums of squares and of
    neighbours' products have their expected values after the fit.
    """
    squares = float(residuals**2 @ weights)
    products = _products(residuals * np.sqrt(weights), curves)
    if len(residuals) > _MANY:
        pairs = sum(len(curve) - 1 for curve in curves)
        memory = float(np.clip(products / max(squares, 1e-300) * len(residuals) / max(pairs, 1), 0, _MEMORIES[-1]))
        worth = weights.sum() ** 2 / float(weights @ weights) * (1 - memory**2) / (1 + memory**2)
        return Dependence(squares / float(weights.sum()), memory, max(1.0, worth - slope.shape[1]))
    root = np.sqrt(weights)
    left_over = np.eye(len(root)) - slope @ np.linalg.pinv(root[:, None] * slope) * root
    apart = _apart(curves)
    neighbours = np.where(apart == 1, 0.5, 0.0) * np.outer(root, root)

    def shown(memory: float) -> Floats:
        return left_over @ memory**apart @ left_over.T

    expected = [(float(np.sum(seen * neighbours)), float(np.diag(seen) @ weights)) for seen in map(shown, _MEMORIES)]
    ratios = np.maximum.accumulate([products / squares for products, squares in expected])
    memory = float(np.interp(products / max(squares, 1e-300), ratios, _MEMORIES)) if neighbours.any() else 0.0
    seen = root[:, None] * shown(memory) * root
    mean = float(np.trace(seen))
    return Dependence(max(squares / mean, 1e-16), memory, max(1.0, mean**2 / float(np.sum(seen**2))))


def err_together(residuals: Floats, curves: Sequence[Sequence[int]]) -> bool:
    """Whether neighbours along ``curves`` err alike beyond chance (one-sided, 5 %)."""
    pairs = sum(len(curve) - 1 for curve in curves)
    correlation = _products(residuals, curves) / max(float(residuals @ residuals), 1e-300)
    return correlation * len(residuals) > _ALIKE * math.sqrt(pairs)


def _products(residuals: Floats, curves: Sequence[Sequence[int]]) -> float:
    return sum(float(residuals[curve[:-1]] @ residuals[curve[1:]]) for curve in map(list, curves))


def _apart(curves: Sequence[Sequence[int]]) -> Floats:
    """How many rows lie between two of one curve; infinitely many between rows of different curves."""
    num = sum(map(len, curves))
    apart = np.full((num, num), np.inf)
    for curve in curves:
        places = np.arange(len(curve))
        apart[np.ix_(curve, curve)] = np.abs(places[:, None] - places)
    return apart
