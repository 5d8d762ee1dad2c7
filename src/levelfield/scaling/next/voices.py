"""The laws of one family, as each foretells the best run of a budget: what the headline is mixed from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MAX_EPOCHS
from levelfield.scaling.ladder.conformal import half_width
from levelfield.scaling.ladder.errors import covariance_of, draw_thetas, drawn_errors
from levelfield.scaling.ladder.forms import has_floor
from levelfield.scaling.ladder.misses import misses_of, noise_of_rows
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.next.mixture import NUM_DRAWS, Voice
from levelfield.scaling.optimum.best_run import PUBLISHED_R, BestRunLaw
from levelfield.scaling.optimum.size_law import REPEATED, REPEATING
from levelfield.scaling.results.laws import LawFit
from levelfield.scaling.results.optima import SizedCells
from levelfield.scaling.results.reasons.laws import FormAskedFor, LowerEnvelope, PointsAre
from levelfield.scaling.results.reasons.predictions import ManyRepeats, RepeatsAsPublished, RepeatsUnseen

REJECTED = 0.01
"""A line goes on beyond the points unless they say at this level that it bends."""
_NORMAL = 1.6449
"""Sds of a normal from its middle to the end of a 90 % interval."""


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
    """What the laws of size and examples say at one budget: their voices, the best run, and what must be known.

    ``noise`` is that of one run about them.
    """

    voices: tuple[Voice, ...]
    best: BestRunAt
    notes: tuple[Reason, ...]
    noise: RunNoise

    @property
    def limited(self) -> bool:
        """Whether distinct examples are so few that a law of compute alone, which knows of none, is out of place."""
        return self.best.epochs is not None and self.best.epochs > PROTOCOL_MAX_EPOCHS


def voices_of_size(
    laws: Sequence[BestRunLaw], found: SizedCells, *, budget: float, unique: float | None
) -> OfSize | None:
    """The voices of the laws of size and examples at ``budget`` with ``unique`` distinct examples.

    A law that takes a repeated example for a new one says nothing of a run that repeats them.
    """
    if not laws:
        return None
    fitted = [cell for cell in found.cells if not cell.near_chance]
    distance = max(0.0, math.log(budget / max(cell.budget_flops for cell in fitted)))
    said = [(law, *_at(law, budget, unique, distance)) for law in laws]
    repeated = next((best for law, best, _ in said if law.form == REPEATED), None)
    repeats = repeated is not None and repeated.repeats
    heard = [each for each in said if (each[0].form == REPEATED if repeats else not each[0].published)]
    law, best, _ = heard[-1] if repeats else heard[0]
    most_seen = max(cell.epochs or 1.0 for cell in fitted)
    return OfSize(
        tuple(voice for _, _, voice in heard),
        best,
        _of_repeats(law, best, most_seen),
        RunNoise(law.variance, max(1.0, len(fitted) - len(law.fit.theta))),
    )


def _at(law: BestRunLaw, budget: float, unique: float | None, distance: float) -> tuple[BestRunAt, Voice]:
    own, drawn = law.best([budget], unique)
    size, examples = float(own.size[0]), float(own.examples[0])
    epochs = math.exp(examples) / unique if unique else None
    best = BestRunAt(law.form, size, examples, drawn.size[:, 0], drawn.examples[:, 0], epochs)
    voice = Voice(
        form=law.form,
        middle=float(own.loss[0]),
        draws=drawn.loss[:, 0],
        floors=law.floors,
        distance=distance,
        misses=law.misses,
    )
    return best, voice


def _of_repeats(law: BestRunLaw, best: BestRunAt, most_seen: float) -> tuple[Reason, ...]:
    if not best.repeats or best.epochs is None:
        return ()
    if law.published:
        return (RepeatsAsPublished(epochs=best.epochs, repetitions=PUBLISHED_R),)
    if best.epochs > max(PROTOCOL_MAX_EPOCHS, most_seen):
        return (RepeatsUnseen(epochs=best.epochs, most_seen=most_seen),)
    return (ManyRepeats(epochs=best.epochs),) if best.epochs > PROTOCOL_MAX_EPOCHS else ()


def voices_of_compute(laws: Sequence[LawFit], *, budget: float, generator: np.random.Generator) -> tuple[Voice, ...]:
    """The voices of the laws of compute that the points do not reject, the chosen one first; alone where asked for.

    Where backtests chose to lean on late points, the form bends: then a law that does not lean is out, and how far it
    goes another way is an sd of the form's error.
    """
    law = next(law for law in laws if law.chosen)
    others = () if asked_for(law) else tuple(each for each in laws if each is not law and not _rejected(each, laws))
    own = _voice(law, budget, generator)
    beside = [_voice(each, budget, generator) for each in others]
    if law.recency == 0 or law.spread is not None:
        return (own, *beside)
    floored = [voice for each, voice in zip(others, beside, strict=True) if has_floor(each.form)]
    bend = max((abs(voice.middle - own.middle) for voice in floored), default=0.0)
    return (dataclasses.replace(own, bend_sd=bend), *(floored if own.distance > own.ends else ()))


def of_envelope(law: LawFit) -> bool:
    """Whether the law goes through a cloud's envelope, whose runs are the best of what was run, not of what can be."""
    return any(isinstance(remark, PointsAre) and isinstance(remark.how, LowerEnvelope) for remark in law.remarks)


def asked_for(law: LawFit) -> bool:
    """Whether a user decided the form of the law: then no other speaks."""
    return any(isinstance(remark, FormAskedFor) for remark in law.remarks)


def noise_of(law: LawFit, budget: float) -> RunNoise:
    """That of a run at ``budget``: as noisy as the rungs beside it, or as the top one where it lies beyond."""
    compute = np.log([row.compute for row in law.rows if not row.dropped])
    variances = np.diag(covariance_of(law.errors, len(compute)))
    return RunNoise(float(np.interp(math.log(budget), compute, variances)), law.errors.degrees_of_freedom)


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


def _voice(law: LawFit, budget: float, generator: np.random.Generator) -> Voice:
    kept = [row for row in law.rows if not row.dropped]
    log_compute, unit = np.log([row.compute for row in kept]), law.log_input_units[0]
    form, theta = LAWS[law.form], np.asarray(law.theta)
    x, at = (log_compute - unit)[:, None], np.array([[math.log(budget) - unit]])
    errors = drawn_errors(noise_of_rows(law), law.errors.degrees_of_freedom, generator)
    thetas = draw_thetas(form, theta, x, errors, delta=law.delta, recency=law.recency)
    floors = form.named(thetas, log_units=law.log_input_units, log_loss_unit=law.log_loss_unit).get("E")
    misses = misses_of(law)
    distance = max(0.0, math.log(budget / law.fitted_high))
    reach = max((each.distance for each in misses), default=0.0)
    return Voice(
        form=law.form,
        middle=float(form.log_loss(theta, at)[0]) + law.log_loss_unit,
        draws=form.log_loss(thetas, at)[:, 0] + law.log_loss_unit,
        floors=np.zeros(len(thetas)) if floors is None else np.asarray(floors),
        distance=distance,
        misses=misses,
        spread_sd=float(half_width(law.spread, distance)) / _NORMAL if law.spread and distance else None,
        ends=reach if floors is None else math.inf,
    )
