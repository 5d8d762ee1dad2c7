"""The laws of one family, as each foretells the best run of a budget: what the headline is mixed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MAX_EPOCHS
from levelfield.scaling.ladder.errors import covariance_of, draw_thetas, drawn_errors
from levelfield.scaling.ladder.forms import FARTHEST
from levelfield.scaling.ladder.misses import misses_of, noise_of_rows
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.next.mixture import NUM_DRAWS
from levelfield.scaling.next.voice import Curve, Passage, Voice
from levelfield.scaling.optimum.best_run import PUBLISHED_R, BestRunLaw
from levelfield.scaling.optimum.size_law import REPEATED, REPEATING
from levelfield.scaling.results.laws import LawFit
from levelfield.scaling.results.optima import SizedCells
from levelfield.scaling.results.reasons.laws import FormAskedFor, LowerEnvelope, PointsAre
from levelfield.scaling.results.reasons.predictions import ManyRepeats, RepeatsAsPublished, RepeatsUnseen

REJECTED = 0.01
"""A line goes on beyond the points unless they say at this level that it bends."""
_PLACES = 100
"""In ln compute, at which the epochs of the best run are looked at."""


class BestRunAt(NamedTuple):
    """ln size and ln examples of the best run of a budget by one law, and of its draws.

    ``epochs`` are examples over distinct ones; None where every example is fresh.
    """

    form: str
    size: float
    examples: float
    sizes: Floats
    lengths: Floats
    epochs: float | None

    @property
    def repeats(self) -> bool:
        return self.epochs is not None and self.epochs > REPEATING


class RunNoise(NamedTuple):
    """The variance of ln loss of one more run, known to so many degrees of freedom."""

    variance: float
    degrees: float


class OfSize(NamedTuple):
    """What the laws of size and examples say: their voices, the best run of the budget asked for, and notes on it.

    ``noise`` is that of one run about them. From ``once`` to ``limited`` (ln compute) the best run comes to repeat its
    distinct examples, beyond which a law of compute alone, which knows of none, is out of place; None where it never
    does.
    """

    voices: tuple[Voice, ...]
    best: BestRunAt
    notes: tuple[Reason, ...]
    noise: RunNoise
    once: float | None = None
    limited: float | None = None


def voices_of_size(
    laws: Sequence[BestRunLaw], found: SizedCells, *, budget: float, unique: float | None
) -> OfSize | None:
    """The voice of the law of size and examples with ``unique`` distinct examples, and its best run of ``budget``.

    Where a pool of distinct examples is known, the law that knows of repeats speaks at every budget: it says the same
    of fresh ones.
    """
    if not laws:
        return None
    fitted = [cell for cell in found.cells if not cell.near_chance]
    law = next((law for law in laws if law.form == REPEATED), None) if unique else None
    law = laws[0] if law is None else law
    log_compute = np.log([cell.budget_flops for cell in fitted])
    low, top = float(log_compute.min()), float(log_compute.max())
    best = _best_at(law, budget, unique)
    most_seen = max(cell.epochs or 1.0 for cell in fitted)
    once, limited = _passed(law, unique, low, top) if law.form == REPEATED and unique else (None, None)
    voice = Voice(
        form=law.form if best.repeats or not law.published else laws[0].form,
        middle=lambda x: law.best(np.exp(x), unique).loss,
        draws=lambda x: law.drawn(np.exp(x), unique).loss,
        floors=law.floors,
        low=low,
        top=top,
        misses=law.misses,
        falls_to=top,
    )
    return OfSize(
        (voice,),
        best,
        _of_repeats(law, best, most_seen),
        RunNoise(law.variance, max(1.0, len(fitted) - len(law.fit.theta))),
        once,
        limited,
    )


def _best_at(law: BestRunLaw, budget: float, unique: float | None) -> BestRunAt:
    own, drawn = law.best([budget], unique), law.drawn([budget], unique)
    size, examples = float(own.size[0]), float(own.examples[0])
    epochs = math.exp(examples) / unique if unique else None
    return BestRunAt(law.form, size, examples, drawn.size[:, 0], drawn.examples[:, 0], epochs)


def _passed(law: BestRunLaw, unique: float, low: float, top: float) -> tuple[float | None, float | None]:
    """The ln compute at which the best run comes to repeat examples, and to do so beyond what is told from fresh."""
    reach = math.log(FARTHEST)
    x = np.linspace(low - reach, top + reach, _PLACES)
    epochs = law.best(np.exp(x), unique).examples - math.log(unique)
    limits = np.log([1.0, PROTOCOL_MAX_EPOCHS])
    if epochs.max() < limits[1]:
        return None, None
    rising = np.maximum.accumulate(epochs + 1e-9 * np.arange(len(epochs)))
    once, limited = np.interp(limits, rising, x).tolist()
    return once, limited


def _of_repeats(law: BestRunLaw, best: BestRunAt, most_seen: float) -> tuple[Reason, ...]:
    if not best.repeats or best.epochs is None:
        return ()
    if law.published:
        return (RepeatsAsPublished(epochs=best.epochs, repetitions=PUBLISHED_R),)
    if best.epochs > max(PROTOCOL_MAX_EPOCHS, most_seen):
        return (RepeatsUnseen(epochs=best.epochs, most_seen=most_seen),)
    return (ManyRepeats(epochs=best.epochs),) if best.epochs > PROTOCOL_MAX_EPOCHS else ()


def voices_of_compute(
    laws: Sequence[LawFit], *, generator: np.random.Generator, of_size: OfSize | None = None
) -> tuple[Voice, ...]:
    """The voices of the laws of compute that the points do not reject, the chosen one first; alone where asked for.

    A law without a floor passes over, on the way to where its backtests end, into one that has one, else into the law
    of size. Where backtests chose to lean on late points, the form bends: then a law that does not lean is out, and how
    far it goes another way is an sd of the form's error. Where the best run comes to repeat its examples, all of them
    pass over into the law that knows of repeats.
    """
    law = next(law for law in laws if law.chosen)
    others = () if asked_for(law) else tuple(each for each in laws if each is not law and not _rejected(each, laws))
    own, *beside = (_voice(each, generator) for each in (law, *others))
    leaning = law.recency > 0 and law.spread is None
    floored = [voice for voice in beside if voice.floors is not None]
    into = next(iter(floored), None)
    if into is None and of_size is not None and not asked_for(law):
        into = of_size.voices[0]
    voices = [_passing(voice, into) for voice in (own, *beside)]
    if leaning and floored:
        hidden = [replace(into, heard=False)] if own.floors is None and into is not None else []
        voices = [replace(voices[0], bend=_bend(voices[0], floored)), *hidden]
    return tuple(_until_repeats(voice, of_size) for voice in voices)


def _passing(voice: Voice, into: Voice | None) -> Voice:
    if voice.floors is not None or into is None:
        return voice
    # Without any backtest on the way through its own rows, which both laws fit.
    start = voice.top if voice.ends > 0 else voice.low
    return replace(voice, passes=(Passage(into, start, voice.top + voice.ends),))


def _bend(voice: Voice, floored: Sequence[Voice]) -> Curve:
    """How far laws that do not lean go another way, not before the rows; on a way over into one, up to its middle."""
    until = min((passage.middle for passage in voice.passes), default=math.inf)

    def bend(x: Floats) -> Floats:
        at = np.clip(x, voice.low, until)
        return np.max([np.abs(voice.foretold(at) - each.foretold(at)) for each in floored], axis=0)

    return bend


def _until_repeats(voice: Voice, of_size: OfSize | None) -> Voice:
    if of_size is None or of_size.once is None or of_size.limited is None:
        return voice
    return replace(voice, passes=(*voice.passes, Passage(of_size.voices[0], of_size.once, of_size.limited)))


def of_envelope(law: LawFit) -> bool:
    """Whether the law goes through a cloud's envelope, whose runs are the best of what was run, not of what can be."""
    return any(isinstance(remark, PointsAre) and isinstance(remark.how, LowerEnvelope) for remark in law.remarks)


def asked_for(law: LawFit) -> bool:
    """Whether a user decided the form of the law: then no other speaks."""
    return any(isinstance(remark, FormAskedFor) for remark in law.remarks)


def noise_of(law: LawFit) -> RunNoise:
    """That of a run at the top rung, for every budget: what one more run measures must not rise by its noise alone."""
    num_rows = sum(not row.dropped for row in law.rows)
    variances = np.diag(covariance_of(law.errors, num_rows))
    top = max(range(num_rows), key=[row.compute for row in law.rows if not row.dropped].__getitem__)
    return RunNoise(float(variances[top]), law.errors.degrees_of_freedom)


def drawn_noise(noise: RunNoise, generator: np.random.Generator) -> Floats:
    """(NUM_DRAWS,) errors of ln loss."""
    scale = np.sqrt(noise.variance * noise.degrees / generator.chisquare(noise.degrees, NUM_DRAWS))
    return np.clip(generator.standard_normal(NUM_DRAWS) * scale, -3.0, 3.0)


def _rejected(law: LawFit, laws: Sequence[LawFit]) -> bool:
    """Whether the points say by an F test that ``law``, a line, has no floor that it needs."""
    floored = next((other for other in laws if other.form == "saturating" and other.recency == law.recency), None)
    if law.form != "log-log" or floored is None or not floored.objective or law.objective is None:
        return False
    from scipy.special import fdtrc

    degrees = floored.errors.degrees_of_freedom
    ratio = max(0.0, (law.objective / floored.objective - 1) * degrees)
    return bool(fdtrc(1, degrees, ratio) < REJECTED)


def _voice(law: LawFit, generator: np.random.Generator) -> Voice:
    kept = [row for row in law.rows if not row.dropped]
    log_compute, unit = np.log([row.compute for row in kept]), law.log_input_units[0]
    form, theta = LAWS[law.form], np.asarray(law.theta)
    errors = drawn_errors(noise_of_rows(law), law.errors.degrees_of_freedom, generator)
    x = (log_compute - unit)[:, None]
    thetas = draw_thetas(form, theta, x, errors, delta=law.delta, recency=law.recency)
    floors = form.named(thetas, log_units=law.log_input_units, log_loss_unit=law.log_loss_unit).get("E")
    misses = misses_of(law)
    reach = max((each.distance for each in misses), default=0.0)
    return Voice(
        form=law.form,
        middle=lambda x: form.log_loss(theta, (x - unit)[:, None]) + law.log_loss_unit,
        draws=lambda x: form.log_loss(thetas, (x - unit)[:, None]) + law.log_loss_unit,
        floors=None if floors is None else np.asarray(floors),
        low=float(log_compute.min()),
        top=math.log(law.fitted_high),
        misses=misses,
        spread=law.spread,
        ends=reach if floors is None else math.inf,
    )
