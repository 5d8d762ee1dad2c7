"""Whether compute is what the named parameters and examples cost, as a recipe of both needs it to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.observation import Observation

SPREAD = 4.0
"""Compute over 6 x parameters x examples that varies by so much inside a family is worth a word."""
SCATTER = math.log(1.5)
"""sd of its logarithm among runs of one size: more, and parameters and examples do not say what a run costs."""
FALLS = math.log(3.0)
"""By so much it falls from the smallest to the largest size where parameters are those of ever more experts."""
_FEWEST = 8


class CostSeen(NamedTuple):
    """The smallest and largest compute over 6 x parameters x examples; ``inactive`` where sizes do not say the cost."""

    low: float
    high: float
    inactive: bool

    @property
    def spread(self) -> float:
        return self.high / self.low


def cost_seen(rows: Sequence[Observation]) -> CostSeen | None:
    """What one family's ``rows`` show of it; None where it varies little, or too few runs tell.

    Variants of a recipe, such as other patches, may cost what they like.
    """
    told = [
        (row.train_flops, row.params, row.examples) for row in rows if row.params and row.examples and not row.variant
    ]
    if len(told) < _FEWEST:
        return None
    compute, params, examples = np.log(np.array(told, dtype=float)).T
    ratio = compute - math.log(6.0) - params - examples
    low, high = np.quantile(ratio, [0.05, 0.95])
    if high - low < math.log(SPREAD):
        return None
    slope, start = np.polyfit(params, ratio, 1) if np.ptp(params) > 0 else (0.0, float(ratio.mean()))
    scatter = float(np.std(ratio - start - slope * params))
    falls = -float(slope) * float(np.ptp(np.quantile(params, [0.05, 0.95])))
    return CostSeen(math.exp(low), math.exp(high), scatter > SCATTER or falls > FALLS)
