"""Why there is no optimum of a budget or of a learning rate, and what must be known of one that was found."""

from __future__ import annotations

from typing import Literal

from levelfield.records.codec import record
from levelfield.records.reason import Reason


@record
class FewSizes(Reason):
    num: int
    needed: int


@record
class BestSizeAtEnd(Reason):
    side: Literal["smallest", "largest"]


@record
class OpensDownwards(Reason):
    """A maximum, not a minimum."""


@record
class MinimumOutside(Reason):
    """The curve's minimum lies outside the sizes tried."""


@record
class NoNoiseOfSizes(Reason):
    """One run a size and no noise estimate."""


@record
class FlatWithinNoise(Reason):
    """The seeds cannot tell a minimum from none."""


@record
class FewVertices(Reason):
    """``last`` is why the last rung without a vertex has none, where that is known."""

    num: int
    num_rungs: int
    needed: int
    last: Reason | None = None


@record
class FittedOnVertices(Reason):
    num: int
    num_rungs: int


@record
class NoOptimum(Reason):
    """The fitted law has none."""


@record
class ForFreshExamples(Reason):
    pass


@record
class SizesDoNotCost(Reason):
    """Compute over 6 x parameters x examples varies from ``low`` to ``high`` inside the family: parameters may be total
    and not active, and no recipe follows. ``exponents`` are those of size and of examples added up, where both were
    found: 1 where compute is their product."""

    low: float
    high: float
    exponents: float | None = None


@record
class CostPerSize(Reason):
    """Compute over 6 x parameters x examples varies from ``low`` to ``high`` inside the family, and rises with size."""

    low: float
    high: float


@record
class FewBracketed(Reason):
    num: int
    needed: int


@record
class VaryTogether(Reason):
    """Size and examples do, so that their effects on the rate cannot be told apart."""


@record
class NoMinimumOfRates(Reason):
    """The tuning curves show none beyond their noise."""


@record
class FittedOnCurves(Reason):
    """``num_curves`` have two rates or more near the minimum."""

    num_curves: int
    num_bracketed: int


@record
class FittedBelowWall(Reason):
    """Runs more than ``times`` above the best rate are left out: there losses rise as no smooth curve does."""

    num_curves: int
    num_bracketed: int
    times: float


@record
class FallToWall(Reason):
    """In ``num`` of ``num_cells`` tuning curves losses fall up to the largest rate that does not diverge: a bound."""

    num: int
    num_cells: int
