"""Searching one ordered axis: the single rule behind every tuned number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Ends(NamedTuple):
    """Which ends of an axis are those of what there is: half of the budget can be spent, and all of it, but no more."""

    low: bool
    high: bool


OPEN = Ends(low=False, high=False)


@dataclass(frozen=True, kw_only=True)
class LineSearch:
    """Where a search along an axis stands.

    ``best`` is None while a loss is awaited. ``status``: "bracketed" has worse neighbours on both sides; "bound"
    stopped at the grid's end or at the cap with the optimum possibly beyond; "settled" stopped there with next to
    nothing to gain beyond; "one-sided" was not searched upwards by design.
    """

    best: int | None
    status: Literal["waiting", "bracketed", "one-sided", "bound", "settled"]


def search_until_bracketed(
    num_values: int,
    start: int,
    loss_at: Callable[[int], float | None],
    *,
    cap: int,
    enough: float = 0.0,
    closed: Ends = OPEN,
) -> LineSearch:
    """Try ``start`` and its neighbours, then walk outwards until the best value has worse ones on both sides.

    ``loss_at(i)`` is the loss at grid index i, infinite for a run that diverged, None while it is awaited. At most
    ``cap`` values are tried. Beyond an end that is ``closed`` there is nothing to try. A walk settles where less than
    ``enough`` of ln loss is foreseen beyond its best (:func:`foreseen_gain`). Which values are asked for depends on the
    losses alone, never on their order of arrival.
    """
    tried: dict[int, float] = {}
    wanted = [index for index in (start, start - 1, start + 1) if 0 <= index < num_values]
    while True:
        losses = {index: loss_at(index) for index in wanted}
        if any(loss is None for loss in losses.values()):
            return LineSearch(best=None, status="waiting")
        tried.update({index: loss for index, loss in losses.items() if loss is not None})
        best = min(tried, key=lambda index: (tried[index], index))
        beyond = {-1 if closed.low else None, num_values if closed.high else None}
        outward = [index for index in (best - 1, best + 1) if index not in tried and index not in beyond]
        if not outward:
            return LineSearch(best=best, status="bracketed")
        if enough and len(outward) == 1:
            side = outward[0] - best
            last = [tried.get(best - 2 * side), tried.get(best - side), tried[best]]
            if foreseen_gain(last) < enough:
                return LineSearch(best=best, status="settled")
        wanted = [index for index in outward if 0 <= index < num_values][:1]
        if not wanted or len(tried) >= cap:
            return LineSearch(best=best, status="bound")


def foreseen_gain(losses: Sequence[float | None]) -> float:
    """What ln loss would still fall by beyond the last of three equal steps, if it goes on falling as it did.

    ``losses`` are those of the last three values, the best last. Each further step is taken to gain the same share of
    the one before as the last step did; and all of them at least the mean of the last two, since noise makes one step
    look small more easily than two. Infinite where a loss is not known, or steps gain more and more.
    """
    known = [loss for loss in losses if loss is not None and math.isfinite(loss) and loss > 0]
    if len(known) < 3:
        return math.inf
    before, last = math.log(known[0] / known[1]), math.log(known[1] / known[2])
    further = math.inf if last >= before else last * last / (before - last)
    return max(0.0, (before + last) / 2, further) if last > 0 else 0.0


def can_bracket(num_values: int, start: int, *, cap: int, closed: Ends = OPEN) -> bool:
    """Whether any losses let :func:`search_until_bracketed` end between two worse neighbours.

    Losses that fall towards one place and rise beyond lead there by the fewest trials.
    """
    ends = (
        search_until_bracketed(
            num_values, start, lambda index, best=best: float(abs(index - best)), cap=cap, closed=closed
        )
        for best in range(num_values)
    )
    return any(search.status == "bracketed" for search in ends)


def search_two(guess: int, loss_at: Callable[[int], float | None]) -> LineSearch:
    """The paper's two trials: the guess and half of it, since the optimum falls with size and epochs.

    Source: 2310.16764 section 3 ("two trials" per model and epoch budget).
    """
    candidates = [index for index in (guess, guess - 1) if index >= 0]
    losses = {index: loss_at(index) for index in candidates}
    if any(loss is None for loss in losses.values()):
        return LineSearch(best=None, status="waiting")
    best = min(candidates, key=lambda index: (losses[index], index))
    return LineSearch(best=best, status="one-sided" if best == guess else "bound")
