"""Fitting a law: what is kept, the robust scale, the optimum, and what the points cannot support.

A fit is a record of everything needed to judge it: the form, every row with why it was dropped, the Huber scale, the
objective, the gradient, whether the best starting points agree. What is not supported is refused with its reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from levelfield.records.codec import record
from levelfield.records.errors import InputError, RefusedError
from levelfield.scaling.fitting.solver import CONVERGED, Solution, solve_one
from levelfield.scaling.laws import LAWS, Floats, Law, bounds

NEAR_CHANCE = 0.85
"""A loss above this share of chance is shown, not fitted (protocol 6)."""
MIN_BUDGETS = 4
ASSUMED_RUN_SD = 0.02
"""sd of ln loss between seeds, taken where none was measured: small studies show 0.01-0.03 (protocol, preamble)."""
RISE_LEVEL = 0.00135
"""A rise of the frontier is beyond noise when one as high has this chance (3 sds of a difference of two rungs)..."""
RISE_RUNGS = 10
"""...among so many rungs; n rungs make (n / 10)^2 times as many pairs, each of which gets so much less chance."""
HUBER = 1.345
"""Residuals beyond this many sds count by their size alone: 95 % efficient under normal noise (Huber 1981)."""
OUTLYING_SDS = 3.5
"""Rows whose residual exceeds this many robust sds are outliers: Iglewicz and Hoaglin 1993."""
FEWEST_FOR_OUTLIERS = 10
"""Rows from which a robust sd of residuals tells an outlier."""
LITERATURE_DELTA = 1e-3
"""The Huber scale of Hoffmann et al. (2203.15556), nearly least absolute residuals; a cloud's first pass."""


class FitStatus(StrEnum):
    """How a fit ended, each member a sentence."""

    FITTED = "the law is fitted"
    AT_BOUND = "the law is fitted, but a parameter lies at a bound"
    SEEDS_DISAGREE = "the law is fitted, but its best starting points end at different optima"
    NOT_CONVERGED = "the solver stopped before the gradient vanished"
    TOO_FEW = "there are too few budgets away from chance"
    NOT_MONOTONE = "the loss rises with compute by more than noise explains"
    NOT_FALLING = "the fitted loss does not fall with compute"

    @property
    def supported(self) -> bool:
        return self in (FitStatus.FITTED, FitStatus.AT_BOUND, FitStatus.SEEDS_DISAGREE)


@record
class FitRow:
    """A point that a fit was offered, inputs in the order of the law's: kept where ``dropped`` is empty."""

    inputs: tuple[float, ...]
    loss: float
    dropped: str = ""


@record
class Fit:
    """A law fitted to one set of points, and everything needed to judge the fit.

    ``theta`` holds the parameters for ln inputs less ``log_input_units`` and ln loss less ``log_loss_unit`` (see
    laws/base.py); ``parameters`` the same in the user's units. ``delta`` is the Huber scale in ln loss, ``recency`` the
    power of compute that weighs points. ``gradient_norm`` has no unit (see solver.py); ``agreement`` is the share of
    the best seeds that ended at the same objective. ``remarks`` say in sentences what to know beside ``status``.
    """

    form: str
    theta: tuple[float, ...]
    parameters: dict[str, float]
    log_input_units: tuple[float, ...]
    log_loss_unit: float
    delta: float
    recency: float
    objective: float
    gradient_norm: float
    agreement: float
    rows: tuple[FitRow, ...]
    status: FitStatus
    remarks: tuple[str, ...]

    @property
    def law(self) -> Law:
        return LAWS[self.form]

    @property
    def supported(self) -> bool:
        return self.status.supported

    @property
    def kept(self) -> tuple[FitRow, ...]:
        return tuple(row for row in self.rows if not row.dropped)

    @property
    def input_units(self) -> Floats:
        """The units of the inputs, by which :attr:`x` is centred: how refits of noise end hangs on the last bit."""
        return np.exp(self.log_input_units)

    @property
    def loss_unit(self) -> float:
        return math.exp(self.log_loss_unit)

    @property
    def x(self) -> Floats:
        """The inputs of the kept rows inside the fit: (points, inputs)."""
        return np.log([row.inputs for row in self.kept]) - np.log(self.input_units)

    @property
    def y(self) -> Floats:
        """The ln losses of the kept rows inside the fit."""
        return np.log([row.loss for row in self.kept]) - math.log(self.loss_unit)

    @property
    def weights(self) -> Floats:
        return recency_weights(self.x, self.recency)

    @property
    def residuals(self) -> Floats:
        """ln loss seen minus ln loss fitted, of the kept rows."""
        return self.y - self.law.log_loss(np.asarray(self.theta), self.x)

    def predict(self, *inputs: float) -> float:
        """The loss that the law gives at ``inputs``, in the order of the law's (compute, or params and examples)."""
        x = np.log([inputs]) - np.log(self.input_units)
        return float(np.exp(self.law.log_loss(np.asarray(self.theta), x))[0] * self.loss_unit)

    def named(self, theta: Floats) -> dict[str, Floats]:
        """``theta`` (..., parameters) of this fit's units, by name and in the user's."""
        units = np.log(self.input_units).tolist()
        return self.law.named(theta, log_units=units, log_loss_unit=math.log(self.loss_unit))


def fit(
    compute: Sequence[float],
    loss: Sequence[float],
    *,
    form: str = "log-log",
    chance: float | None = None,
    run_sd: float | None = None,
    delta: float | None = None,
    recency: float = 0.0,
    refuse: bool = True,
) -> Fit:
    """Fit one law of loss against compute, one point a budget.

    ``run_sd`` is the sd of a point's ln loss; it tells a rise of the frontier from noise and sets the Huber scale
    unless ``delta`` does. ``recency`` k weighs each point by (C / largest C)^k. With ``refuse`` False an unsupported
    fit is returned and says so in its status; fewer budgets than parameters are refused all the same.

    Raises:
        InputError: no law of compute has this form.
        RefusedError: fewer than 4 budgets away from chance, a frontier that rises beyond noise, a loss that does not
            fall with compute, or a solver that stopped short of the optimum.
    """
    law = law_of(form)
    if law.inputs != ("compute",):
        raise InputError(f"{form!r} reads {', '.join(law.inputs)}, not compute alone; use fit_law")
    pairs = sorted(zip(compute, loss, strict=True), key=lambda pair: pair[0])
    rows = tuple(FitRow(inputs=(float(c),), loss=float(v), dropped=why_dropped(c, v, chance=chance)) for c, v in pairs)
    kept = [row for row in rows if not row.dropped]
    log_c, log_v = np.log([row.inputs[0] for row in kept]), np.log([row.loss for row in kept])
    why = refusal(log_c, log_v, run_sd=run_sd)
    if why and (refuse or len(np.unique(log_c)) < len(law.parameters)):
        dropped = len(rows) - len(kept)
        raise RefusedError(f"{why[1]}" + (f" ({dropped} of {len(rows)} rows dropped)" if dropped else ""))
    scale = delta if delta is not None else HUBER * (run_sd or _sd_along(log_v))
    found = _fitted(law, rows, scale, recency, why)
    if not why and found.predict(kept[-1].inputs[0]) >= found.predict(kept[0].inputs[0]):
        why = (FitStatus.NOT_FALLING, "the loss does not fall with compute: the fitted exponent is not positive")
        if refuse:
            raise RefusedError(why[1])
        return dataclasses.replace(found, status=why[0], remarks=(why[1], *found.remarks))
    return _supported(found) if refuse else found


def fit_law(
    form: str,
    inputs: Mapping[str, Sequence[float]],
    loss: Sequence[float],
    *,
    chance: float | None = None,
    delta: float | None = None,
    weights: Sequence[float] | None = None,
    refuse: bool = True,
) -> Fit:
    """Fit any law to a cloud of runs, ``inputs`` by the names that the law reads ("params", "examples", ...).

    Without ``delta`` the Huber scale is 1.345 robust sds of the residuals of a first pass at 0.001. Rows of ``weights``
    0 are kept but do not count.

    Raises:
        InputError: no such law, or an input that it reads is not given.
        RefusedError: no more rows than parameters, an input that hardly varies, or a solver that stopped short of the
            optimum.
    """
    law = law_of(form)
    missing = [name for name in law.inputs if name not in inputs]
    if missing:
        raise InputError(f"the law {form!r} reads {', '.join(law.inputs)}; {', '.join(missing)} not given")
    rows = tuple(
        FitRow(inputs=tuple(map(float, values)), loss=float(v), dropped=why_dropped(*values, v, chance=chance))
        for *values, v in zip(*(inputs[name] for name in law.inputs), loss, strict=True)
    )
    kept = [row for row in rows if not row.dropped]
    if len(kept) <= len(law.parameters):
        raise RefusedError(f"{len(kept)} usable rows for the {len(law.parameters)} parameters of {law.equation}")
    for place, name in enumerate(law.inputs[:2]):
        if len({row.inputs[place] for row in kept}) < 3 and refuse:
            raise RefusedError(f"{name} takes fewer than 3 values: its exponent cannot be told")
    share = (
        None if weights is None else np.asarray([w for w, row in zip(weights, rows, strict=True) if not row.dropped])
    )
    if delta is None:
        first = _fitted(law, rows, LITERATURE_DELTA, 0.0, None, share)
        delta = max(LITERATURE_DELTA, HUBER * 1.4826 * float(np.median(np.abs(first.residuals))))
    found = _fitted(law, rows, delta, 0.0, None, share)
    return _supported(found) if refuse else found


def without_outliers(found: Fit) -> str:
    """What the law's parameters are without the rows beyond 3.5 robust sds of its residuals; empty without such rows.

    Five of 245 runs moved a published coefficient sixfold (Besiroglu et al., 2404.10102): both are to be seen. A fit
    that leans on late points has none: it lets early ones lie where they may.
    """
    residuals = np.abs(found.residuals)
    inside = residuals <= OUTLYING_SDS * max(1.4826 * float(np.median(residuals)), 1e-9)
    if inside.all() or found.recency or len(inside) < FEWEST_FOR_OUTLIERS or inside.sum() <= len(found.theta):
        return ""
    theta, _, _ = solve_one(
        found.law, found.x[inside], found.y[inside], weights=found.weights[inside], delta=found.delta
    )
    named = found.named(theta)
    moved = ", ".join(f"{name} {named[name]:.3g} instead of {value:.3g}" for name, value in found.parameters.items())
    outside = [row for row, near in zip(found.kept, inside, strict=True) if not near]
    which = ", ".join(
        f"{row.loss:.4g} at {' and '.join(f'{value:.3g}' for value in row.inputs)}" for row in outside[:5]
    )
    more = ", ..." if len(outside) > 5 else ""
    rows = "1 row" if len(outside) == 1 else f"{len(outside)} rows"
    return f"without {rows} beyond {OUTLYING_SDS:g} robust sds (loss {which}{more}): {moved}"


def law_of(form: str) -> Law:
    """The law named ``form``.

    Raises:
        InputError: there is none.
    """
    if form not in LAWS:
        raise InputError(f"unknown form of law {form!r}; known: {', '.join(LAWS)}")
    return LAWS[form]


def why_dropped(*values: float, chance: float | None) -> str:
    """Why a row (its inputs, then its loss) is shown but not fitted; empty where it is fitted."""
    if not all(math.isfinite(value) and value > 0 for value in values):
        return "compute and loss must be positive and finite"
    if chance is not None and values[-1] > NEAR_CHANCE * chance:
        return f"near chance: loss {values[-1]:.3g} is above {NEAR_CHANCE:.0%} of {chance:.3g}"
    return ""


def refusal(log_compute: Floats, log_loss: Floats, *, run_sd: float | None = None) -> tuple[FitStatus, str] | None:
    """Why these rungs, in rising compute, support no monotone law; None where they do."""
    num_budgets = len(np.unique(log_compute))
    if num_budgets < MIN_BUDGETS:
        return FitStatus.TOO_FEW, f"{num_budgets} budgets away from chance, at least {MIN_BUDGETS} are needed"
    rise = log_loss - np.minimum.accumulate(log_loss)
    allowed = _rise_sds(len(log_loss)) * math.sqrt(2) * (run_sd if run_sd else _sd_along(log_loss))
    worst = int(np.argmax(rise))
    if rise[worst] > allowed:
        where = math.exp(log_compute[worst])
        return FitStatus.NOT_MONOTONE, (
            f"the curve is not monotone: at compute {where:.3g} the loss lies {math.expm1(rise[worst]):.1%} above a "
            f"cheaper rung, more than noise explains ({math.expm1(allowed):.1%})"
        )
    return None


def _rise_sds(num_rungs: int) -> float:
    return -NormalDist().inv_cdf(RISE_LEVEL * min(1.0, (RISE_RUNGS / num_rungs) ** 2))


def recency_weights(x: Floats, power: float) -> Floats:
    """(C / largest C)^power of (..., points, inputs) by the first input: late points tell most of what comes next."""
    return np.exp(power * (x[..., 0] - x[..., 0].max(axis=-1, keepdims=True)))


def _fitted(
    law: Law,
    rows: tuple[FitRow, ...],
    delta: float,
    recency: float,
    why: tuple[FitStatus, str] | None,
    weights: Floats | None = None,
) -> Fit:
    kept = [row for row in rows if not row.dropped]
    log_inputs, log_loss = np.log([row.inputs for row in kept]), np.log([row.loss for row in kept])
    units = log_inputs.mean(axis=0)
    if "unique_examples" in law.inputs:  # seen and distinct examples are compared with one another: one unit
        units[law.inputs.index("unique_examples")] = units[law.inputs.index("examples")]
    x, unit = log_inputs - units, float(log_loss.mean())
    share = recency_weights(x, recency) if weights is None else weights
    theta, solution, agreement = solve_one(law, x, log_loss - unit, weights=share, delta=delta)
    named = law.named(theta, log_units=units.tolist(), log_loss_unit=unit)
    held = _at_bound(law, theta)
    return Fit(
        form=law.form,
        theta=tuple(theta.tolist()),
        parameters={name: float(value) for name, value in named.items()},
        log_input_units=tuple(units.tolist()),
        log_loss_unit=unit,
        delta=delta,
        recency=recency,
        objective=float(solution.objective[0]),
        gradient_norm=float(solution.gradient_norm[0]),
        agreement=agreement,
        rows=rows,
        status=why[0] if why else _status(solution, held, agreement),
        remarks=_remarks(rows, held, agreement, why),
    )


def _supported(found: Fit) -> Fit:
    if not found.supported:
        raise RefusedError(f"{found.law.equation}: {found.status.value} ({'; '.join(found.remarks)})")
    return found


def _sd_along(log_loss: Floats) -> float:
    """The noise of a point: from second differences where the curve is long enough, else what small studies show."""
    if len(log_loss) < 10:
        return ASSUMED_RUN_SD
    # A second difference of independent points has 6 times their variance; 0.6745 makes the median an sd.
    second = np.diff(log_loss, n=2)
    return min(ASSUMED_RUN_SD, max(0.002, float(np.median(np.abs(second))) / (0.6745 * math.sqrt(6))))


def _at_bound(law: Law, theta: Floats) -> tuple[str, ...]:
    low, high = bounds(law)
    return tuple(
        parameter.name
        for parameter, value, bottom, top in zip(law.parameters, theta, low, high, strict=True)
        if value <= bottom or value >= top
    )


def _status(solution: Solution, held: tuple[str, ...], agreement: float) -> FitStatus:
    # Near the floor of rounding no step lowers the objective although the gradient is not quite CONVERGED.
    if not (solution.gradient_norm[0] <= 1e3 * CONVERGED or solution.objective[0] <= 1e-20):
        return FitStatus.NOT_CONVERGED
    if held:
        return FitStatus.AT_BOUND
    return FitStatus.FITTED if agreement == 1 else FitStatus.SEEDS_DISAGREE


def _remarks(
    rows: tuple[FitRow, ...], held: tuple[str, ...], agreement: float, why: tuple[FitStatus, str] | None
) -> tuple[str, ...]:
    found = [f"fitted on {sum(not row.dropped for row in rows)} of {len(rows)} points"]
    if "E" in held:
        found.append("the irreducible loss is at its bound of 0")
    found.extend(f"{name} is at a bound" for name in held if name != "E")
    if agreement < 1:
        found.append(f"only {agreement:.0%} of the best seeds agree on the optimum")
    return (*((why[1],) if why else ()), *found)
