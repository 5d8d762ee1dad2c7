"""Fitting a law: what is kept, the robust scale, the optimum, and what the points cannot support.

A fit is a record of everything needed to judge it: the form, every row with why it was dropped, the Huber scale, the
objective, the gradient, whether the best starting points agree. What is not supported is refused with its reason.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import TypeAlias

import numpy as np

from levelfield.records.codec import record
from levelfield.records.errors import InputError
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.solver import CONVERGED, Solution, solve_one
from levelfield.scaling.laws import LAWS, Floats, Law, Numbers, bounds
from levelfield.scaling.results.reasons.laws import (
    SUPPORTED,
    AtBound,
    Ending,
    FewBudgets,
    FewValues,
    FittedPoints,
    MovedParameter,
    NearChance,
    NoIrreducible,
    NotFalling,
    NotMonotone,
    NotPositive,
    OutliersMove,
    OutlyingRow,
    SeedsDisagree,
    TooFewRows,
    UnsupportedFit,
)

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
FEWEST_VALUES = 3
"""Values that an input must take for its exponent to be told."""
LITERATURE_DELTA = 1e-3
"""The Huber scale of Hoffmann et al. (2203.15556), nearly least absolute residuals; a cloud's first pass."""


_Unsupported: TypeAlias = tuple[Ending, FewBudgets | NotMonotone]


@record
class FitRow:
    """A point that a fit was offered, inputs in the order of the law's: kept unless ``dropped`` says why not."""

    inputs: tuple[float, ...]
    loss: float
    dropped: Reason | None = None


@record
class Fit:
    """A law fitted to one set of points, and everything needed to judge the fit.

    ``theta`` holds the parameters for ln inputs less ``log_input_units`` and ln loss less ``log_loss_unit`` (see
    laws/base.py); ``parameters`` the same in the user's units. ``delta`` is the Huber scale in ln loss, ``recency`` the
    power of compute that weighs points. ``gradient_norm`` has no unit (see solver.py); ``agreement`` is the share of
    the best seeds that ended at the same objective. ``remarks`` are what must be known beside
    ``ending``.
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
    ending: Ending
    remarks: tuple[Reason, ...]

    @property
    def law(self) -> Law:
        return LAWS[self.form]

    @property
    def supported(self) -> bool:
        return self.ending in SUPPORTED

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
    compute: Numbers,
    loss: Numbers,
    *,
    form: str = "log-log",
    chance: float | None = None,
    run_sd: float | None = None,
    delta: float | None = None,
    recency: float = 0.0,
    refuse: bool = True,
) -> Fit | Reason:
    """Fit one law of loss against compute, one point a budget, or say why the points support none.

    They do not with fewer than 4 budgets away from chance, a frontier that rises beyond noise, a loss that does not
    fall with compute, or a solver that stopped short of the optimum.
    ``run_sd`` is the sd of a point's ln loss; it tells a rise of the frontier from noise and sets the Huber scale
    unless ``delta`` does. ``recency`` k weighs each point by (C / largest C)^k. With ``refuse`` False an unsupported
    fit is returned and says so in its ending; fewer budgets than parameters are refused all the same.

    Raises:
        InputError: no law of compute has this form.
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
        return dataclasses.replace(why[1], num_dropped=dropped, num_rows=len(rows) if dropped else 0)
    scale = delta if delta is not None else HUBER * (run_sd or _sd_along(log_v))
    found = _fitted(law, rows, scale, recency, why)
    if not why and found.predict(kept[-1].inputs[0]) >= found.predict(kept[0].inputs[0]):
        if refuse:
            return NotFalling()
        return dataclasses.replace(found, ending="flat", remarks=(NotFalling(), *found.remarks))
    return _supported(found) if refuse else found


def fit_law(
    form: str,
    inputs: Mapping[str, Numbers],
    loss: Numbers,
    *,
    chance: float | None = None,
    delta: float | None = None,
    weights: Numbers | None = None,
    refuse: bool = True,
) -> Fit | Reason:
    """Fit any law to a cloud of runs, ``inputs`` by the names that the law reads ("params", "examples", ...).

    Or say why there is none: no more rows than parameters, an input that hardly varies, or a solver that stopped short
    of the optimum.
    Without ``delta`` the Huber scale is 1.345 robust sds of the residuals of a first pass at 0.001. Rows of ``weights``
    0 are kept but do not count.

    Raises:
        InputError: no such law, or an input that it reads is not given.
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
        return TooFewRows(num=len(kept), num_parameters=len(law.parameters), equation=law.equation)
    for place, name in enumerate(law.inputs[:2]):
        if len({row.inputs[place] for row in kept}) < FEWEST_VALUES and refuse:
            return FewValues(name=name, needed=FEWEST_VALUES)
    share = (
        None if weights is None else np.asarray([w for w, row in zip(weights, rows, strict=True) if not row.dropped])
    )
    if delta is None:
        first = _fitted(law, rows, LITERATURE_DELTA, 0.0, None, share)
        delta = max(LITERATURE_DELTA, HUBER * 1.4826 * float(np.median(np.abs(first.residuals))))
    found = _fitted(law, rows, delta, 0.0, None, share)
    return _supported(found) if refuse else found


def without_outliers(found: Fit) -> OutliersMove | None:
    """What the law's parameters are without the rows beyond 3.5 robust sds of its residuals; None without such rows.

    Five of 245 runs moved a published coefficient sixfold (Besiroglu et al., 2404.10102): both are to be seen. A fit
    that leans on late points has none: it lets early ones lie where they may.
    """
    residuals = np.abs(found.residuals)
    inside = residuals <= OUTLYING_SDS * max(1.4826 * float(np.median(residuals)), 1e-9)
    if inside.all() or found.recency or len(inside) < FEWEST_FOR_OUTLIERS or inside.sum() <= len(found.theta):
        return None
    theta, _, _ = solve_one(
        found.law, found.x[inside], found.y[inside], weights=found.weights[inside], delta=found.delta
    )
    named = found.named(theta)
    outside = [row for row, near in zip(found.kept, inside, strict=True) if not near]
    return OutliersMove(
        sds=OUTLYING_SDS,
        outlying=tuple(OutlyingRow(inputs=row.inputs, loss=row.loss) for row in outside),
        moved=tuple(
            MovedParameter(name=name, value=value, without=float(named[name]))
            for name, value in found.parameters.items()
        ),
    )


def law_of(form: str) -> Law:
    """The law named ``form``.

    Raises:
        InputError: there is none.
    """
    if form not in LAWS:
        raise InputError(f"unknown form of law {form!r}; known: {', '.join(LAWS)}")
    return LAWS[form]


def why_dropped(*values: float, chance: float | None) -> Reason | None:
    """Why a row (its inputs, then its loss) is shown but not fitted; None where it is fitted."""
    if not all(math.isfinite(value) and value > 0 for value in values):
        return NotPositive()
    if chance is not None and values[-1] > NEAR_CHANCE * chance:
        return NearChance(loss=values[-1], chance=chance, share=NEAR_CHANCE)
    return None


def refusal(log_compute: Floats, log_loss: Floats, *, run_sd: float | None = None) -> _Unsupported | None:
    """Why these rungs, in rising compute, support no monotone law; None where they do."""
    num_budgets = len(np.unique(log_compute))
    if num_budgets < MIN_BUDGETS:
        return "too few", FewBudgets(num=num_budgets, needed=MIN_BUDGETS)
    rise = log_loss - np.minimum.accumulate(log_loss)
    allowed = _rise_sds(len(log_loss)) * math.sqrt(2) * (run_sd if run_sd else _sd_along(log_loss))
    worst = int(np.argmax(rise))
    if rise[worst] > allowed:
        where = math.exp(log_compute[worst])
        return "rises", NotMonotone(compute=where, rise=math.expm1(rise[worst]), allowed=math.expm1(allowed))
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
    why: tuple[Ending, Reason] | None,
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
        ending=why[0] if why else _ending(solution, held, agreement),
        remarks=_remarks(rows, held, agreement, why),
    )


def _supported(found: Fit) -> Fit | Reason:
    if not found.supported:
        return UnsupportedFit(equation=found.law.equation, ending=found.ending, remarks=found.remarks)
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


def _ending(solution: Solution, held: tuple[str, ...], agreement: float) -> Ending:
    # Near the floor of rounding no step lowers the objective although the gradient is not quite CONVERGED.
    if not (solution.gradient_norm[0] <= 1e3 * CONVERGED or solution.objective[0] <= 1e-20):
        return "not converged"
    if held:
        return "at a bound"
    return "fitted" if agreement == 1 else "seeds disagree"


def _remarks(
    rows: tuple[FitRow, ...], held: tuple[str, ...], agreement: float, why: tuple[Ending, Reason] | None
) -> tuple[Reason, ...]:
    found: list[Reason] = [FittedPoints(num_kept=sum(not row.dropped for row in rows), num_rows=len(rows))]
    if "E" in held:
        found.append(NoIrreducible())
    found.extend(AtBound(name=name) for name in held if name != "E")
    if agreement < 1:
        found.append(SeedsDisagree(agreement=agreement))
    return (*((why[1],) if why else ()), *found)
