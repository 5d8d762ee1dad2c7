"""What the numbers do not support: what was asked, why not, and what would decide it, each a code with fields."""

from __future__ import annotations

from levelfield.records.codec import record
from levelfield.records.reason import Coded, Reason
from levelfield.scaling.results.laws import Currency


class Subject(Coded):
    """What was asked of the numbers, and refused."""


@record
class Refusal:
    """Something that the numbers do not support; without ``remedy`` nothing is known that would decide it."""

    what: Subject
    why: tuple[Reason, ...]
    remedy: Reason | None = None


@record
class LawOf(Subject):
    family: str
    currency: Currency


@record
class AllocationOf(Subject):
    family: str


@record
class AnyVerdict(Subject):
    """Verdicts at all."""


@record
class VerdictOn(Subject):
    a: str
    b: str
    currency: Currency


@record
class VerdictOverall(Subject):
    """The overall verdict, with the rung of one family in it."""

    family: str
    budget_flops: float


@record
class IntervalsOfWinners(Subject):
    """What their fresh seeds would give."""


@record
class IntervalsOverExamples(Subject):
    """What the losses of single report examples would give."""


@record
class FittingRung(Subject):
    family: str
    budget_flops: float


@record
class ControlAsked(Subject):
    """The A/A control."""


@record
class MetricOf(Subject):
    metric: str
    subject: str


@record
class PredictionOf(Subject):
    """A prediction of a family at a rung, to be locked before it runs."""

    family: str
    budget_flops: float


@record
class WithinArm(Subject):
    """What was asked inside the analysis of one arm of a transfer."""

    arm: str
    asked: Subject


@record
class MaybeAccuracy(Reason):
    """The loss rises with compute as an accuracy would, and is at most ``top``."""

    top: int


@record
class AddRungs(Reason):
    """``or_fewer_parameters`` where a form of law with fewer of them could do, too."""

    or_fewer_parameters: bool = False


@record
class NameNominalBudgets(Reason):
    num_clusters: int


@record
class NameSizes(Reason):
    """Name the columns of a cloud whose sizes compete."""


@record
class TuneRisingRungs(Reason):
    pass


@record
class NameExamples(Reason):
    pass


@record
class NameActive(Reason):
    """Name the column of active parameters, or keep one setting."""


@record
class ShareBudgets(Reason):
    """A cloud has no profiles: the closed form serves."""


@record
class AddSizes(Reason):
    pass


@record
class RecordSeconds(Reason):
    pass


@record
class RunOnOneDevice(Reason):
    pass


@record
class RunFreshSeeds(Reason):
    num_seeds: int


@record
class AddSeeds(Reason):
    pass


@record
class SeedsWouldDecide(Reason):
    """About ``num_seeds`` a winner would decide a ``margin`` in ln loss."""

    num_seeds: int
    margin: float


@record
class KeepExampleLosses(Reason):
    pass


@record
class ShownOnly(Reason):
    pass


@record
class UseMoreData(Reason):
    pass


@record
class RunControl(Reason):
    pass
