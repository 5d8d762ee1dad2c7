"""Laws of held-out loss, fitted: of compute, and of size and examples."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.reason import Reason
from levelfield.scaling.results.intervals import CurvePoint, Interval, ProfileInterval

Currency: TypeAlias = Literal["flops", "device_seconds"]
CURRENCIES: tuple[Currency, ...] = ("flops", "device_seconds")


@record
class LawRow:
    """A rung that a law was offered: kept unless ``dropped`` says why not."""

    compute: float
    loss: float
    dropped: Reason | None = None


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
class RowErrors:
    """How the kept rows of a law err in ln loss, and together.

    ``variances`` has one for each row, or one for all. k-th neighbours are correlated by ``memory``^k, where rows are
    those of a learning curve; ``pairs`` are (row, earlier row, covariance) where rungs share runs or examples. All is
    known to ``degrees_of_freedom``.
    """

    variances: tuple[float, ...]
    degrees_of_freedom: float
    memory: float = 0.0
    pairs: tuple[tuple[int, int, float], ...] = ()


@record
class LawFit:
    """A law of held-out loss against compute for one family.

    ``form`` names the equation (see scaling/laws): "log-log" is ln L = ln A - b ln C; "saturating" is L = E + A C^-b.
    ``parameters`` are keyed by name: "A", "b", "E", for compute in FLOPs or device-seconds and loss in nats. ``theta``
    are the same as fitted: for ln compute less ``log_input_units`` and ln loss less ``log_loss_unit`` (laws/base.py).
    ``delta`` is the Huber scale in ln loss and ``recency`` the power of compute that weighs the rungs. ``chosen`` marks
    the form that backtests prefer. ``backtest`` is the top fitted
    rung held out, of a learning curve the upper half of its compute: (compute, predicted, seen).

    ``objective`` is the sum of Huber's loss of the residuals of ln loss, ``gradient_norm`` the largest cosine between
    residuals and a parameter's column, ``agreement`` the share of the best seeds that ended there. ``errors`` are
    those of the kept rows: with theta and the rows all that a prediction needs, so that nothing is fitted twice.
    ``spread`` says how far extrapolations of its like were off. ``profiles`` are intervals by profile likelihood, of
    irreducible loss and exponents; a learning curve, whose neighbours err together, has none. ``remarks`` are how the
    fit ended, why this form is believed, and what else must be known.
    """

    family: str
    currency: Currency
    form: str
    parameters: dict[str, Interval]
    theta: tuple[float, ...]
    log_input_units: tuple[float, ...]
    log_loss_unit: float
    errors: RowErrors
    chosen: bool
    remarks: tuple[Reason, ...]
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
    spread: Spread | None = None
    profiles: dict[str, ProfileInterval] = dataclasses.field(default_factory=dict)


@record
class HeldOut:
    """How far off a law was, as a root mean square in ln loss, at ``num_cells`` cells that it had not seen."""

    num_cells: int
    error: float


@record
class SizeLaw:
    """A law of loss by size and examples, fitted to the best run of every size at every budget of a family.

    ``form`` "size-and-examples" is that of Hoffmann et al.; "repeated" is its data-constrained form, offered where
    epochs exceed 1. ``parameters`` have intervals by resampling cells within budgets, ``theta`` are the same as fitted,
    for ln inputs (params, examples, and distinct examples where they repeat) less ``log_input_units`` and ln loss less
    ``log_loss_unit``, ``profiles`` by profile
    likelihood. ``held_out`` tells how the law does beyond a half, a quarter and an eighth of the compute, fitted below;
    ``chosen`` marks the believed one. ``scatter`` is the sd of ln loss about the law.
    """

    family: str
    form: str
    equation: str
    parameters: dict[str, Interval]
    theta: tuple[float, ...]
    log_input_units: tuple[float, ...]
    log_loss_unit: float
    profiles: dict[str, ProfileInterval]
    chosen: bool
    remarks: tuple[Reason, ...]
    num_cells: int
    scatter: float
    delta: float
    objective: float
    gradient_norm: float
    agreement: float
    held_out: HeldOut | None
