"""One estimand, foretold by every law that the rows support: mean ln loss of a compute-optimal run.

Each law draws what it would say after other runs, and errs by as much as its form erred beyond its rows, here and on
other people's tables. The laws are mixed by how well they are known at the distance asked for, and loss and irreducible
loss come from the same draws, so that no loss lies below the floor that is printed beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.records.codec import record
from levelfield.scaling.ladder.forms import interval
from levelfield.scaling.ladder.misses import Miss
from levelfield.scaling.laws import Floats
from levelfield.scaling.next.form_slope import form_slope
from levelfield.scaling.results.intervals import Interval

NUM_DRAWS = 4000
SHARPNESS = 2
"""Laws weigh by this power of 1 / variance. With 1 the draws of the worse laws make the mixture wider than its best law
(benchmarks/planted_tables.py, development set)."""


@record
class ForetoldBy:
    """What one law says alone, and the ``weight`` that it has in the headline."""

    form: str
    weight: float
    loss: Interval


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One law at one budget: its ln loss, the same after other runs, the floor of each of those, and its backtests.

    ``spread_sd`` replaces the error of its form where a table's own curves are many enough to tell it. ``ends`` is the
    ln distance at which the law ends: without a floor it cannot go on. ``bend_sd`` is what the rows themselves show of
    the form's error: that it bends.
    """

    form: str
    middle: float
    draws: Floats
    floors: Floats
    distance: float
    misses: tuple[Miss, ...] = ()
    spread_sd: float | None = None
    ends: float = math.inf
    bend_sd: float = 0.0

    @property
    def form_sd(self) -> float:
        """The sd of ln loss by which the form is wrong at this distance."""
        if self.spread_sd is not None:
            return self.spread_sd
        return math.hypot(self.distance * form_slope(self.form, self.misses), self.bend_sd)

    @property
    def variance(self) -> float:
        low, high = np.quantile(self.draws, [0.16, 0.84])
        return self.form_sd**2 + ((high - low) / 2) ** 2 + 1e-12


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """The headline, the irreducible loss of the same draws, and what each law says alone.

    ``reach`` is the ln distance to which the table's own backtests tried one of them, 0 where it is too short for any.
    """

    loss: Interval
    irreducible: Interval
    laws: tuple[ForetoldBy, ...]
    reach: float


def mixed(voices: Sequence[Voice], noise: Floats, *, level: float, generator: np.random.Generator) -> Mixed | None:
    """What ``voices`` say together; None where every one of them has ended.

    ``noise`` is drawn from the ln loss of one more run, (NUM_DRAWS,), the same for every law.
    """
    voices = [voice for voice in voices if voice.distance <= voice.ends]
    if not voices:
        return None
    precision = np.array([voice.variance**-SHARPNESS for voice in voices])
    weights = precision / precision.sum()
    tails = generator.standard_normal(NUM_DRAWS)
    places = generator.integers(0, [len(voice.draws) for voice in voices], (NUM_DRAWS, len(voices)))
    losses, floors = np.empty((2, len(voices), NUM_DRAWS))
    for own, voice in enumerate(voices):
        wrong = np.clip(voice.form_sd * tails, -3.0, 3.0)
        floors[own] = voice.floors[places[:, own]] * np.exp(wrong)
        losses[own] = voice.draws[places[:, own]] + wrong
    whose = generator.choice(len(voices), NUM_DRAWS, p=weights), np.arange(NUM_DRAWS)
    # The median of losses lies above that of floors, draw by draw; a mean of the laws' own figures might not.
    middle = float(np.median(np.exp(losses[whose])))
    return Mixed(
        loss=_measured(middle, losses[whose], floors[whose], noise, level),
        irreducible=interval(float(np.median(floors[whose])), floors[whose], level),
        laws=tuple(
            ForetoldBy(
                form=voice.form,
                weight=float(weights[own]),
                loss=_measured(math.exp(voice.middle), losses[own], floors[own], noise, level),
            )
            for own, voice in enumerate(voices)
        ),
        reach=max((miss.distance for voice in voices for miss in voice.misses), default=0.0),
    )


def _measured(middle: float, log_losses: Floats, floors: Floats, noise: Floats, level: float) -> Interval:
    """The interval of what one more run measures: never below the floor of its draw."""
    return interval(middle, np.maximum(np.exp(log_losses + noise), floors), level)
