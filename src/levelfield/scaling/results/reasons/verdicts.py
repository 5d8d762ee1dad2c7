"""Why there is no verdict, and what must be known of one that was given."""

from __future__ import annotations

from levelfield.records.codec import record
from levelfield.records.reason import Reason
from levelfield.scaling.results.laws import Currency


@record
class NoNoise(Reason):
    """No cell has two seeds, so nothing is known of the noise."""


@record
class UnequalBatches(Reason):
    """``measure`` compares networks that were trained at one batch size alone, and runs have from ``least`` to ``most``
    examples in a batch."""

    measure: str
    least: int
    most: int


@record
class TooNoisy(Reason):
    half_width: float
    margin: float


@record
class ExcludesZeroAtOneLevel(Reason):
    """The interval at ``level`` excludes 0, that at ``strict_level`` does not."""

    level: float
    strict_level: float


@record
class ReachesBeyondMargin(Reason):
    """The interval holds 0 and reaches beyond the margin."""


@record
class SmallerThanMargin(Reason):
    """A difference is detected, but it is smaller than the margin."""


@record
class BestIsBound(Reason):
    """The winner of ``family`` lies at ``edges`` of its search: its best loss is only bounded from above."""

    family: str
    edges: tuple[str, ...]


@record
class BeyondMarginAt(Reason):
    """The mean lies within the margin, the difference at ``place`` does not."""

    place: float


@record
class TrendLeavesMargin(Reason):
    """The mean lies within the margin, the trend over the range may leave it."""


@record
class SignChanges(Reason):
    better: tuple[float, ...]
    worse: tuple[float, ...]


@record
class LossRises(Reason):
    """The loss of ``family`` rises again with compute, by ``why`` its law was refused: as in a double descent."""

    family: str
    why: Reason


@record
class EveryRungLimited(Reason):
    """Every rung is data-limited."""


@record
class NoSharedBudget(Reason):
    pass


@record
class NoWinnerHere(Reason):
    """``family`` has no winner at this budget."""

    family: str


@record
class NoFreshWinner(Reason):
    """``family`` has no winner on fresh seeds."""

    family: str


@record
class NoStandIn(Reason):
    """``family`` has no run that could stand in for a winner."""

    family: str


@record
class FewFreshSeeds(Reason):
    family: str
    num: int
    needed: int


@record
class FamilyNearChance(Reason):
    family: str


@record
class FewExamplesCarry(Reason):
    """A handful of report examples carries the loss."""


@record
class UnequalCompute(Reason):
    """The counted training FLOPs differ by the share ``gap``."""

    gap: float


@record
class DataLimited(Reason):
    families: tuple[str, ...]
    max_epochs: float


@record
class SeedsAlone(Reason):
    """The interval covers seeds alone: not every run kept its loss on every report example."""


@record
class NoisyClock(Reason):
    """Seconds are measured: their spread over seeds is in the interval, a busy machine's bias is not."""


@record
class FewFitRungs(Reason):
    """``timed`` where only timed ones count."""

    family: str
    num: int
    needed: int
    timed: bool


@record
class SecondsDoNotRise(Reason):
    family: str


@record
class NoSharedRange(Reason):
    currency: Currency


@record
class MustBeShared(Reason):
    """All runs that are judged must share it, or their losses are not the same quantity."""


@record
class NothingInCommon(Reason):
    """No value is common, so its effect cannot be told from the family's."""


@record
class UnequallySpread(Reason):
    pass


@record
class SpreadOverBoth(Reason):
    pass


@record
class UnlikeTasks(Reason):
    """Losses with unlike chance levels."""


@record
class SeenAgainUnequally(Reason):
    budget_flops: float


@record
class SearchedLess(Reason):
    """The recipe of ``family`` was sought with fewer runs, so its best loss is only a bound."""

    family: str


@record
class ConfoundForbids(Reason):
    """Families differ in ``name`` (``a_values`` against ``b_values``), which forbids every verdict."""

    name: str
    a_values: str
    b_values: str
    why: Reason


@record
class NothingTested(Reason):
    """A control that could not be held against its winner."""

    why: tuple[Reason, ...]


@record
class AnotherCell(Reason):
    """The control is of another cell than the winner."""

    control: str
    winner: str


@record
class FewSeedsOnOneSide(Reason):
    num: int
    needed: int


@record
class RepeatsSeed(Reason):
    """The control repeats a seed of the winner."""


@record
class NoFreshWinners(Reason):
    """No run is a winner on fresh seeds."""


@record
class NoTwoSeeds(Reason):
    """No cell has two seeds, so no loss has an interval."""


@record
class NoExampleLosses(Reason):
    """Per-example losses were ``given`` for some winners and controls only, or not at all."""

    given: bool


@record
class RungNearChance(Reason):
    share: float


@record
class ManyEpochs(Reason):
    epochs: float


@record
class NoControl(Reason):
    pass


@record
class OneCellTried(Reason):
    """Nothing was chosen, so nothing was lucky."""


@record
class LuckLeftOn(Reason):
    """The best of ``num`` is lucky by at most ``most_sds`` times the unknown noise of a run."""

    num: int
    most_sds: float


@record
class LuckTakenOff(Reason):
    num: int


@record
class MadeNoError(Reason):
    """A run made none, so that ln error is no number."""


@record
class NoProbabilities(Reason):
    """An arm has none, hence no loss."""


@record
class FewPairs(Reason):
    num_backbones: int
    num_pairs: int
    needed: int
