"""The noise of a learning curve: rows err together with their neighbours, and less than their residuals show.

A fit takes out part of the noise and, more so, of its memory: both are found by matching what the residuals should show
after the fit with what they show. Blocks of residuals, drawn again, cover 43-73 % instead of 90 % on 40 such rows.
"""

from __future__ import annotations

import numpy as np

from levelfield.scaling.laws import Floats

_MEMORIES = np.linspace(0.0, 0.96, 25)


def dependent_noise(residuals: Floats, slope: Floats, weights: Floats) -> tuple[Floats, float]:
    """The (rows, rows) covariance sd^2 memory^|i - j| of the errors in ln loss, and its degrees of freedom.

    ``residuals`` are those of a fit with ``weights``, ``slope`` (rows, parameters) is its Jacobian. Sd and memory are
    such that the weighted sums of squares and of neighbours' products have their expected values after the fit.
    """
    places, root = np.arange(len(residuals)), np.sqrt(weights)
    left_over = np.eye(len(places)) - slope @ np.linalg.pinv(root[:, None] * slope) * root
    apart = np.abs(places[:, None] - places)
    neighbours = np.where(apart == 1, 0.5, 0.0) * np.outer(root, root)

    def shown(memory: float) -> Floats:
        return left_over @ memory**apart @ left_over.T

    expected = [(float(np.sum(seen * neighbours)), float(np.diag(seen) @ weights)) for seen in map(shown, _MEMORIES)]
    ratios = np.maximum.accumulate([products / squares for products, squares in expected])
    squares = float(residuals**2 @ weights)
    ratio = float(residuals @ neighbours @ residuals) / max(squares, 1e-300)
    memory = float(np.interp(ratio, ratios, _MEMORIES))
    seen = root[:, None] * shown(memory) * root
    mean = float(np.trace(seen))
    degrees = max(1.0, mean**2 / float(np.sum(seen**2)))
    return memory**apart * max(squares / mean, 1e-16), degrees
