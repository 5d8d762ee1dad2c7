"""What two families say of one another: verdicts, what describes their difference beside them, and the controls."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.reason import Coded, Reason
from levelfield.scaling.results.intervals import CurvePoint, Interval
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons.beside import NotAsked

Verdict: TypeAlias = Literal["better", "worse", "equivalent", "cannot tell", "depends on compute"]
_NOT_ASKED = (NotAsked(),)


@record
class BudgetVerdict:
    """The two families at one budget: ``difference`` is ln(loss of a / loss of b).

    Its interval is simultaneous over every comparison of the study; so is the verdict. "depends on compute" is said of
    all budgets together alone: the mean is told apart from 0, and its sign is not that of every budget.
    """

    budget: float
    difference: Interval | None
    verdict: Verdict
    reasons: tuple[Reason, ...]


@record
class DifferenceCurve:
    """ln(loss of a / loss of b) over the compute that both families cover, with a band that holds over all of it.

    Straight between the families' own points. ``points`` is empty where there is no curve, and ``status`` says why.
    """

    points: tuple[CurvePoint, ...] = ()
    level: float = 0.9
    status: tuple[Reason, ...]


@record
class Ancova:
    """The trend of the difference: a straight line of ln(loss of a / loss of b) against ln compute on the overlap.

    ``offset`` is its height at ``middle``, ``slope`` what it gains an e-fold of compute; ``common_offset`` is the
    difference of two parallel lines. ``line`` holds both ends with their intervals. Each interval is at its own level.
    """

    middle: float | None = None
    offset: Interval | None = None
    slope: Interval | None = None
    common_offset: Interval | None = None
    num_points: int = 0
    line: tuple[CurvePoint, ...] = ()
    status: tuple[Reason, ...]


@record
class Gain:
    """The compute-equivalent gain: ln(compute that b needs / compute that a needs) to reach ``loss``.

    Absent where the curves share no loss, or where noise reaches beyond them; ``status`` says so.
    """

    loss: float | None = None
    log_ratio: Interval | None = None
    status: tuple[Reason, ...]


@record
class Crossover:
    """Where the trend of the difference changes sign, inside the overlap or not at all.

    ``place`` is in units of the currency; it is absent where the trend has no root inside. ``probability_of_none`` is
    the share of plausible trends without one; ``chances`` are (low, high, share of trends with a root between them).
    """

    place: Interval | None = None
    probability_of_none: float | None = None
    chances: tuple[tuple[float, float, float], ...] = ()
    status: tuple[Reason, ...]


@record
class Confound:
    """Something that differs between two families beside their architecture.

    ``a_values`` and ``b_values`` tell what was seen on either side, ``why`` what it may do. ``separated`` means that no
    value is common, so that its effect cannot be told from the family's; ``forbids`` that no verdict is possible.
    """

    name: str
    a_values: str
    b_values: str
    separated: bool
    forbids: bool
    why: Reason


@record
class Optimism:
    """How lucky the best of a search is, where no fresh seeds measured it.

    ``loss`` is the best of ``num_tried`` cells, ``corrected`` what that cell should give again, ``optimism`` the
    difference in ln loss; the last two are absent where the noise of a run is unknown.
    """

    family: str
    budget_flops: float
    num_tried: int
    loss: float
    corrected: Interval | None
    optimism: float | None
    status: Reason


@record
class UncertaintyBudget:
    """What the uncertainty of an overall difference is made of, as variances that add up to its squared standard error.

    ``seeds`` and ``clocks`` shrink with seeds and rungs, ``search`` (the choice of each rung's recipe) with rungs. What
    errs alike at all rungs is ``carried``, of axes that one rung decided for others, and ``examples``, of the report
    set. Over ``num_rungs`` rungs, with ``decides`` the half-width that "better" and "worse" take, and ``attainable``
    the verdicts that edges leave possible.
    """

    seeds: float
    clocks: float
    search: float
    carried: float
    examples: float
    num_rungs: int
    decides: float
    attainable: tuple[Verdict, ...]

    @property
    def total(self) -> float:
        return self.seeds + self.clocks + self.search + self.carried + self.examples


@record
class Comparison:
    """Family ``a`` against family ``b`` in one currency; "better" means that ``a`` has the lower loss: the lower
    value of ``measure``, which decided.

    ``margin`` is in ln loss and was fixed in advance. ``smallest_decidable_margin`` is what these seeds and examples
    could have decided; where it exceeds ``margin``, ``seeds_to_decide`` seeds a winner would do, or None however many.
    ``uncertainty`` is that of ``overall``, None where it has no difference.
    ``curve``, ``ancova``, ``gain`` and ``crossover`` describe the difference beside the verdicts
    and decide nothing; each says why where it is absent. ``span`` is the range of compute that the overall verdict
    rests on, ``top_flops`` the largest budget of any winner.
    """

    a: str
    b: str
    currency: Currency
    margin: float
    per_budget: tuple[BudgetVerdict, ...]
    overall: BudgetVerdict
    smallest_decidable_margin: float | None
    measure: str = "loss"
    seeds_to_decide: int | None = None
    uncertainty: UncertaintyBudget | None = None
    curve: DifferenceCurve = DifferenceCurve(status=_NOT_ASKED)
    ancova: Ancova = Ancova(status=_NOT_ASKED)
    gain: Gain = Gain(status=_NOT_ASKED)
    crossover: Crossover = Crossover(status=_NOT_ASKED)
    confounds: tuple[Confound, ...] = ()
    span: tuple[float, float] | None = None
    top_flops: float | None = None


@record
class Control:
    """The A/A control: a family against itself on other seeds; "better" or "worse" is an alarm."""

    family: str
    budget_flops: float
    difference: Interval | None
    verdict: Verdict
    passed: bool
    reasons: tuple[Reason, ...] = ()


@record
class SwapCell:
    """A family by one optimiser at the rung of the swap; ``own`` is the winner by its own recipe.

    ``edges`` names the axes whose optimum is only a bound.
    """

    family: str
    optimizer: str
    own: bool
    model: str
    base_lr: float | None
    num_seeds: int
    loss: Interval | None
    edges: tuple[str, ...]


@record
class FamiliesBy(Coded):
    """The families ``a`` against ``b``, both by one optimiser."""

    a: str
    b: str
    optimizer: str


@record
class OptimizersFor(Coded):
    """The optimiser ``a`` against ``b`` for one family."""

    a: str
    b: str
    family: str


@record
class HelpsMore(Coded):
    """How much more the optimiser helps the family ``a`` than ``b``."""

    optimizer: str
    a: str
    b: str


@record
class SwapEffect:
    """``difference`` is in ln loss, negative where the first that ``what`` names is better."""

    what: Coded
    difference: Interval | None


@record
class Swap:
    """Two families by two optimisers at one budget: what is architecture, and what is optimiser.

    The intervals of the effects hold for all of them at once at ``level``.
    """

    budget_flops: float
    cells: tuple[SwapCell, ...]
    effects: tuple[SwapEffect, ...]
    level: float
