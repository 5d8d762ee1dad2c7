"""What must be known of curve, trend, gain and crossover, or why a comparison has none of them."""

from __future__ import annotations

from levelfield.records.codec import record
from levelfield.records.reason import Reason


@record
class NotAsked(Reason):
    pass


@record
class StraightBetweenPoints(Reason):
    """The curve is straight between the families' own points."""


@record
class SomeAreBounds(Reason):
    """Some points of ``families`` are only bounds: an axis lies at its edge."""

    families: tuple[str, ...]


@record
class FamilyPoints(Reason):
    """What the points of one family are."""

    family: str
    how: Reason


@record
class BestStandIn(Reason):
    """The best runs stand in for winners."""

    points: tuple[Reason, ...]


@record
class AllRowsStandIn(Reason):
    """All rows of a table stand in for winners; those of one cluster err together."""

    num_rows: int
    num_clusters: int


@record
class FewInsideOverlap(Reason):
    family: str
    num: int
    needed: int


@record
class NoiseIsScatter(Reason):
    """No seed measured the noise: it is the scatter of the rows about a line."""


@record
class DifferencesScatter(Reason):
    """The differences scatter about a straight line by more than noise explains."""


@record
class NothingLeftToJudge(Reason):
    """``num_points`` are as many as the line has parameters."""

    num_points: int


@record
class ScatterAsNoise(Reason):
    """The differences scatter about a straight line as noise explains."""


@record
class NoRootInside(Reason):
    probability: float


@record
class Crosses(Reason):
    """``better`` has the lower loss above the crossover, which ``may_lie_outside`` the overlap."""

    better: str
    may_lie_outside: bool
    probability_of_none: float


@record
class NoSharedLoss(Reason):
    ahead: str
    behind: str


@record
class BeyondTheCurves(Reason):
    """Noise may carry ``loss`` beyond the ends of a curve."""

    loss: float


@record
class AtMiddleLoss(Reason):
    """The gain is at the middle of the losses that both families reach."""
