"""Where the optimum of a family lies: sizes, examples, learning rates."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.reason import Reason
from levelfield.scaling.results.intervals import Interval

TuningStatus: TypeAlias = Literal["bracketed", "one-sided", "bound"]


@record
class IsoflopPoint:
    model: str
    params: float
    examples: float
    epochs: float | None
    loss: float


@record
class IsoflopProfile:
    """Loss against size at one budget, and the optimal number of parameters, or why there is none that can be told."""

    family: str
    budget_flops: float
    points: tuple[IsoflopPoint, ...]
    best_model: str
    optimal_params: Interval | Reason

    @property
    def touches_edge(self) -> bool:
        """Whether the interval of the optimum reaches the edge of the sizes tried."""
        found, sizes = self.optimal_params, [point.params for point in self.points]
        return isinstance(found, Interval) and (found.low <= min(sizes) * 1.001 or found.high >= max(sizes) * 0.999)


@record
class SizedCell:
    """A size and length that was run at one budget, at its best settings: ``loss`` is the mean of its seeds."""

    model: str
    budget_flops: float
    params: float
    examples: float
    epochs: float | None
    loss: float
    near_chance: bool = False


@record
class SizedCells:
    """All cells of a family whose runs know their size and length, in rising budget: what its best runs are told by.

    ``unique_examples`` is the largest pool of distinct examples that a run drew on; None where none is told, or where
    no run saw an example twice and none was limited by a pool.
    """

    family: str
    cells: tuple[SizedCell, ...]
    unique_examples: float | None = None


@record
class LearningRateCell:
    """A tuning curve: the learning rates tried in one (model, budget) cell and the best of them.

    ``variant`` is what the cell changes of the recipe beside the rate; empty for the recipe itself.
    """

    family: str
    model: str
    variant: str = ""
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
    loss, or 1 % where it is unknown. ``shape`` is (c₋, c₊, k₋, k₊) and ``sharpness`` q (see
    scaling/optimum/aligned.py); ``coefficients`` are s0, s1 and s2, with their ``covariance``. Absent where the tuning
    curves support none: ``status``.
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
    sharpness: tuple[float, ...] = ()
    coefficients: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()
    status: Reason


@record
class Allocation:
    """How size and examples of the winners grow with compute: exponents of a log-log line, where four rungs allow."""

    family: str
    params_exponent: Interval | None
    examples_exponent: Interval | None
    status: Reason


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
    status: tuple[Reason, ...]


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
