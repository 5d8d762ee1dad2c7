"""How the parts of a prediction or of a proposal were found, and why some are missing."""

from __future__ import annotations

from levelfield.records.codec import record
from levelfield.records.reason import Reason
from levelfield.scaling.results.optima import TuningStatus


@record
class NoLaw(Reason):
    """No law, so no loss."""


@record
class BeyondTheData(Reason):
    """The top fitted rung is ``times`` cheaper, more than the ``reach`` to which a law is relied on."""

    reach: float
    times: float


@record
class BelowTheData(Reason):
    """The cheapest fitted rung is ``times`` dearer, more than the ``reach`` to which a law is relied on."""

    reach: float
    times: float


@record
class WeighedLaw:
    """A form of law and its ``weight`` in the headline."""

    form: str
    weight: float


@record
class MixedLaws(Reason):
    """The headline is drawn from several laws, each by its weight."""

    laws: tuple[WeighedLaw, ...]


@record
class BeyondBacktests(Reason):
    """No backtest of the table reaches farther than ``reach``, none of other people's than ``shipped``: the error that
    they found is prolonged."""

    reach: float | None
    shipped: float
    times: float


@record
class PassedOver(Reason):
    """The law of ``form`` has no floor: on the way to ``reach`` times the rows, where its backtests end, it passes over
    into the one of ``into``."""

    form: str
    into: str
    reach: float


@record
class LawEnds(Reason):
    """No law has a floor, and one without ends where its backtests do."""

    reach: float


@record
class RepeatsAsPublished(Reason):
    """No fitted run saw an example twice, and this one does: what that is worth is taken from what others published."""

    epochs: float
    repetitions: float


@record
class RepeatsUnseen(Reason):
    """Examples are seen ``epochs`` times, those of the fitted runs ``most_seen`` times at the most."""

    epochs: float
    most_seen: float


@record
class ManyRepeats(Reason):
    """Examples are seen ``epochs`` times, by the law of repeated examples that was fitted to such runs."""

    epochs: float


@record
class UniqueAssumed(Reason):
    """Nobody said how many distinct examples there are: the largest pool of the table is taken."""

    unique_examples: float


@record
class RepeatsIgnored(Reason):
    """The run sees examples ``epochs`` times, which no law here knows of: its loss will be higher."""

    epochs: float


@record
class AsWideAsBacktests(Reason):
    """The interval is as wide as backtests were wrong; they ``reach`` less far than this, where that is said."""

    num_curves: int
    reach: float | None


@record
class SizeUnknown(Reason):
    pass


@record
class GrownFromWinner(Reason):
    """Size and examples are those of the winner at ``budget_flops``, grown at the same rate."""

    budget_flops: float


@record
class SizeByLaw(Reason):
    """Size and examples are where the law of ``equation`` is lowest at that budget."""

    equation: str


@record
class RateUnknown(Reason):
    pass


@record
class RateFromSurface(Reason):
    """``tolerance`` is the ln loss that a rate in the flat range gives up."""

    surface: Reason
    tolerance: float


@record
class RateOutside(Reason):
    """The rate lies outside those tried."""

    low: float
    high: float


@record
class RateOfNearestCell(Reason):
    """``no_surface`` is why there is no surface of rates; None where there is no tuning curve."""

    model: str
    budget_flops: float
    status: TuningStatus
    no_surface: Reason | None


@record
class NoLawToPredict(Reason):
    """No family has a law."""

    why: tuple[Reason, ...]


@record
class NoLawToPlan(Reason):
    family: str
    why: tuple[Reason, ...]


@record
class NothingPredicted(Reason):
    """A family whose loss, size or rate the numbers do not foretell, so that no recipe can be locked."""

    notes: tuple[Reason, ...]


@record
class NoDeclaredSize(Reason):
    """No declared size is allowed at the locked rung; ``architecture`` is the last of them."""

    architecture: str
    why: Reason


@record
class NothingToTrain(Reason):
    """None of ``families`` has a recipe that is foretold for the budget."""

    families: tuple[str, ...]
    budget_flops: float
    why: tuple[Reason, ...]


@record
class SizeFollowsPower(Reason):
    """Optimal size is taken to follow a power of compute."""


@record
class OneRunASize(Reason):
    """A search of rates costs more."""


@record
class FormsTakenAsTrue(Reason):
    """The forms of the laws are."""


@record
class EdgesBeforeSeeds(Reason):
    """Winners of ``family`` at some of its rungs lie at ``edges`` of their search, which no proposed trial moves."""

    family: str
    edges: tuple[str, ...]
    num_rungs: int


@record
class SearchNotPriced(Reason):
    """A new rung's search is not in the price."""


@record
class TargetBeyondData(Reason):
    """The target lies more than ``reach`` times above the top rung."""

    reach: float
