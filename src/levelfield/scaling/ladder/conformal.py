"""How wrong extrapolations were: half-widths that grow with the distance, calibrated on backtests.

Rows of one learning curve are dependent, and no form is right, so resampling rows covers far too little. Here the
errors of pooled backtests speak for themselves: half = q (d0 + d) at ln distance d, its two numbers fitted by the
pinball loss at the wanted level, every curve counting alike. Calibrated by curves, not rows, the level carries the
usual (n + 1) / n.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from levelfield.scaling.ladder.backtest import Extrapolation
from levelfield.scaling.laws import Floats
from levelfield.scaling.results.laws import Spread

MIN_CURVES = 10
"""Below this many curves a 90 % quantile over curves is no more than the largest error seen."""
_OFFSETS = np.geomspace(0.02, 4.0, 25)


def spread_of(extrapolations: Sequence[Extrapolation], *, level: float = 0.9) -> Spread | None:
    """The spread calibrated on pooled backtests; None for fewer than 10 curves."""
    num_curves = len({each.curve for each in extrapolations})
    if num_curves < MIN_CURVES:
        return None
    distances = np.concatenate([each.distances for each in extrapolations])
    errors = np.abs(np.concatenate([each.errors for each in extrapolations]))
    weights = np.concatenate([np.full(len(each.errors), 1 / len(each.errors)) for each in extrapolations])
    wanted = min(1.0, level * (1 + 1 / num_curves))
    fits = []
    for offset in _OFFSETS:
        scale = offset + distances
        slope = _weighted_quantile(errors / scale, weights, wanted)
        over = errors - slope * scale
        fits.append((float(weights @ np.where(over > 0, wanted * over, (wanted - 1) * over)), offset, slope))
    _, offset, slope = min(fits)
    return Spread(
        level=level, slope=slope, offset=float(offset), farthest=float(distances.max()), num_curves=num_curves
    )


def half_width(spread: Spread, distances: Floats | float) -> Floats:
    """The half-width in ln loss at ln distances beyond the fitted compute."""
    return spread.slope * (spread.offset + np.maximum(distances, 0.0))


def _weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weights[order])
    return float(values[order][min(len(order) - 1, int(np.searchsorted(mass, level * mass[-1])))])
