"""What a finer search would still have gained: an optimum that lies between the values tried shows at no edge.

Estimated: the mean of μ at the best value tried above the minimum of a parabola through it and its neighbours, along
each axis and summed. With D = l₋ + l₊ - 2 l₀, the second difference about the best of values a step apart, the loss x
steps away from the optimum is D x² / 2; the optimum is anywhere within half a step: D / 24 on average. l₀ is taken
without its luck (luck.py), which would bend any curve. Assumed: the curve is convex, so that the two lowest of the
other values are the neighbours. Symbols: docs/explanation/notation.md.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence

from levelfield.records.observation import Observation

_MEAN_SHARE = 1 / 24
"""E[x²] / 2 of x uniform within half a step."""


def hidden_loss(runs: Sequence[Observation], luck: float) -> float:
    """ln loss that a finer search of one family at one budget would still have gained, on average, from its ``runs``.

    ``luck`` is how far the best of them lies below its own mean. 0 along an axis of which fewer than three values were
    tried about the best.
    """
    losses = {_place(run): math.log(run.loss) for run in sorted(runs, key=lambda run: -run.loss)}
    if not losses:
        return 0.0
    best = min(losses, key=lambda place: losses[place])
    return _MEAN_SHARE * max(0.0, sum(each - 2 * luck for each in _second_differences(losses, best)))


_Place = tuple[Hashable, Hashable, frozenset[tuple[str, str]]]


def _place(run: Observation) -> _Place:
    """Where a run stands: size, rate and the other axes."""
    return (run.params if run.params is not None else run.model), run.base_lr, moved_axes(run)


def moved_axes(run: Observation) -> frozenset[tuple[str, str]]:
    """The axes beside size and rate that differ from the recipe's default, and where they stand, by name."""
    pairs = (pair.partition("=") for pair in (run.variant or "").split(",") if pair)
    return frozenset((name, value) for name, _, value in pairs)


def _second_differences(losses: Mapping[_Place, float], best: _Place) -> Iterator[float]:
    size, rate, moved = best
    along: dict[str, list[float]] = {}
    by_size: dict[Hashable, float] = {}
    for (other_size, other_rate, other_moved), loss in losses.items():
        if other_moved != moved:
            differing = {name for name, _ in other_moved ^ moved}
            if other_size == size and other_rate == rate and len(differing) == 1:
                along.setdefault(differing.pop(), []).append(loss)
        elif other_size != size:
            by_size[other_size] = min(loss, by_size.get(other_size, math.inf))
        elif other_rate != rate:
            along.setdefault("", []).append(loss)
    for others in (*along.values(), list(by_size.values())):
        if len(others) >= 2:
            first, second, *_ = sorted(others)
            yield first + second - 2 * losses[best]
