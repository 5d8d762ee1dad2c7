"""The recipe of a budget: optimal size and examples, the epochs that follow from them, and the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS
from levelfield.scaling.ladder.forms import interval
from levelfield.scaling.laws import LAWS
from levelfield.scaling.next.voices import BestRunAt
from levelfield.scaling.optimum.isoflop import line, optima
from levelfield.scaling.optimum.rates import rate_at
from levelfield.scaling.results.analysis import Analysis, Winner
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import LearningRateCell
from levelfield.scaling.results.reasons.optima import SizesDoNotCost
from levelfield.scaling.results.reasons.predictions import (
    GrownFromWinner,
    RateFromSurface,
    RateOfNearestCell,
    RateOutside,
    RateUnknown,
    SizeByLaw,
    SizeUnknown,
)


class Proposed(NamedTuple):
    """A value, and its interval where one is known."""

    value: float | None = None
    interval: Interval | None = None


def allocated(
    analysis: Analysis,
    family: str,
    winners: Sequence[Winner],
    best: BestRunAt | None,
    *,
    budget: float,
    level: float,
) -> tuple[Proposed, Proposed, tuple[Reason, ...]]:
    """Optimal params and examples: from the lines through the vertices, else by the law of size and examples.

    Lines know nothing of repeated examples, so where the best run sees them again the law counts first; where there is
    neither, the nearest winner's shape is grown.
    """
    status = next((each.status for each in analysis.allocations if each.family == family), None)
    if isinstance(status, SizesDoNotCost):
        return Proposed(), Proposed(), (status,)
    budgets, sizes, examples = optima(analysis.isoflop, family)
    if len(budgets) >= MIN_BUDGETS and not (best and best.repeats):
        at = math.log(budget)
        size, seen = (_guessed(line(budgets, y, level=level, at=at)[0]) for y in (sizes, examples))
        return size, seen, ()
    known = [w for w in winners if w.params and w.examples]
    if best is not None and (best.repeats or not known):
        size, seen = (
            _guessed(interval(float(middle), drawn, level))
            for middle, drawn in ((best.size, best.sizes), (best.examples, best.lengths))
        )
        return size, seen, (SizeByLaw(equation=LAWS[best.form].equation),)
    if not known:
        return Proposed(), Proposed(), (SizeUnknown(),)
    nearest = min(known, key=lambda w: abs(math.log(w.budget_flops / budget)))
    # Without a measured exponent, size and examples grow alike with compute (2310.16764, section 3).
    growth = math.sqrt(budget / nearest.budget_flops)
    size, seen = (Proposed(value * growth if value else None) for value in (nearest.params, nearest.examples))
    return size, seen, (GrownFromWinner(budget_flops=nearest.budget_flops),)


def learning_rate(
    analysis: Analysis, family: str, params: float | None, examples: float | None, level: float
) -> tuple[Proposed, tuple[float, float] | None, tuple[Reason, ...]]:
    """The base rate and its flat range from the surface over size and examples, else the nearest cell's rate."""
    cells = [cell for cell in analysis.learning_rates if cell.family == family and not cell.variant]
    known = [cell for cell in cells if cell.params and cell.examples]
    if not known or params is None or examples is None:
        return Proposed(), None, (RateUnknown(),)
    surface = next((each for each in analysis.rate_surfaces if each.family == family), None)
    found = surface and rate_at(surface, params, examples, level=level)
    if surface and found:
        notes: tuple[Reason, ...] = (RateFromSurface(surface=surface.status, tolerance=surface.tolerance),)
        tried = [rate for cell in known for rate, _ in cell.tried]
        if not min(tried) <= found.best.estimate <= max(tried):
            notes += (RateOutside(low=min(tried), high=max(tried)),)
        return Proposed(found.best.estimate, found.best), found.flat, notes
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
    return Proposed(nearest.best_base_lr), None, (note,)


def _guessed(log: Interval | None) -> Proposed:
    if log is None:
        return Proposed()
    return Proposed(log.exponential.estimate, log.exponential)
