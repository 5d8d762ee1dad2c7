"""The laws of one family with their intervals, and which form to believe.

The noise of a rung is what its seeds and examples say, unless the scatter about the law says more: the two are compared
by an F test and pooled where it is quiet. Intervals are percentiles of refits to the fitted curve plus drawn noise.
The form with fewer parameters is kept unless the other predicts a held-out top rung better by more than the standard
error of that prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.records.errors import RefusedError
from levelfield.scaling.analysis import Currency, CurvePoint, Interval, LawFit, LawRow
from levelfield.scaling.fit import Fit, fit, recency_weights
from levelfield.scaling.laws import Floats, Law
from levelfield.scaling.solver import solve_many, solve_one
from levelfield.scaling.uncertainty import matrix_root

NUM_DRAWS = 400
FORMS = ("log-log", "saturating")
"""What a study's few rungs can tell apart."""
POOLING_LEVEL = 0.25
"""Seeds and scatter are pooled unless an F test rejects at this level: Bozivich, Bancroft and Hartley 1956."""
BEYOND = 10.0
"""A law's curve is drawn to this factor beyond the data; a prediction further out is labelled."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """The rungs of one family in one currency, in rising compute, with the covariance of their ln losses.

    ``covariance`` is None where no seeds measured the noise; ``note`` says what the points are, if not winners.
    """

    family: str
    currency: Currency
    compute: tuple[float, ...]
    loss: tuple[float, ...]
    chance_loss: float | None
    covariance: Floats | None
    degrees_of_freedom: float
    note: str = ""


def laws_of(points: Points, *, level: float, generator: np.random.Generator) -> tuple[LawFit, ...]:
    """Every form that the points support, the chosen one marked.

    Raises:
        RefusedError: the points support no law.
    """
    order = np.argsort(points.compute, kind="stable")
    run_sd = None if points.covariance is None else math.sqrt(float(np.mean(np.diag(points.covariance))))
    fits: dict[str, Fit] = {}
    for form in FORMS:
        found = fit(points.compute, points.loss, form=form, chance_loss=points.chance_loss, run_sd=run_sd)
        if len(found.kept) > len(found.theta):
            fits[form] = found
    kept = [int(i) for i, row in zip(order, fits["log-log"].rows, strict=True) if not row.dropped]
    covariance = None if points.covariance is None else points.covariance[np.ix_(kept, kept)]
    backtests: dict[str, tuple[float, float, float] | None] = {form: backtest(found) for form, found in fits.items()}
    chosen = choose(fits, backtests, covariance)
    return tuple(
        _law_fit(points, found, covariance, backtests[form], form == chosen, level, generator)
        for form, found in fits.items()
    )


def backtest(found: Fit) -> tuple[float, float, float] | None:
    """The top rung held out: (compute, predicted from the others, seen); None where too few are left."""
    kept, x, y = found.kept, found.x, found.y
    if len(kept) - 1 <= len(found.theta):
        return None
    theta, _, _ = solve_one(
        found.law, x[:-1], y[:-1], weights=recency_weights(x[:-1], found.recency), delta=found.delta
    )
    predicted = float(np.exp(found.law.log_loss(theta, x[-1:]))[0]) * found.loss_unit
    return kept[-1].inputs[0], predicted, kept[-1].loss


def choose(
    fits: dict[str, Fit], backtests: dict[str, tuple[float, float, float] | None], covariance: Floats | None
) -> str:
    """The form to believe, by one standard error towards fewer parameters."""
    line, curve = backtests.get("log-log"), backtests.get("saturating")
    if line is None or curve is None:
        return "log-log"
    line_error, curve_error = (abs(math.log(predicted / seen)) for _, predicted, seen in (line, curve))
    x = fits["log-log"].x[:, 0]
    before = x[:-1] - x[:-1].mean()
    # The held-out point's own noise and that of the line prolonged to it.
    spread = 1 + 1 / len(before) + (x[-1] - x[:-1].mean()) ** 2 / (before @ before)
    if covariance is not None:
        variance = float(np.mean(np.diag(covariance)))
    else:
        saturating = fits["saturating"]
        variance = float(saturating.residuals @ saturating.residuals) / (len(x) - len(saturating.theta))
    return "saturating" if line_error > curve_error + math.sqrt(variance * spread) else "log-log"


def noise_about(found: Fit, covariance: Floats | None, degrees: float) -> tuple[Floats, float, bool]:
    """The covariance of the kept rows' errors, its degrees of freedom, and whether scatter exceeds the seeds' noise."""
    from scipy.special import fdtrc

    x, residuals = found.x, found.residuals
    free = len(x) - len(found.theta)
    scatter = float(residuals @ residuals) / free
    if covariance is None:
        return np.eye(len(x)) * max(scatter, 1e-16), float(free), False
    _, slope, _ = found.law.derivatives(np.asarray(found.theta), x)
    left_over = np.eye(len(x)) - slope @ np.linalg.pinv(slope)
    expected = float(np.trace(left_over @ covariance @ left_over)) / free
    ratio = scatter / max(expected, 1e-16)
    if fdtrc(free, degrees, ratio) < POOLING_LEVEL:
        return covariance * ratio, float(free), True
    return covariance * max(1.0, (degrees + free * ratio) / (degrees + free)), degrees + free, False


def draw_thetas(
    law: Law,
    theta: Floats,
    x: Floats,
    covariance: Floats,
    degrees: float,
    generator: np.random.Generator,
    *,
    delta: float,
    recency: float,
) -> Floats:
    """(NUM_DRAWS, parameters) refits to the fitted curve plus multivariate t noise."""
    scale = np.sqrt(degrees / generator.chisquare(degrees, (NUM_DRAWS, 1)))
    errors = np.clip(generator.standard_normal((NUM_DRAWS, len(x))) @ matrix_root(covariance).T * scale, -3.0, 3.0)
    weights = recency_weights(x, recency)
    return solve_many(law, x, law.log_loss(theta, x) + errors, weights=weights, delta=delta)


def interval(estimate: float, draws: Floats, level: float) -> Interval:
    """The central percentile interval of ``draws``, stretched to hold the estimate."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate=estimate, low=min(float(low), estimate), high=max(float(high), estimate), level=level)


def _law_fit(
    points: Points,
    found: Fit,
    covariance: Floats | None,
    tested: tuple[float, float, float] | None,
    chosen: bool,
    level: float,
    generator: np.random.Generator,
) -> LawFit:
    noise, degrees, excess = noise_about(found, covariance, points.degrees_of_freedom)
    theta = np.asarray(found.theta)
    thetas = draw_thetas(found.law, theta, found.x, noise, degrees, generator, delta=found.delta, recency=found.recency)
    units = np.log(found.input_units).tolist()
    named = found.law.named(thetas, log_units=units, log_loss_unit=math.log(found.loss_unit))
    low, high = found.kept[0].inputs[0], found.kept[-1].inputs[0]
    return LawFit(
        family=points.family,
        currency=points.currency,
        form=found.form,
        parameters={name: interval(value, np.asarray(named[name]), level) for name, value in found.parameters.items()},
        chosen=chosen,
        status=_status(points, found, excess, covariance is None),
        num_budgets=len(found.kept),
        fitted_low=low,
        fitted_high=high,
        curve=_curve(found, thetas, (low, high), level),
        backtest=tested,
        rows=tuple(LawRow(compute=row.inputs[0], loss=row.loss, dropped=row.dropped) for row in found.rows),
        delta=found.delta,
        recency=found.recency,
        objective=found.objective,
        gradient_norm=found.gradient_norm,
        agreement=found.agreement,
        covariance=tuple(tuple(row) for row in noise.tolist()),
        degrees_of_freedom=degrees,
    )


def _curve(found: Fit, thetas: Floats, span: tuple[float, float], level: float) -> tuple[CurvePoint, ...]:
    inside = np.geomspace(*span, 25)
    compute = np.concatenate([inside, np.geomspace(span[1], span[1] * BEYOND, 9)[1:]])
    x = np.log(compute / found.input_units[0])[:, None]
    middle = np.exp(found.law.log_loss(np.asarray(found.theta), x)) * found.loss_unit
    drawn = np.exp(found.law.log_loss(thetas, x)) * found.loss_unit
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    rows = np.stack([compute, middle, np.minimum(low, middle), np.maximum(high, middle)], axis=-1).tolist()
    return tuple(CurvePoint(x=x, y=y, low=low, high=high) for x, y, low, high in rows)


def _status(points: Points, found: Fit, excess: bool, no_seeds: bool) -> str:
    parts: Sequence[str] = (
        "" if found.status.value == "the law is fitted" else found.status.value,
        *found.remarks,
        points.note,
        "the rungs scatter about the law by more than seeds explain: intervals are widened" if excess else "",
        "no seeds: intervals come from the scatter about the law" if no_seeds else "",
    )
    return "; ".join(part for part in parts if part)


def refused_laws(points: Points, *, level: float, generator: np.random.Generator) -> tuple[tuple[LawFit, ...], str]:
    """The laws, or none and the reason."""
    try:
        return laws_of(points, level=level, generator=generator), ""
    except RefusedError as refused:
        return (), str(refused)
