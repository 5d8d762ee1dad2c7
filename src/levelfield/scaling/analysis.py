"""What a study says: the records of an analysis, and the one seam through which statistics enter.

Every stage after training (``fit``, ``predict``, ``compare``, ``report``) reads an :class:`Analysis` and nothing else,
so a deeper statistic replaces what is behind :func:`levelfield.scaling.analyse.analyse` without touching a caller.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, TypeAlias

from levelfield.records.codec import record

Currency: TypeAlias = Literal["flops", "device_seconds"]
Verdict: TypeAlias = Literal["better", "worse", "equivalent", "cannot tell", "depends on the currency"]
TuningStatus: TypeAlias = Literal["bracketed", "one-sided", "bound"]
NOT_ASKED = "not asked"


@record
class Interval:
    """An estimate with its two-sided confidence interval at ``level``."""

    estimate: float
    low: float
    high: float
    level: float = 0.9

    @property
    def exponential(self) -> Interval:
        """That of e to the power of what this one is of, kept within the range of floats."""
        low, estimate, high = (math.exp(max(-700.0, min(700.0, end))) for end in (self.low, self.estimate, self.high))
        return Interval(estimate=estimate, low=low, high=high, level=self.level)


@record
class Refusal:
    """Something the numbers do not support: what was asked, why not, and what would decide it."""

    what: str
    why: str
    remedy: str = ""


@record
class Winner:
    """The best-tuned cell of a family at one budget, measured on fresh seeds and the report split.

    ``near_chance`` rungs (loss within 15 % of chance) are shown, not fitted. ``data_limited`` means epochs > 4.
    ``edges`` names the axes whose optimum is a bound. ``device_seconds`` is the mean over seeds.
    """

    family: str
    budget_flops: float
    model: str
    params: float | None
    examples: float | None
    epochs: float | None
    base_lr: float | None
    global_batch_size: int | None
    num_seeds: int
    seed_losses: tuple[float, ...]
    loss: Interval
    device_seconds: float | None
    near_chance: bool
    data_limited: bool
    edges: tuple[str, ...]


@record
class CurvePoint:
    """A point of a fitted curve with its interval, ready to draw."""

    x: float
    y: float
    low: float
    high: float


@record
class LawRow:
    """A rung that a law was offered: kept where ``dropped`` is empty, else ``dropped`` says why not."""

    compute: float
    loss: float
    dropped: str = ""


@record
class Spread:
    """How wrong extrapolations of a table's learning curves were at ``level``, as a half-width in ln loss.

    It is slope (offset + d) at ln distance d beyond the fitted compute. ``farthest`` is the largest d that
    ``num_curves`` curves could be tested at.
    """

    level: float
    slope: float
    offset: float
    farthest: float
    num_curves: int


@record
class ProfileInterval:
    """The values of a parameter that the points do not speak against, all others refitted; None is no end."""

    estimate: float
    low: float | None
    high: float | None
    level: float


@record
class LawFit:
    """A law of held-out loss against compute for one family.

    ``form`` names the equation (see scaling/laws): "log-log" is ln L = ln A - b ln C; "saturating" is L = E + A C^-b.
    ``parameters`` are keyed by name: "A", "b", "E". ``delta`` is the Huber scale in ln loss and ``recency`` the power
    of compute that weighs the rungs. ``chosen`` marks the form that backtests prefer. ``backtest`` is the top fitted
    rung held out, of a learning curve the upper half of its compute: (compute, predicted, seen).

    ``objective`` is the sum of Huber's loss of the residuals of ln loss, ``gradient_norm`` the largest cosine between
    residuals and a parameter's column, ``agreement`` the share of the best seeds that ended there. ``covariance`` is
    that of the errors in ln loss of the kept rows, with ``degrees_of_freedom``: with the rows all a prediction needs.
    ``spread`` says how far extrapolations of its like were off. ``profiles`` are intervals by profile likelihood, of
    irreducible loss and exponents; a learning curve, whose neighbours err together, has none.
    """

    family: str
    currency: Currency
    form: str
    parameters: dict[str, Interval]
    chosen: bool
    status: str
    num_budgets: int
    fitted_low: float
    fitted_high: float
    curve: tuple[CurvePoint, ...]
    delta: float
    backtest: tuple[float, float, float] | None = None
    rows: tuple[LawRow, ...] = ()
    recency: float = 0.0
    objective: float | None = None
    gradient_norm: float | None = None
    agreement: float | None = None
    covariance: tuple[tuple[float, ...], ...] = ()
    degrees_of_freedom: float | None = None
    spread: Spread | None = None
    profiles: dict[str, ProfileInterval] = dataclasses.field(default_factory=dict)


@record
class IsoflopPoint:
    model: str
    params: float
    examples: float
    epochs: float | None
    loss: float


@record
class IsoflopProfile:
    """Loss against size at one budget; ``optimal_params`` is absent where it is a bound, as ``status`` says."""

    family: str
    budget_flops: float
    points: tuple[IsoflopPoint, ...]
    best_model: str
    optimal_params: Interval | None
    status: str


@record
class LearningRateCell:
    """A tuning curve: the learning rates tried in one (model, budget) cell and the best of them."""

    family: str
    model: str
    budget_flops: float
    params: float | None
    epochs: float | None
    examples: float | None
    tried: tuple[tuple[float, float], ...]
    best_base_lr: float
    status: TuningStatus
    audited: bool = False


@record
class RateSurface:
    """The optimal base rate over size and examples: rate (N / N0)^params_exponent (D / D0)^examples_exponent.

    ``centre`` is (N0, D0). ``tolerance`` is the ln loss that a rate in the flat range gives up: the sd of one run's ln
    loss, or 1 % where it is unknown. ``shape`` is (c, k) and ``coefficients`` are s0, s1 and s2 (see scaling/rates.py),
    with their ``covariance``. Absent where the tuning curves support none; ``status`` says why.
    """

    family: str
    tolerance: float
    num_cells: int
    num_runs: int = 0
    rate: Interval | None = None
    params_exponent: Interval | None = None
    examples_exponent: Interval | None = None
    centre: tuple[float, ...] = ()
    shape: tuple[float, ...] = ()
    coefficients: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()
    status: str


@record
class Allocation:
    """How size and examples of the winners grow with compute: exponents of a log-log line, where four rungs allow."""

    family: str
    params_exponent: Interval | None
    examples_exponent: Interval | None
    status: str


@record
class HeldOut:
    """How far off a law was, as a root mean square in ln loss, at ``num_cells`` cells that it had not seen."""

    num_cells: int
    error: float


@record
class SizeLaw:
    """A law of loss by size and examples, fitted to the best run of every size at every budget of a family.

    ``form`` "size-and-examples" is that of Hoffmann et al.; "repeated" is its data-constrained form, offered where
    epochs exceed 1. ``parameters`` have intervals by resampling cells within budgets, ``profiles`` by profile
    likelihood. ``held_out`` tells how the law does beyond a half, a quarter and an eighth of the compute, fitted below;
    ``chosen`` marks the believed one. ``scatter`` is the sd of ln loss about the law.
    """

    family: str
    form: str
    equation: str
    parameters: dict[str, Interval]
    profiles: dict[str, ProfileInterval]
    chosen: bool
    status: str
    num_cells: int
    scatter: float
    delta: float
    objective: float
    gradient_norm: float
    agreement: float
    held_out: HeldOut | None


@record
class OptimumLine:
    """How the optimum moves with compute by one ``method``.

    ``params`` and ``examples`` are optimal at the optimum's ``budget_flops``. Absent where the method gives none;
    ``status`` says why.
    """

    method: str
    params_exponent: Interval | None = None
    examples_exponent: Interval | None = None
    params: Interval | None = None
    examples: Interval | None = None
    status: str


@record
class Optimum:
    """The compute-optimal size and length of a family by isoFLOP profiles and in closed form, side by side.

    ``budget_flops`` is the geometric middle of the budgets with a vertex. ``parabola`` goes through all sizes of a
    budget, as is common; ``profiles`` is the local curve. ``exponent_gap`` is the closed form's exponent of size minus
    that of the profiles, ``size_gap`` ln of the ratio of their sizes there, ``parabola_bias`` ln of the parabola's size
    over that of the profiles. ``growth_gap`` is the exponent of size minus that of examples. ``form_doubtful`` is
    True where either gap excludes 0, both at once at ``level``, and is worth a doubt (0.005, or 5 % of size).
    """

    family: str
    budget_flops: float | None
    profiles: OptimumLine
    closed_form: OptimumLine
    parabola: OptimumLine
    exponent_gap: Interval | None = None
    size_gap: Interval | None = None
    parabola_bias: float | None = None
    growth_gap: Interval | None = None
    form_doubtful: bool | None = None
    sentences: tuple[str, ...] = ()


@record
class BudgetVerdict:
    """The two families at one budget: ``difference`` is ln(loss of a / loss of b).

    Its interval is simultaneous over every comparison of the study; so is the verdict.
    """

    budget: float
    difference: Interval | None
    verdict: Verdict
    reasons: tuple[str, ...]


@record
class DifferenceCurve:
    """ln(loss of a / loss of b) over the compute that both families cover, with a band that holds over all of it.

    Straight between the families' own points. ``points`` is empty where there is no curve, and ``status`` says why.
    """

    points: tuple[CurvePoint, ...] = ()
    level: float = 0.9
    status: str


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
    status: str


@record
class Gain:
    """The compute-equivalent gain: ln(compute that b needs / compute that a needs) to reach ``loss``.

    Absent where the curves share no loss, or where noise reaches beyond them; ``status`` says so.
    """

    loss: float | None = None
    log_ratio: Interval | None = None
    status: str


@record
class Crossover:
    """Where the trend of the difference changes sign, inside the overlap or not at all.

    ``place`` is in units of the currency; it is absent where the trend has no root inside. ``probability_of_none`` is
    the share of plausible trends without one; ``chances`` are (low, high, share of trends with a root between them).
    """

    place: Interval | None = None
    probability_of_none: float | None = None
    chances: tuple[tuple[float, float, float], ...] = ()
    status: str


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
    why: str

    @property
    def sentence(self) -> str:
        return f"{self.name.replace('_', ' ')} ({self.a_values} against {self.b_values}): {self.why}"


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
    status: str


@record
class Comparison:
    """Family ``a`` against family ``b`` in one currency; "better" means that ``a`` has the lower loss.

    ``margin`` is in ln loss and was fixed in advance. ``smallest_decidable_margin`` is what these seeds and examples
    could have decided; where it exceeds ``margin``, ``seeds_to_decide`` seeds a winner would do, or None however many.
    ``curve``, ``ancova``, ``gain`` and ``crossover`` describe the difference beside the verdicts
    and decide nothing; each says why where it is absent.
    """

    a: str
    b: str
    currency: Currency
    margin: float
    per_budget: tuple[BudgetVerdict, ...]
    overall: BudgetVerdict
    smallest_decidable_margin: float | None
    sentence: str
    seeds_to_decide: int | None = None
    curve: DifferenceCurve = DifferenceCurve(status=NOT_ASKED)
    ancova: Ancova = Ancova(status=NOT_ASKED)
    gain: Gain = Gain(status=NOT_ASKED)
    crossover: Crossover = Crossover(status=NOT_ASKED)
    confounds: tuple[Confound, ...] = ()


@record
class Control:
    """The A/A control: a family against itself on other seeds; "better" or "worse" is an alarm."""

    family: str
    budget_flops: float
    difference: Interval | None
    verdict: Verdict
    passed: bool
    reason: str = ""


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
class SwapEffect:
    """``difference`` is in ln loss, negative where the first that ``what`` names is better."""

    what: str
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


@record
class Analysis:
    """Everything the statistics say of one table of observations.

    ``seed_noise`` is the sd of one run's ln loss between seeds, pooled over the study; ``example_noise`` the sd of the
    ln loss ratio of two winners through the finite report set. ``optimism`` has rows where no winner has fresh seeds.
    ``notices`` say what was left out of somebody's table, or taken for something else. ``in_progress`` says how far a
    study is that is not done: then every verdict is provisional. ``fixed_margin`` is the margin that was fixed in
    advance, where the verdicts are by another that was chosen after results.
    """

    families: tuple[str, ...]
    winners: tuple[Winner, ...]
    laws: tuple[LawFit, ...]
    isoflop: tuple[IsoflopProfile, ...]
    learning_rates: tuple[LearningRateCell, ...]
    allocations: tuple[Allocation, ...]
    comparisons: tuple[Comparison, ...]
    controls: tuple[Control, ...]
    swaps: tuple[Swap, ...]
    headline: str
    refusals: tuple[Refusal, ...]
    search_flops: dict[str, float]
    search_trials: dict[str, int]
    seed_noise: float | None
    example_noise: float | None = None
    optimism: tuple[Optimism, ...] = ()
    size_laws: tuple[SizeLaw, ...] = ()
    optima: tuple[Optimum, ...] = ()
    rate_surfaces: tuple[RateSurface, ...] = ()
    notices: tuple[str, ...] = ()
    in_progress: str = ""
    fixed_margin: float | None = None
