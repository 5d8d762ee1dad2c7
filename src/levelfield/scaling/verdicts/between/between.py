"""What is said of two families beside the verdicts: difference curve, trend, gain and crossover, or why each is not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.results.verdicts import Ancova, Crossover, DifferenceCurve, Gain
from levelfield.scaling.verdicts.between.ancova import ancova_record, fit_trend
from levelfield.scaling.verdicts.between.crossover import crossover_of
from levelfield.scaling.verdicts.between.curves import FamilyCurve
from levelfield.scaling.verdicts.between.difference import difference_curve
from levelfield.scaling.verdicts.between.gain import compute_equivalent_gain
from levelfield.scaling.verdicts.contrasts import Evidence


class Between(NamedTuple):
    """The four descriptions of one comparison."""

    curve: DifferenceCurve
    ancova: Ancova
    gain: Gain
    crossover: Crossover

    @property
    def crosses(self) -> Reason | None:
        """How the trend changes sign inside, where it is told apart from none."""
        slope = self.ancova.slope
        if self.crossover.place is None or slope is None or slope.low <= 0 <= slope.high:
            return None
        return self.crossover.status[0]


def absent(why: Reason) -> Between:
    """Nothing, and why."""
    status = (why,)
    return Between(DifferenceCurve(status=status), Ancova(status=status), Gain(status=status), Crossover(status=status))


def between(
    a: FamilyCurve, b: FamilyCurve, evidence: Evidence, generator: np.random.Generator, *, level: float
) -> Between:
    """Everything about the difference of ``a`` and ``b`` on the range of cost that both cover."""
    trend = fit_trend(a, b, evidence)
    if isinstance(trend, Reason):
        ancova, crossover = Ancova(status=(trend,)), Crossover(status=(trend,))
    else:
        ancova = ancova_record(trend, a, b, level=level)
        crossover = crossover_of(trend, generator, level=level, num_draws=len(evidence.loss_errors))
    return Between(
        curve=difference_curve(a, b, evidence, level=level),
        ancova=ancova,
        gain=compute_equivalent_gain(a, b, evidence, level=level),
        crossover=crossover,
    )
