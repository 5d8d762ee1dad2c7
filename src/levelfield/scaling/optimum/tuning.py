"""Learning rates: the tuning curve of every cell, and how far its best value can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

from levelfield.records.observation import Observation
from levelfield.scaling.results.optima import LearningRateCell, TuningStatus
from levelfield.scaling.tables.rungs import grouped


def learning_rate_cells(rows: Sequence[Observation]) -> tuple[LearningRateCell, ...]:
    """One tuning curve a (family, budget, model, variant), from search and audit runs with a known base rate.

    Cells that differ from the recipe in another searched axis are listed where more than one rate was tried, with
    that axis as their variant. Several runs at one rate count by their mean ln loss.
    """
    tuned = (row for row in rows if row.role in ("search", "audit") and row.base_lr is not None)
    cells = []
    for (family, budget, model, variant), runs in grouped(
        tuned, attrgetter("family", "budget_flops", "model", "variant")
    ).items():
        curve = {rate: _mean_loss(same) for rate, same in sorted(grouped(runs, attrgetter("base_lr")).items())}
        if variant and len(curve) < 2:
            continue
        best = min(curve, key=lambda rate: (curve[rate], rate))
        first = runs[0]
        cells.append(
            LearningRateCell(
                family=family,
                model=model,
                variant=variant,
                budget_flops=budget,
                params=first.params,
                epochs=first.epochs,
                examples=first.examples,
                tried=tuple(curve.items()),
                best_base_lr=best,
                status=tuning_status(tuple(curve), best),
                audited=any(run.role == "audit" for run in runs),
            )
        )
    return tuple(cells)


def tuning_status(tried: Sequence[float], best: float) -> TuningStatus:
    """How far the best of the rates tried can be trusted.

    "bracketed": strictly inside them. "one-sided": the largest, with a smaller one tried; by the paper's rule the
    optimum falls with size and epochs, so nothing above was expected. "bound": the smallest (or the only) one.
    Source: 2310.16764, figure 3.
    """
    if min(tried) < best < max(tried):
        return "bracketed"
    return "one-sided" if best > min(tried) else "bound"


def _mean_loss(runs: Sequence[Observation]) -> float:
    """The mean over seeds at the best of the other axes that were searched."""
    settings = grouped(runs, attrgetter("axes")).values() if runs[0].axes else [runs]
    return min(math.exp(sum(math.log(run.loss) for run in same) / len(same)) for same in settings)
