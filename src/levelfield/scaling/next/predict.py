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
from levelfield.records.study import PROTOCOL_MAX_EPOCHS
from levelfield.scaling.ladder.forms import BEYOND, FARTHEST
from levelfield.scaling.next.mixture import ForetoldBy, Mixed, Mixture
from levelfield.scaling.next.recipe import allocated, learning_rate
from levelfield.scaling.next.shipped import form_error
from levelfield.scaling.next.voices import (
    BestRunAt,
    OfSize,
    asked_for,
    drawn_noise,
    noise_of,
    of_envelope,
    voices_of_compute,
    voices_of_size,
)
from levelfield.scaling.optimum.best_run import best_run_laws
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import LawFit
from levelfield.scaling.results.optima import SizedCells
from levelfield.scaling.results.reasons.predictions import (
    AsWideAsBacktests,
    BelowTheData,
    BeyondBacktests,
    BeyondTheData,
    LawEnds,
    MixedLaws,
    NoLaw,
    NoLawToPredict,
    PassedOver,
    RepeatsIgnored,
    UniqueAssumed,
    WeighedLaw,
)
from levelfield.scaling.results.refusals import LawOf
from levelfield.units import LARGEST, SMALLEST

SAME_POOL = 1.01
"""Pools of distinct examples that differ by less are one."""
TOLD = 0.01
"""A law of less weight is not explained."""


@record
class Prediction:
    """What ``budget_flops`` should give one family.

    ``loss`` is the held-out loss, in the unit of the analysis' measure, that the best run at the budget would measure:
    its estimate is the mean of ln loss, its interval has the noise of a winner with as many seeds as the fitted ones.
    ``irreducible`` is the floor below it, of the same draws and the same for every budget; ``laws`` are what each law
    says alone, and its weight. ``params`` and ``examples`` are compute-optimal for ``unique_examples`` distinct ones
    (None where every one is fresh), ``epochs`` follows from both, and ``base_lr`` is a peak at ``Analysis.rate_batch``.
    Absent where the study does not support them; ``notes`` say why and how each was found, and a value without its
    interval is a guess. ``beyond_data`` is the budget over the top fitted one. ``base_lr_flat`` is the range of rates
    that should lose no more than one run's noise (1 % where that is unknown).
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
    irreducible: Interval | None = None
    laws: tuple[ForetoldBy, ...] = ()
    unique_examples: float | None = None


def predict(
    analysis: Analysis, *, budget: float, unique_examples: float | None = None, level: float = 0.9, seed: int = 0
) -> tuple[Prediction, ...]:
    """The prediction for every family at ``budget`` training FLOPs.

    ``unique_examples`` are the distinct ones that the run may draw on: the largest pool of the table where left out.

    Raises:
        InputError: the budget is no number of FLOPs that anybody could spend, lies more than six decades from what any
            law was fitted to, or no number of examples.
        RefusedError: no family has a law.
    """
    if not SMALLEST <= budget <= LARGEST:
        raise InputError(
            f"budget must be positive training FLOPs, between {SMALLEST:g} and {LARGEST:g}, saw {budget!r}"
        )
    if unique_examples is not None and not SMALLEST <= unique_examples <= LARGEST:
        raise InputError(
            f"unique examples must lie between {SMALLEST:g} and {LARGEST:g}, saw {unique_examples!r}: of how many "
            "distinct ones may the run draw?"
        )
    _refuse_farthest(analysis, budget)
    found = tuple(_of_family(analysis, own, float(budget), unique_examples, level, seed) for own in analysis.families)
    if not any(each.laws for each in found) and not any(law.currency == "flops" for law in analysis.laws):
        reasons = [why for refusal in analysis.refusals if isinstance(refusal.what, LawOf) for why in refusal.why]
        raise RefusedError(NoLawToPredict(why=tuple(dict.fromkeys(reasons))))
    return found


def _refuse_farthest(analysis: Analysis, budget: float) -> None:
    """A budget so far away is another unit, or a question that no runs answer."""
    ends = _ends([law for law in analysis.laws if law.currency == "flops"], None)
    ends += [end for cells in analysis.sized for end in _ends((), cells)]
    if ends and not min(ends) / FARTHEST <= budget <= max(ends) * FARTHEST:
        raise InputError(
            f"a budget of {budget:.3g} FLOPs lies more than {math.log10(FARTHEST):.0f} decades from the runs, which "
            f"took {min(ends):.3g} to {max(ends):.3g}: is it in FLOPs? No law is known to hold so far"
        )


def _of_family(
    analysis: Analysis, family: str, budget: float, unique: float | None, level: float, seed: int
) -> Prediction:
    laws = [law for law in analysis.laws if law.family == family and law.currency == "flops"]
    cells = next((each for each in analysis.sized if each.family == family), None)
    of_size, pool = None, unique
    if cells is not None:
        pool = cells.unique_examples if unique is None else unique
        fitted = best_run_laws(dataclasses.replace(cells, unique_examples=pool), np.random.default_rng([seed, 4]))
        of_size = voices_of_size(fitted, cells, budget=budget, unique=pool)
    stream = np.random.default_rng([seed, 3])
    (headline,) = predicted_losses(laws, [budget], level=level, generator=stream, of_size=of_size)
    winners = [winner for winner in analysis.winners if winner.family == family]
    best = of_size.best if of_size else None
    params, examples, told = allocated(analysis, family, winners, best, budget=budget, level=level)
    base_lr, flat, of_rate = learning_rate(analysis, family, params.value, examples.value, level)
    ends = _ends(laws, cells) if headline.loss else []
    beyond = budget / max(ends) if ends else None
    epochs = examples.value / pool if examples.value and pool else None
    return Prediction(
        family=family,
        budget_flops=budget,
        loss=headline.loss,
        params=params.value,
        params_interval=params.interval,
        examples=examples.value,
        examples_interval=examples.interval,
        epochs=epochs,
        base_lr=base_lr.value,
        base_lr_interval=base_lr.interval,
        base_lr_flat=flat,
        beyond_data=beyond,
        notes=(*_far(budget, ends), *headline.notes, *told, *_of_examples(cells, unique, epochs, best), *of_rate),
        irreducible=headline.irreducible,
        laws=headline.laws,
        unique_examples=pool,
    )


def _ends(laws: Sequence[LawFit], cells: SizedCells | None) -> list[float]:
    """Budgets of which the smallest and the largest are the ends of what was fitted."""
    ends = [end for law in laws for end in (law.fitted_low, law.fitted_high)]
    return ends + [cell.budget_flops for cell in (cells.cells if cells else ())]


def _far(budget: float, ends: Sequence[float]) -> tuple[Reason, ...]:
    """That ``budget`` lies far from what was fitted, in either direction."""
    if not ends:
        return ()
    if budget > BEYOND * max(ends):
        return (BeyondTheData(reach=BEYOND, times=budget / max(ends)),)
    return (BelowTheData(reach=BEYOND, times=min(ends) / budget),) if budget * BEYOND < min(ends) else ()


def _of_examples(
    cells: SizedCells | None, given: float | None, epochs: float | None, best: BestRunAt | None
) -> tuple[Reason, ...]:
    """Which distinct examples the epochs count, where a table has several pools, and whether a law knows repeats."""
    notes: list[Reason] = []
    if given is None and cells is not None and cells.unique_examples and epochs is not None:
        pools = [cell.examples / cell.epochs for cell in cells.cells if cell.epochs]
        if max(pools) > SAME_POOL * min(pools):
            notes.append(UniqueAssumed(unique_examples=cells.unique_examples))
    if epochs is not None and epochs > PROTOCOL_MAX_EPOCHS and not (best and best.repeats):
        notes.append(RepeatsIgnored(epochs=epochs))
    return tuple(notes)


class Headline(NamedTuple):
    """The loss of one budget, the floor below it, what each law says alone, and what must be known; None without."""

    loss: Interval | None
    irreducible: Interval | None
    laws: tuple[ForetoldBy, ...]
    notes: tuple[Reason, ...]


def predicted_losses(
    laws: Sequence[LawFit],
    budgets: Sequence[float],
    *,
    level: float,
    generator: np.random.Generator,
    of_size: OfSize | None = None,
) -> tuple[Headline, ...]:
    """The loss that the laws of one family foretell at every one of ``budgets``, ``of_size`` at the same.

    Draws are the same for all budgets, and none of them rises with compute.
    """
    asked = any(asked_for(law) for law in laws if law.chosen)
    heard = None if asked else of_size
    voices = list(heard.voices) if heard else []
    if laws and not (heard and of_envelope(laws[0])):
        voices += voices_of_compute(laws, generator=generator, of_size=heard)
    if not voices:
        return tuple(Headline(None, None, (), (NoLaw(),)) for _ in budgets)
    # The same for all: what scatters least about its law is nearest to the noise of a run.
    known = [noise_of(law) for law in laws] + ([of_size.noise] if of_size else [])
    mixture = Mixture(voices, drawn_noise(min(known), generator), level=level, generator=generator)
    return tuple(_headline(mixture, laws, math.log(budget), of_size) for budget in budgets)


def _headline(mixture: Mixture, laws: Sequence[LawFit], x: float, of_size: OfSize | None) -> Headline:
    found = mixture.at(x)
    if found is None:
        return Headline(None, None, (), (LawEnds(reach=math.exp(max(voice.ends for voice in mixture.voices))),))
    distance = max(0.0, *(x - voice.top for voice in mixture.voices))
    notes = (*_notes(found, laws, distance), *_passed_over(mixture), *(of_size.notes if of_size else ()))
    return Headline(found.loss, found.irreducible, found.laws, notes)


def _passed_over(mixture: Mixture) -> tuple[Reason, ...]:
    """Which law without a floor passes over into which, where it counts for anything."""
    return tuple(
        PassedOver(form=voice.form, into=voice.passes[0].into.form, reach=math.exp(voice.passes[0].end - voice.top))
        for voice, weight in zip(mixture.voices, mixture.weights, strict=True)
        if voice.floors is None and voice.passes and weight >= TOLD
    )


def _notes(found: Mixed, laws: Sequence[LawFit], distance: float) -> tuple[Reason, ...]:
    """How the headline came about, and how far beyond all backtests it lies."""
    notes: list[Reason] = []
    if len(found.laws) > 1:
        notes.append(MixedLaws(laws=tuple(WeighedLaw(form=each.form, weight=each.weight) for each in found.laws)))
    spread = next((law.spread for law in laws if law.chosen), None)
    if spread is not None and distance > 0:
        reach = math.exp(spread.farthest) if distance > spread.farthest else None
        return (*notes, AsWideAsBacktests(num_curves=spread.num_curves, reach=reach))
    shipped = max(form_error(each.form).farthest for each in found.laws)
    if distance > max(found.reach, 0.0) and distance > 0:
        reach = math.exp(found.reach) if found.reach else None
        notes.append(BeyondBacktests(reach=reach, shipped=math.exp(shipped), times=math.exp(distance)))
    return tuple(notes)
