"""The laws of one family with their intervals.

The noise of a rung is what its seeds and examples say, unless the scatter about the law says more: the two are compared
by an F test and pooled where it is quiet. Rows of a learning curve err together (dependence.py). Intervals are
percentiles of refits to the fitted curve plus drawn noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS, Fit, fit, recency_weights, why_dropped, without_outliers
from levelfield.scaling.fitting.profile import profile_intervals
from levelfield.scaling.fitting.solver import solve_one
from levelfield.scaling.ladder.backtest import LONG_CURVE, LawForm, LossCurve
from levelfield.scaling.ladder.errors import covariance_of, draw_thetas, drawn_errors, errors_of_curve, errors_of_rungs
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.noise.dependence import dependence
from levelfield.scaling.noise.uncertainty import POOLING_LEVEL
from levelfield.scaling.results.intervals import CurvePoint, Interval
from levelfield.scaling.results.laws import Currency, LawFit, LawRow, Spread
from levelfield.scaling.results.reasons.laws import FallWithinNoise, FitEnded, NoSeeds, RungsScatter, TooFewForForm

LINE = "log-log"
RUNG_FORMS = (LINE, "saturating")
"""What a ladder's few rungs can tell apart; both are fitted, whichever is believed."""
FARTHEST = 1e6
"""No law is known to hold over more than so many times its runs' compute."""
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
    chance: float | None
    covariance: Floats | None
    degrees_of_freedom: float
    notes: tuple[Reason, ...] = ()

    @property
    def is_curve(self) -> bool:
        """Whether this is a learning curve: many dependent rows, where a ladder has few independent rungs."""
        return self.covariance is None and len(self.compute) >= LONG_CURVE

    @property
    def run_sd(self) -> float | None:
        """The sd of a rung's ln loss, where seeds measured it."""
        return None if self.covariance is None else math.sqrt(float(np.mean(np.diag(self.covariance))))

    @property
    def curve(self) -> LossCurve | None:
        """The rows that a law is fitted to; None where they are too few for one."""
        kept = [
            (compute, loss)
            for compute, loss in zip(self.compute, self.loss, strict=True)
            if not why_dropped(compute, loss, chance=self.chance)
        ]
        if len({compute for compute, _ in kept}) < MIN_BUDGETS:
            return None
        return LossCurve(name=self.family, compute=np.array(kept)[:, 0], loss=np.array(kept)[:, 1])


@dataclass(frozen=True, kw_only=True)
class Belief:
    """The form and recency to believe of some families, why, and how far backtests of it were off.

    ``delta`` is the Huber scale in ln loss that was asked for; ``asked`` says that the form was, so that no other will
    do where the points are too few for it.
    """

    candidate: LawForm
    why: tuple[Reason, ...] = ()
    spread: Spread | None = None
    delta: float | None = None
    asked: bool = False


def laws_of(
    points: Points, belief: Belief, *, level: float, generator: np.random.Generator
) -> tuple[LawFit, ...] | Reason:
    """The believed law, beside a line and a saturating one where the points are rungs; without enough rungs, the line.

    Or why the points support no law; one whose loss falls by no more than noise explains is none.
    """
    order = np.argsort(points.compute, kind="stable")
    fits: dict[LawForm, Fit] = {}
    beside = tuple(map(LawForm, RUNG_FORMS))
    if belief.spread:  # a law without a floor does not go on for ever: one with a floor stands beside it
        floored = LawForm("saturating", belief.candidate.recency)
        beside = () if has_floor(belief.candidate.form) else (floored,)
    for candidate in dict.fromkeys((*beside, belief.candidate)):
        found = _fit(points, candidate, belief.delta)
        if isinstance(found, Reason):
            return found
        if len(found.kept) > len(found.theta):
            fits[candidate] = found
        elif belief.asked and candidate == belief.candidate:
            return TooFewForForm(num=len(found.kept), num_parameters=len(found.theta), form=candidate.form)
    chosen = belief.candidate
    if chosen not in fits:
        chosen = LawForm(LINE)
        line = fits.get(chosen) or _fit(points, chosen, belief.delta)
        if isinstance(line, Reason):
            return line
        fits[chosen] = line
    kept = [int(i) for i, row in zip(order, fits[chosen].rows, strict=True) if not row.dropped]
    covariance = None if points.covariance is None else points.covariance[np.ix_(kept, kept)]
    laws = []
    for candidate, found in fits.items():
        law = _law_fit(points, found, covariance, belief if candidate == chosen else None, level, generator)
        if isinstance(law, Reason):
            return law
        laws.append(law)
    return tuple(laws)


def _fit(points: Points, candidate: LawForm, delta: float | None) -> Fit | Reason:
    return fit(
        points.compute,
        points.loss,
        form=candidate.form,
        chance=points.chance,
        run_sd=points.run_sd,
        recency=candidate.recency,
        delta=delta,
    )


def has_floor(form: str) -> bool:
    """Whether the law of that form ends at an irreducible loss."""
    return any(parameter.name == "E" for parameter in LAWS[form].parameters)


def held_out_top(found: Fit, *, is_curve: bool) -> tuple[float, float, float] | None:
    """The top rung held out, or the upper half of a learning curve's compute: (compute, predicted, seen) at the top.

    The last row of a curve is foretold by the one before it, whatever the law. None where too few are left.
    """
    kept, x, y = found.kept, found.x, found.y
    below = x[:, 0] <= x[-1, 0] - math.log(2) if is_curve else np.arange(len(x)) < len(x) - 1
    if below.sum() <= len(found.theta):
        return None
    theta, _, _ = solve_one(
        found.law, x[below], y[below], weights=recency_weights(x[below], found.recency), delta=found.delta
    )
    predicted = float(np.exp(found.law.log_loss(theta, x[-1:]))[0]) * found.loss_unit
    return kept[-1].inputs[0], predicted, kept[-1].loss


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


def interval(estimate: float, draws: Floats, level: float) -> Interval:
    """The central percentile interval of ``draws``, stretched to hold the estimate."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate=estimate, low=min(float(low), estimate), high=max(float(high), estimate), level=level)


def _law_fit(
    points: Points,
    found: Fit,
    covariance: Floats | None,
    belief: Belief | None,
    level: float,
    generator: np.random.Generator,
) -> LawFit | Reason:
    theta, excess = np.asarray(found.theta), False
    profiles = {}
    if points.is_curve:
        _, slope, _ = found.law.derivatives(theta, found.x)
        noise = errors_of_curve(dependence(found.residuals, slope, found.weights, [range(len(found.kept))]))
    else:
        about, degrees, excess = noise_about(found, covariance, points.degrees_of_freedom)
        noise = errors_of_rungs(about, degrees)
        variance = float(np.trace(about)) / len(about)
        profiles = profile_intervals(found, variance=variance, degrees=degrees, level=level)
    errors = drawn_errors(covariance_of(noise, len(found.kept)), noise.degrees_of_freedom, generator)
    if belief is not None:
        # Scatter about the wrong form is no noise: where seeds measured the noise, they judge the fall.
        seeds = errors if covariance is None else drawn_errors(covariance, points.degrees_of_freedom, generator)
        if (why := _fall_within_noise(found, seeds, level)) is not None:
            return why
    thetas = draw_thetas(found.law, theta, found.x, errors, delta=found.delta, recency=found.recency)
    named = found.named(thetas)
    low, high = found.kept[0].inputs[0], found.kept[-1].inputs[0]
    return LawFit(
        family=points.family,
        currency=points.currency,
        form=found.form,
        parameters={name: interval(value, np.asarray(named[name]), level) for name, value in found.parameters.items()},
        theta=found.theta,
        log_input_units=found.log_input_units,
        log_loss_unit=found.log_loss_unit,
        errors=noise,
        chosen=belief is not None,
        remarks=_remarks(points, found, belief, excess),
        num_budgets=len(found.kept),
        fitted_low=low,
        fitted_high=high,
        curve=_curve(found, thetas, (low, high), level),
        backtest=held_out_top(found, is_curve=points.is_curve),
        rows=tuple(LawRow(compute=row.inputs[0], loss=row.loss, dropped=row.dropped) for row in found.rows),
        delta=found.delta,
        recency=found.recency,
        objective=found.objective,
        gradient_norm=found.gradient_norm,
        agreement=found.agreement,
        spread=belief.spread if belief else None,
        profiles=profiles,
    )


def _fall_within_noise(found: Fit, errors: Floats, level: float) -> FallWithinNoise | None:
    """Why there is no law, where a line through the fitted curve plus drawn ``errors`` does not fall in enough draws.

    A line in place of the law, which may have no way to rise.
    """
    x = found.x[:, 0] - found.x[:, 0].mean()
    drawn = found.law.log_loss(np.asarray(found.theta), found.x) + errors
    flat = float(np.mean(drawn @ x >= 0))
    if flat <= (allowed := (1 - level) / 2):
        return None
    low, high = found.kept[0].inputs[0], found.kept[-1].inputs[0]
    return FallWithinNoise(low=low, high=high, flat=flat, allowed=allowed, level=level)


def _curve(found: Fit, thetas: Floats, span: tuple[float, float], level: float) -> tuple[CurvePoint, ...]:
    inside = np.geomspace(*span, 25)
    compute = np.concatenate([inside, np.geomspace(span[1], span[1] * BEYOND, 9)[1:]])
    x = np.log(compute / found.input_units[0])[:, None]
    middle = np.exp(found.law.log_loss(np.asarray(found.theta), x)) * found.loss_unit
    drawn = np.exp(found.law.log_loss(thetas, x)) * found.loss_unit
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    rows = np.stack([compute, middle, np.minimum(low, middle), np.maximum(high, middle)], axis=-1).tolist()
    return tuple(CurvePoint(x=x, y=y, low=low, high=high) for x, y, low, high in rows)


def _remarks(points: Points, found: Fit, belief: Belief | None, excess: bool) -> tuple[Reason, ...]:
    told: list[Reason | None] = [
        None if found.ending == "fitted" else FitEnded(ending=found.ending),
        *(belief.why if belief else ()),
        *found.remarks,
        without_outliers(found) if belief else None,
        *points.notes,
        RungsScatter() if excess else None,
        NoSeeds(neighbours=points.is_curve) if points.run_sd is None else None,
    ]
    return tuple(each for each in told if each is not None)
