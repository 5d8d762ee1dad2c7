"""The noise of a single run, drawn wherever a point rests on one seed."""

from __future__ import annotations

import math
from statistics import NormalDist

SEEDS_LEVEL = 0.9
_HALF_WIDTH = NormalDist().inv_cdf((1 + SEEDS_LEVEL) / 2)


def noise_of(loss: float, seed_noise: float | None) -> tuple[float | None, float | None]:
    """Between which losses another seed would fall ``SEEDS_LEVEL`` of the time; nothing where the noise is unknown.

    ``seed_noise`` is the standard deviation of ln loss.
    """
    if seed_noise is None:
        return None, None
    factor = math.exp(_HALF_WIDTH * seed_noise)
    return loss / factor, loss * factor
