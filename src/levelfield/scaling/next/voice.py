"""One law as a voice of the headline: curves over all compute, one a draw, along which loss never rises.

A draw is a law as other runs would have given it and one error of its form. Who has more compute may spend less of it,
so wherever the error of a form would lift a draw's loss again, it goes on level. A law that holds no farther than some
compute passes over into another on the way there; value and slope are continuous.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.ladder.conformal import half_width
from levelfield.scaling.ladder.forms import FARTHEST
from levelfield.scaling.ladder.misses import Miss
from levelfield.scaling.laws import Floats
from levelfield.scaling.next.form_slope import form_slope
from levelfield.scaling.results.laws import Spread

Curve: TypeAlias = Callable[[Floats], Floats]
"""Of ln compute (n,), along the last axis."""
MOST_WRONG = 3.0
"""The error of a form is kept within so much ln loss."""
_STEP = 0.35
"""ln compute between the places at which a draw's lowest loss so far is noted."""
_NORMAL = 1.6449
"""Sds of a normal from its middle to the end of a 90 % interval."""


class Passage(NamedTuple):
    """The way from a law to the one ``into`` which it passes over, between two places in ln compute."""

    into: Voice
    start: float
    end: float

    def share(self, x: Floats) -> Floats:
        """What the first law counts for: 1 before the passage and 0 after it, smoothly."""
        if not self.end > self.start:
            return (x < self.start).astype(float)
        way = np.clip((x - self.start) / (self.end - self.start), 0.0, 1.0)
        return 1 - way**2 * (3 - 2 * way)

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One law of all compute: ln loss by the fit, (n,), and by its draws, (draws, n), and the floor of each draw.

    ``low`` and ``top`` are the ln compute of its first and last rows. ``spread`` replaces the error of its form where
    a table's own curves are many enough to tell it; ``bend`` is what the rows themselves show of that error, as an sd:
    that it bends. ``ends`` is the ln distance at which the law ends, since it has no floor, unless it ``passes`` over
    into another, one after the other. One that is not ``heard`` is only passed into. ``falls_to`` is the ln compute up
    to which every draw is known to fall without being looked at; None where it may rise anywhere.
    """

    form: str
    middle: Curve
    draws: Curve
    floors: Floats | None
    low: float
    top: float
    misses: tuple[Miss, ...] = ()
    spread: Spread | None = None
    bend: Curve | None = None
    ends: float = math.inf
    passes: tuple[Passage, ...] = ()
    heard: bool = True
    falls_to: float | None = None

    @property
    def alone(self) -> Voice:
        """The same law, as if it passed over into no other."""
        return replace(self, passes=())

    def distance(self, x: Floats) -> Floats:
        return np.maximum(x - self.top, 0.0)

    def speaks(self, x: float) -> bool:
        """Whether the law says anything at that ln compute."""
        return bool(self.passes) or x <= self.top + self.ends

    def form_sd(self, x: Floats) -> Floats:
        """The sd of ln loss by which the form is wrong, the way to another law included."""
        if self.spread is not None:
            own = half_width(self.spread, self.distance(x)) / _NORMAL
        else:
            own = self.distance(x) * form_slope(self.form, self.misses)
        for passage in self.passes:
            share = passage.share(x)
            own = share * own + (1 - share) * passage.into.form_sd(x)
        return own if self.bend is None else np.hypot(own, self.bend(x))

    def foretold(self, x: Floats) -> Floats:
        """ln loss by the fit, (n,)."""
        own = self.middle(x)
        for passage in self.passes:
            share = passage.share(x)
            own = share * own + (1 - share) * passage.into.foretold(x)
        return own

    def drawn(self, x: Floats, places: NDArray[np.intp]) -> Floats:
        """ln loss by the draws at ``places``, (places, n), counted round where a law has fewer."""
        own = self.draws(x)
        own = own[places % len(own)]
        for passage in self.passes:
            share = passage.share(x)
            beyond = np.flatnonzero(share < 1)
            if beyond.size:
                into = passage.into.drawn(x[beyond], places)
                own[:, beyond] = share[beyond] * own[:, beyond] + (1 - share[beyond]) * into
        return own

    def floors_of(self, places: NDArray[np.intp]) -> Floats:
        """The floors of those draws: the lower one where a draw passes over into another, 0 without any."""
        own = np.full(len(places), np.inf) if self.floors is None else self.floors[places % len(self.floors)]
        for passage in self.passes:
            own = np.minimum(own, passage.into.floors_of(places))
        return np.where(np.isfinite(own), own, 0.0)

    def shares(self, x: float) -> dict[str, float]:
        """The forms of which the voice is made at that ln compute, and what each counts for."""
        found = {self.form: 1.0}
        for passage in self.passes:
            share = float(passage.share(np.array([x]))[0])
            found = {form: share * own for form, own in found.items()}
            for form, own in passage.into.shares(x).items():
                found[form] = found.get(form, 0.0) + (1 - share) * own
        return {form: own for form, own in found.items() if own > 0}

    def nodes(self, farthest: float) -> Floats:
        """The ln compute, up to ``farthest`` at least, at which the lowest loss so far is noted."""
        start = self.low - math.log(FARTHEST) if self.falls_to is None else self.falls_to
        return start + _STEP * np.arange(math.ceil((farthest - start) / _STEP) + 1, dtype=np.float64)


class Course:
    """Draws of one voice over all compute, none of which rises; ``fit`` is the fit's own, as a draw without error."""

    def __init__(self, voice: Voice, places: NDArray[np.intp], tails: Floats, farthest: float) -> None:
        self._voice, self._places, self._tails = voice, places, tails
        self._nodes = voice.nodes(farthest)
        self._lowest = np.minimum.accumulate(self._at(self._nodes), axis=1)
        wrong = self._wrong(self._nodes[-1:])[:-1, 0]
        floors = voice.floors_of(places) * np.exp(wrong)
        self.floors = np.minimum(floors, np.exp(self._lowest[:-1, -1]))
        """(draws,) the irreducible loss of each draw."""

    def log_loss(self, x: float) -> tuple[float, Floats]:
        """ln loss at ln compute ``x``, by the fit and by every draw."""
        own, place = self._at(np.array([x]))[:, 0], int(np.searchsorted(self._nodes, x, side="right"))
        if place > 0:
            own = np.minimum(own, self._lowest[:, place - 1])
        if place < len(self._nodes):
            own = np.maximum(own, self._lowest[:, place])
        return float(own[-1]), own[:-1]

    def _at(self, x: Floats) -> Floats:
        """(draws and the fit, n)."""
        drawn = np.concatenate([self._voice.drawn(x, self._places), self._voice.foretold(x)[None]])
        return drawn + self._wrong(x)

    def _wrong(self, x: Floats) -> Floats:
        tails = np.append(self._tails, 0.0)
        return np.clip(self._voice.form_sd(x) * tails[:, None], -MOST_WRONG, MOST_WRONG)
