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
class HoldsAnotherForm(Reason):
    """The interval holds that of another form of law."""


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
class SizeByClosedForm(Reason):
    """Size and examples are the closed form's of ``equation``, which gives ``loss`` there."""

    equation: str
    loss: float


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
class SizeFollowsPower(Reason):
    """Optimal size is taken to follow a power of compute."""


@record
class OneRunASize(Reason):
    """A search of rates costs more."""


@record
class FormsTakenAsTrue(Reason):
    """The forms of the laws are."""


@record
class SearchNotPriced(Reason):
    """A new rung's search is not in the price."""


@record
class TargetBeyondData(Reason):
    """The target lies more than ``reach`` times above the top rung."""

    reach: float
