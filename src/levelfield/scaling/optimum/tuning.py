"""Learning rates: the tuning curve of every cell, and how far its best value can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.scaling.results.optima import LearningRateCell, TuningStatus
from levelfield.scaling.tables.rows import having


def learning_rate_cells(rows: Sequence[Observation]) -> tuple[LearningRateCell, ...]:
    """One tuning curve a (family, budget, model, variant), from search and audit runs with a known base rate.

    Cells that differ from the recipe in another searched axis are listed where more than one rate was tried, with
    that axis as their variant. Several runs at one rate count by their mean ln loss, at the best of the other axes that
    were searched.
    """
    searched = having(rows, "role", "search", "audit")
    tuned = searched.at(np.flatnonzero(searched.coded("base_lr").where(lambda rate: rate is not None)))
    places, first = tuned.groups(*_CELL)
    of_rate, of_first = tuned.groups(*_CELL, "base_lr", "axes")
    curves: list[dict[float, float]] = [{} for _ in first]
    told = zip(places[of_first].tolist(), tuned.at(of_first).column("base_lr"), tuned.means(of_rate), strict=True)
    for cell, rate, mean in told:
        curves[cell][rate] = min(math.exp(mean), curves[cell].get(rate, math.inf))
    audited = np.bincount(places, weights=tuned.coded("role").where("audit".__eq__)) > 0
    found = zip(tuned.at(first), curves, audited.tolist(), strict=True)
    return tuple(_cell(*each) for each in found if not each[0].variant or len(each[1]) > 1)


_CELL = ("family", "budget_flops", "model", "variant")


def _cell(first: Observation, curve: dict[float, float], audited: bool) -> LearningRateCell:
    """The tuning curve of the cell of ``first``, which holds a loss a rate."""
    best = min(curve, key=lambda rate: (curve[rate], rate))
    return LearningRateCell(
        family=first.family,
        model=first.model,
        variant=first.variant,
        budget_flops=first.budget_flops,
        params=first.params,
        epochs=first.epochs,
        examples=first.examples,
        tried=tuple(sorted(curve.items())),
        best_base_lr=best,
        status=tuning_status(tuple(curve), best),
        audited=audited,
    )


def tuning_status(tried: Sequence[float], best: float) -> TuningStatus:
    """How far the best of the rates tried can be trusted.

    "bracketed": strictly inside them. "one-sided": the largest, with a smaller one tried; by the paper's rule the
    optimum falls with size and epochs, so nothing above was expected. "bound": the smallest (or the only) one.
    Source: 2310.16764, figure 3.
    """
    if min(tried) < best < max(tried):
        return "bracketed"
    return "one-sided" if best > min(tried) else "bound"
