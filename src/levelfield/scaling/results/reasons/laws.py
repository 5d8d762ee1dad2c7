"""What a law of loss cannot be fitted to, and what must be known of one that was."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.reason import Reason

Ending: TypeAlias = Literal["fitted", "at a bound", "seeds disagree", "not converged", "too few", "rises", "flat"]
SUPPORTED: tuple[Ending, ...] = ("fitted", "at a bound", "seeds disagree")


@record
class NotPositive(Reason):
    """A row whose compute or loss is no positive number."""


@record
class NearChance(Reason):
    """A row whose loss is above ``share`` of the ``chance`` level."""

    loss: float
    chance: float
    share: float


@record
class FewBudgets(Reason):
    """Fewer budgets away from chance than a law needs; ``num_dropped`` of ``num_rows`` rows were dropped."""

    num: int
    needed: int
    num_dropped: int = 0
    num_rows: int = 0


@record
class NotMonotone(Reason):
    """At ``compute`` the loss lies by the share ``rise`` above a cheaper rung, where noise explains ``allowed``."""

    compute: float
    rise: float
    allowed: float
    num_dropped: int = 0
    num_rows: int = 0


@record
class NotFalling(Reason):
    """The fitted exponent is not positive."""


@record
class FallWithinNoise(Reason):
    """From ``low`` to ``high`` the loss does not fall in the share ``flat`` of draws, more than ``allowed``."""

    low: float
    high: float
    flat: float
    allowed: float
    level: float


@record
class TooFewForForm(Reason):
    """No more budgets away from chance than the form that was asked for has parameters."""

    num: int
    num_parameters: int
    form: str


@record
class TooFewRows(Reason):
    num: int
    num_parameters: int
    equation: str


@record
class FewRuns(Reason):
    """Fewer leading runs than whole runs can be left out of."""

    num: int
    needed: int


@record
class NothingToJudgeBy(Reason):
    """As many points as parameters, or fewer."""

    num: int
    num_parameters: int


@record
class FewValues(Reason):
    """An input of a law that takes fewer than ``needed`` values."""

    name: str
    needed: int


@record
class FewCloudBudgets(Reason):
    """Fewer budgets than a law of size and examples needs."""

    num: int
    needed: int


@record
class UnsupportedFit(Reason):
    equation: str
    ending: Ending
    remarks: tuple[Reason, ...]


@record
class FitEnded(Reason):
    ending: Ending


@record
class FittedPoints(Reason):
    num_kept: int
    num_rows: int


@record
class NoIrreducible(Reason):
    """The irreducible loss is at its bound of 0."""


@record
class AtBound(Reason):
    name: str


@record
class SeedsDisagree(Reason):
    """Only the share ``agreement`` of the best starting points ends at the optimum."""

    agreement: float


@record
class MovedParameter:
    """A parameter of all rows, and ``without`` the outlying ones."""

    name: str
    value: float
    without: float


@record
class OutlyingRow:
    inputs: tuple[float, ...]
    loss: float


@record
class OutliersMove(Reason):
    """What the parameters are without the rows beyond so many robust ``sds`` of the residuals."""

    sds: float
    outlying: tuple[OutlyingRow, ...]
    moved: tuple[MovedParameter, ...]


@record
class FormAskedFor(Reason):
    """The user decided the form."""


@record
class FormsUntested(Reason):
    """Too few rungs to tell forms apart: a line."""


@record
class BacktestedForm:
    """``error`` is the mean root-mean-square error of its backtests in ln loss."""

    form: str
    error: float


@record
class ChosenByBacktests(Reason):
    """Of ``num_curves`` families; ``other`` is the best other form, ``beaten`` the challengers that are no better."""

    num_curves: int
    error: float
    other: BacktestedForm
    beaten: tuple[BacktestedForm, ...]

    @property
    def simpler(self) -> bool:
        """Whether the other form is the better one, by less than backtests can tell."""
        return self.other.error < self.error


@record
class ChallengerChosen(Reason):
    """A form of more parameters beats the best simpler one, whose error is ``simpler_error``."""

    num_curves: int
    error: float
    simpler_error: float


@record
class BoundRungs(Reason):
    """Some rungs are only bounds: an axis lies at its edge."""


@record
class LimitedRungs(Reason):
    """Some rungs are data-limited."""

    max_epochs: float


@record
class LowerEnvelope(Reason):
    num_runs: int


@record
class OneRunEach(Reason):
    num_budgets: int


@record
class BestOfRuns(Reason):
    """The best of the runs at each budget, whose luck makes it optimistic."""

    num_budgets: int


@record
class BestWithoutLuck(Reason):
    """The best of the runs at each budget, their luck taken off."""

    num_budgets: int


@record
class PointsAre(Reason):
    """What a law without winners is fitted to."""

    how: Reason


@record
class RungsScatter(Reason):
    """The rungs scatter about the law by more than seeds explain."""


@record
class NoSeeds(Reason):
    """Intervals come from the scatter about the law; ``neighbours`` of a learning curve err together."""

    neighbours: bool


@record
class RowsErrTogether(Reason):
    """Rows of one model err together, as checkpoints of one run do."""


@record
class NoSearchRun(Reason):
    pass


@record
class NothingTimed(Reason):
    pass


@record
class NotAllTimed(Reason):
    pass


@record
class UnlikeDevices(Reason):
    devices: tuple[str, ...]
