"""The declared grid that a learning rate is searched on."""

from __future__ import annotations

import functools
import math

from levelfield.records.errors import expect
from levelfield.records.stated import stated

LOWEST_RATE, HIGHEST_RATE = 1e-12, 1e4
"""Learning rates beyond train nothing, or nothing that stays finite."""
MOST_RATES = 32


@stated
class LearningRateGrid:
    """A factor-2 grid of base learning rates from ``low`` to ``high`` through ``start``.

    A base learning rate is the peak at a global batch of 256; the peak of a run is
    ``base_lr * (global_batch_size / 256) ** lr_batch_exponent``.
    """

    low: float
    start: float
    high: float

    def __post_init__(self) -> None:
        rising = LOWEST_RATE <= self.low <= self.start <= self.high <= HIGHEST_RATE
        expect(rising, "base_lr", f"{LOWEST_RATE:g} <= low <= start <= high <= {HIGHEST_RATE:g}", self)
        for name in ("low", "high"):
            octaves = math.log2(getattr(self, name) / self.start)
            on_grid = abs(octaves - round(octaves)) < 1e-6
            expect(on_grid, f"base_lr.{name}", "start times a power of two", getattr(self, name))
        expect(len(self.values) <= MOST_RATES, "base_lr", f"a grid of at most {MOST_RATES} rates", len(self.values))

    @functools.cached_property
    def values(self) -> tuple[float, ...]:
        below = round(math.log2(self.start / self.low))
        above = round(math.log2(self.high / self.start))
        return tuple(self.start * 2.0**octave for octave in range(-below, above + 1))

    @property
    def start_index(self) -> int:
        return round(math.log2(self.start / self.low))
