"""One estimand, foretold by every law that the rows support: mean ln loss of a compute-optimal run.

Each law draws what it would say after other runs, and errs by as much as its form erred beyond its rows, here and on
other people's tables. The laws are mixed by how well they are known at one distance, the same for all budgets: so a
draw is one law all along, its loss never rises with compute, and neither does any quantile. Loss and irreducible loss
come from the same draws, so that no loss lies below the floor that is printed beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.records.codec import record
from levelfield.scaling.ladder.forms import FARTHEST, interval
from levelfield.scaling.laws import Floats
from levelfield.scaling.next.voice import Course, Voice
from levelfield.scaling.results.intervals import Interval

NUM_DRAWS = 4000
SHARPNESS = 2
"""Laws weigh by this power of 1 / variance. With 1 the draws of the worse laws make the mixture wider than its best law
(benchmarks/planted_tables.py, development set)."""
WEIGHED_AT = math.log(30)
"""The ln distance beyond the rows at which laws are weighed, or the end of the one that ends first."""


@record
class ForetoldBy:
    """What one law says alone, and the ``weight`` that it has in the headline."""

    form: str
    weight: float
    loss: Interval


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """The headline, the irreducible loss of the same draws, and what each law says alone.

    ``reach`` is the ln distance to which the table's own backtests tried one of them, 0 where it is too short for any.
    """

    loss: Interval
    irreducible: Interval
    laws: tuple[ForetoldBy, ...]
    reach: float


class Mixture:
    """All that ``voices`` say together, of every budget by the same draws.

    ``noise`` is drawn from the ln loss of one more run, (NUM_DRAWS,), the same for every law and budget.
    """

    def __init__(self, voices: Sequence[Voice], noise: Floats, *, level: float, generator: np.random.Generator) -> None:
        self.voices, self._noise, self._level = tuple(voices), noise, level
        tails = generator.standard_normal(NUM_DRAWS)
        places = generator.integers(0, 2**31, (NUM_DRAWS, len(voices)))
        farthest = max(voice.top for voice in voices) + math.log(FARTHEST)
        self._courses = [Course(voice, places[:, own], tails, farthest) for own, voice in enumerate(self.voices)]
        self.weights: Floats = _weights(self.voices)
        self._whose = generator.choice(len(voices), NUM_DRAWS, p=self.weights), np.arange(NUM_DRAWS)
        self._floors = np.stack([course.floors for course in self._courses])[self._whose]

    @property
    def reach(self) -> float:
        return max((miss.distance for voice in self.voices for miss in voice.misses), default=0.0)

    def at(self, log_compute: float) -> Mixed | None:
        """The headline at that ln compute; None where every law has ended."""
        if not any(voice.speaks(log_compute) for voice in self.voices):
            return None
        told = [course.log_loss(log_compute) for course in self._courses]
        losses = np.stack([draws for _, draws in told])[self._whose]
        # The median of losses lies above that of floors, draw by draw; a mean of the laws' own figures might not.
        middle = float(np.median(np.maximum(np.exp(losses), self._floors)))
        shares: dict[str, float] = {}
        for voice, weight in zip(self.voices, self.weights.tolist(), strict=True):
            for form, share in voice.shares(log_compute).items():
                shares[form] = shares.get(form, 0.0) + weight * share
        return Mixed(
            loss=self._measured(middle, losses, self._floors),
            irreducible=interval(float(np.median(self._floors)), self._floors, self._level),
            laws=tuple(
                ForetoldBy(
                    form=voice.form,
                    weight=shares[voice.form],
                    loss=self._measured(math.exp(own), draws, course.floors),
                )
                for voice, course, (own, draws) in zip(self.voices, self._courses, told, strict=True)
                if shares.get(voice.form, 0.0) > 0
            ),
            reach=self.reach,
        )

    def _measured(self, middle: float, log_losses: Floats, floors: Floats) -> Interval:
        """The interval of what one more run measures: never below the floor of its draw."""
        return interval(middle, np.maximum(np.exp(log_losses + self._noise), floors), self._level)


def _weights(voices: Sequence[Voice]) -> Floats:
    """Of each voice that is heard, at the distance at which all of them are weighed."""
    ends = [voice.ends for voice in voices if voice.floors is None]
    at = max(voice.top for voice in voices) + min([WEIGHED_AT, *ends])
    precision = np.array([_variance(voice, at) ** -SHARPNESS if voice.heard else 0.0 for voice in voices])
    return precision / precision.sum()


def _variance(voice: Voice, at: float) -> float:
    """Of ln loss by the law itself, before it passes over into another."""
    alone = voice.alone
    low, high = np.quantile(alone.draws(np.array([at])), [0.16, 0.84])
    return float(alone.form_sd(np.array([at]))[0]) ** 2 + ((high - low) / 2) ** 2 + 1e-12
