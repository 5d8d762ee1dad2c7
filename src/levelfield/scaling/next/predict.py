"""The best recipe for a budget not yet spent, and the loss it should reach."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.codec import record
from levelfield.records.errors import InputError, RefusedError
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS
from levelfield.scaling.ladder.conformal import half_width
from levelfield.scaling.ladder.errors import NUM_REFITS, covariance_of, draw_thetas, drawn_errors
from levelfield.scaling.ladder.forms import BEYOND, interval
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.optimum.isoflop import line, optima
from levelfield.scaling.optimum.rates import rate_at
from levelfield.scaling.results.analysis import Analysis, Winner
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import LawFit, Spread
from levelfield.scaling.results.optima import LearningRateCell
from levelfield.scaling.results.reasons.predictions import (
    AsWideAsBacktests,
    BeyondTheData,
    GrownFromWinner,
    HoldsAnotherForm,
    NoLaw,
    NoLawToPredict,
    RateFromSurface,
    RateOfNearestCell,
    RateOutside,
    RateUnknown,
    SizeByClosedForm,
    SizeUnknown,
)
from levelfield.scaling.results.refusals import LawOf
from levelfield.units import LARGEST, SMALLEST

REJECTED = 0.01
"""A line goes on beyond the points unless they say at this level that it bends."""


@record
class Prediction:
    """What ``budget_flops`` should give one family.

    ``loss`` is the held-out loss (nats) that a winner with as many seeds as the fitted ones would measure; ``params``
    and ``examples`` are compute-optimal, ``base_lr`` is the peak at ``Analysis.rate_batch``. Absent where the study
    does not support them; ``notes`` say why and how each was found, and a value without its interval is a guess.
    ``beyond_data`` is the budget over the top fitted rung. ``base_lr_flat`` is the range of rates that should lose no
    more than one run's noise (1 % where that is unknown).
    """

    family: str
    budget_flops: float
    loss: Interval | None
    params: float | None
    params_interval: Interval | None
    examples: float | None
    examples_interval: Interval | None
    epochs: float | None
    base_lr: float | None
    base_lr_interval: Interval | None
    beyond_data: float | None
    notes: tuple[Reason, ...]
    base_lr_flat: tuple[float, float] | None = None


class _Guess(NamedTuple):
    """A value, and its interval where one is known."""

    value: float | None = None
    interval: Interval | None = None


def predict(analysis: Analysis, *, budget: float, level: float = 0.9, seed: int = 0) -> tuple[Prediction, ...]:
    """The prediction for every family at ``budget`` training FLOPs.

    Raises:
        InputError: the budget is no number of FLOPs that anybody could spend.
        RefusedError: no family has a law.
    """
    if not SMALLEST <= budget <= LARGEST:
        raise InputError(
            f"budget must be positive training FLOPs, between {SMALLEST:g} and {LARGEST:g}, saw {budget!r}"
        )
    if not any(law.currency == "flops" for law in analysis.laws):
        reasons = [why for refusal in analysis.refusals if isinstance(refusal.what, LawOf) for why in refusal.why]
        raise RefusedError(NoLawToPredict(why=tuple(dict.fromkeys(reasons))))
    return tuple(_of_family(analysis, family, float(budget), level, seed) for family in analysis.families)


def _of_family(analysis: Analysis, family: str, budget: float, level: float, seed: int) -> Prediction:
    laws = [law for law in analysis.laws if law.family == family and law.currency == "flops"]
    loss: Interval | None = None
    notes: tuple[Reason, ...] = (NoLaw(),)
    if laws:
        ((loss, notes),) = predicted_losses(laws, [budget], level=level, generator=np.random.default_rng([seed, 3]))
    winners = [winner for winner in analysis.winners if winner.family == family]
    params, examples, told = _allocated(analysis, family, winners, budget, level)
    notes += told
    runs = winners or [point for profile in analysis.isoflop if profile.family == family for point in profile.points]
    per_example = [run.epochs / run.examples for run in runs if run.epochs and run.examples]
    epochs = examples.value * float(np.median(per_example)) if examples.value and per_example else None
    base_lr, flat, told = _learning_rate(analysis, family, params.value, examples.value, level)
    notes += told
    beyond = budget / laws[0].fitted_high if laws else None
    if beyond is not None and beyond > BEYOND:
        notes = (BeyondTheData(reach=BEYOND, times=beyond), *notes)
    return Prediction(
        family=family,
        budget_flops=budget,
        loss=loss,
        params=params.value,
        params_interval=params.interval,
        examples=examples.value,
        examples_interval=examples.interval,
        epochs=epochs,
        base_lr=base_lr.value,
        base_lr_interval=base_lr.interval,
        base_lr_flat=flat,
        beyond_data=beyond,
        notes=notes,
    )


def predicted_losses(
    laws: Sequence[LawFit], budgets: Sequence[float], *, level: float, generator: np.random.Generator
) -> tuple[tuple[Interval, tuple[Reason, ...]], ...]:
    """The losses that the chosen law gives, with the interval of a winner yet to be measured, and notes.

    Outside the fitted rungs it is the union of the intervals of all forms that the points do not reject, since these
    do not tell which form goes on.
    """
    law = next(law for law in laws if law.chosen)
    laws = [law, *(other for other in laws if other is not law and not _rejected(other, laws))]
    drawn, chosen = [_drawn(each, budgets, generator) for each in laws], 0
    found = []
    for place, budget in enumerate(budgets):
        intervals = [interval(float(middle[place]), draws[:, place], level) for middle, draws in drawn]
        own = intervals[chosen]
        if law.spread is not None and budget > law.fitted_high:
            distance = math.log(budget / law.fitted_high)
            found.append((_spread_out(own, law.spread, distance), _spread_notes(law.spread, distance)))
            continue
        low, high = min(each.low for each in intervals), max(each.high for each in intervals)
        if law.fitted_low <= budget <= law.fitted_high or (low, high) == (own.low, own.high):
            found.append((own, ()))
        else:
            union = Interval(estimate=own.estimate, low=low, high=high, level=level)
            found.append((union, (HoldsAnotherForm(),)))
    return tuple(found)


def _rejected(law: LawFit, laws: Sequence[LawFit]) -> bool:
    """Whether the points say by an F test that ``law``, a line, has no floor that it needs."""
    floored = next((other for other in laws if other.form == "saturating" and other.recency == law.recency), None)
    if law.form != "log-log" or floored is None or not floored.objective or law.objective is None:
        return False
    from scipy.special import fdtrc

    degrees = floored.errors.degrees_of_freedom
    ratio = max(0.0, (law.objective / floored.objective - 1) * degrees)
    return bool(fdtrc(1, degrees, ratio) < REJECTED)


def _spread_out(own: Interval, spread: Spread, distance: float) -> Interval:
    """At least as wide as extrapolations of the same table over as far have been wrong."""
    half = math.exp(float(half_width(spread, distance)))
    return dataclasses.replace(own, low=min(own.low, own.estimate / half), high=max(own.high, own.estimate * half))


def _spread_notes(spread: Spread, distance: float) -> tuple[Reason, ...]:
    reach = math.exp(spread.farthest) if distance > spread.farthest else None
    return (AsWideAsBacktests(num_curves=spread.num_curves, reach=reach),)


def _drawn(law: LawFit, budgets: Sequence[float], generator: np.random.Generator) -> tuple[Floats, Floats]:
    """The law's losses at ``budgets``, and (draws, budgets) of what a winner there would measure."""
    kept = [row for row in law.rows if not row.dropped]
    log_compute, unit = np.log([row.compute for row in kept]), law.log_input_units[0]
    form, theta = LAWS[law.form], np.asarray(law.theta)
    x, at = (log_compute - unit)[:, None], (np.log(budgets) - unit)[:, None]
    covariance, degrees = covariance_of(law.errors, len(kept)), law.errors.degrees_of_freedom
    errors = drawn_errors(covariance, degrees, generator)
    thetas = draw_thetas(form, theta, x, errors, delta=law.delta, recency=law.recency)
    # A new winner is as noisy as the rungs beside it, or as the top one where it lies beyond.
    variances = np.interp(np.log(budgets), log_compute, np.diag(covariance))
    scale = np.sqrt(variances * degrees / generator.chisquare(degrees, (NUM_REFITS, 1)))
    own = np.clip(generator.standard_normal((NUM_REFITS, len(budgets))) * scale, -3.0, 3.0)
    middle: Floats = np.asarray(np.exp(form.log_loss(theta, at) + law.log_loss_unit))
    drawn: Floats = np.asarray(np.exp(form.log_loss(thetas, at) + law.log_loss_unit + own), dtype=np.float64)
    return middle, drawn


def _allocated(
    analysis: Analysis, family: str, winners: Sequence[Winner], budget: float, level: float
) -> tuple[_Guess, _Guess, tuple[Reason, ...]]:
    """Optimal params and examples: from the lines through the vertices, else by the nearest winner's shape."""
    budgets, sizes, examples = optima(analysis.isoflop, family)
    if len(budgets) >= MIN_BUDGETS:
        at = math.log(budget)
        size, seen = (_guessed(line(budgets, y, level=level, at=at)[0]) for y in (sizes, examples))
        return size, seen, ()
    known = [w for w in winners if w.params and w.examples]
    if not known and (closed := _by_closed_form(analysis, family, budget)) is not None:
        return closed
    if not known:
        return _Guess(), _Guess(), (SizeUnknown(),)
    nearest = min(known, key=lambda w: abs(math.log(w.budget_flops / budget)))
    # Without a measured exponent, size and examples grow alike with compute (2310.16764, section 3).
    growth = math.sqrt(budget / nearest.budget_flops)
    size, seen = (_Guess(value * growth if value else None) for value in (nearest.params, nearest.examples))
    return size, seen, (GrownFromWinner(budget_flops=nearest.budget_flops),)


def _by_closed_form(analysis: Analysis, family: str, budget: float) -> tuple[_Guess, _Guess, tuple[Reason, ...]] | None:
    """Optimal params and examples by the law of size and examples, and its loss there; None where it tells none.

    The errors of the middle and of the exponent are added up: what they share is not kept.
    """
    found = next((each for each in analysis.optima if each.family == family), None)
    law = next((each for each in analysis.size_laws if each.family == family and each.chosen), None)
    if found is None or found.budget_flops is None or law is None:
        return None
    way, distance = found.closed_form, math.log(budget / found.budget_flops)
    guesses = []
    for at, exponent in ((way.params, way.params_exponent), (way.examples, way.examples_exponent)):
        if at is None or exponent is None:
            return None
        steps = sorted(end * distance for end in (exponent.low, exponent.high))
        log = Interval(
            estimate=math.log(at.estimate) + exponent.estimate * distance,
            low=math.log(at.low) + steps[0],
            high=math.log(at.high) + steps[1],
            level=at.level,
        )
        guesses.append(_guessed(log))
    size, seen = guesses
    told = {name: interval.estimate for name, interval in law.parameters.items()}
    loss = told["E"] + told["A"] * size.value ** -told["alpha"] + told["B"] * seen.value ** -told["beta"]
    return size, seen, (SizeByClosedForm(equation=law.equation, loss=loss),)


def _learning_rate(
    analysis: Analysis, family: str, params: float | None, examples: float | None, level: float
) -> tuple[_Guess, tuple[float, float] | None, tuple[Reason, ...]]:
    """The base rate and its flat range from the surface over size and examples, else the nearest cell's rate."""
    cells = [cell for cell in analysis.learning_rates if cell.family == family and not cell.variant]
    known = [cell for cell in cells if cell.params and cell.examples]
    if not known or params is None or examples is None:
        return _Guess(), None, (RateUnknown(),)
    surface = next((each for each in analysis.rate_surfaces if each.family == family), None)
    found = surface and rate_at(surface, params, examples, level=level)
    if surface and found:
        notes: tuple[Reason, ...] = (RateFromSurface(surface=surface.status, tolerance=surface.tolerance),)
        tried = [rate for cell in known for rate, _ in cell.tried]
        if not min(tried) <= found.best.estimate <= max(tried):
            notes += (RateOutside(low=min(tried), high=max(tried)),)
        return _Guess(found.best.estimate, found.best), found.flat, notes
    at = np.log([params, examples])
    pool = [cell for cell in known if cell.status == "bracketed"] or known

    def distance(cell: LearningRateCell) -> float:
        return float(np.sum((np.log([cell.params or 1.0, cell.examples or 1.0]) - at) ** 2))

    nearest = min(pool, key=distance)
    note = RateOfNearestCell(
        model=nearest.model,
        budget_flops=nearest.budget_flops,
        status=nearest.status,
        no_surface=surface.status if surface else None,
    )
    return _Guess(nearest.best_base_lr), None, (note,)


def _guessed(log: Interval | None) -> _Guess:
    if log is None:
        return _Guess()
    return _Guess(log.exponential.estimate, log.exponential)
