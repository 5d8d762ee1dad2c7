"""The optimiser swap: two families by two optimisers at one rung, and what each of them explains (protocol 8)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Coded
from levelfield.scaling.noise.uncertainty import HeldOutLosses, Noise, noise_of
from levelfield.scaling.optimum.tuning import tuning_status
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.verdicts import FamiliesBy, HelpsMore, OptimizersFor, Swap, SwapCell, SwapEffect
from levelfield.scaling.tables.rungs import Rung, rungs


def optimizer_swaps(
    rows: Sequence[Observation], *, held_out_losses: HeldOutLosses | None, level: float
) -> tuple[Swap, ...]:
    """One swap for every pair of families that were both run by the same two optimisers at one budget.

    Intervals hold for all effects of a swap at once (Bonferroni), on seeds pooled over its cells and shared examples.

    Raises:
        InputError: two different cells claim one place, or per-example losses do not belong to their runs.
    """
    own, swapped = rungs(rows, "winner"), rungs(rows, "swap")
    cells = {(cell.family, cell.budget_flops, cell.first.optimizer): cell for cell in (*own, *swapped)}
    found = []
    for budget in sorted({cell.budget_flops for cell in swapped}):
        families = sorted({cell.family for cell in swapped if cell.budget_flops == budget})
        for a, b in itertools.combinations(families, 2):
            optimizers = sorted({name for family, at, name in cells if at == budget and family == a})
            square = [cells.get((family, budget, name)) for family in (a, b) for name in optimizers]
            if len(optimizers) == 2 and all(square):
                found.append(_swap(rows, [cell for cell in square if cell], held_out_losses, level))
    return tuple(found)


def _swap(
    rows: Sequence[Observation], square: Sequence[Rung], held_out_losses: HeldOutLosses | None, level: float
) -> Swap:
    """``square`` holds both families by both optimisers, the optimiser changing fastest."""
    noise = noise_of(
        [cell.log_losses for cell in square],
        places=[(cell.family, cell.budget_flops) for cell in square],
        runs=[[run.run for run in cell.runs] for cell in square],
        held_out_losses=held_out_losses,
        trained_on=[cell.limiting_images for cell in square],
    )
    (a, one), (b, other) = ((square[i].family, square[i].first.optimizer) for i in (0, 3))
    weights: dict[Coded, tuple[int, ...]] = {
        FamiliesBy(a=a, b=b, optimizer=one): (1, 0, -1, 0),
        FamiliesBy(a=a, b=b, optimizer=other): (0, 1, 0, -1),
        OptimizersFor(a=one, b=other, family=a): (1, -1, 0, 0),
        OptimizersFor(a=one, b=other, family=b): (0, 0, 1, -1),
        HelpsMore(optimizer=one, a=a, b=b): (1, -1, -1, 1),
    }
    means = np.array([cell.log_loss for cell in square])
    effects = tuple(
        SwapEffect(what=what, difference=_interval(np.array(weight, dtype=float), means, noise, level, len(weights)))
        for what, weight in weights.items()
    )
    return Swap(
        budget_flops=square[0].budget_flops,
        cells=tuple(_cell(rows, cell, place, noise, level) for place, cell in enumerate(square)),
        effects=effects,
        level=level,
    )


def _interval(weights: np.ndarray, means: np.ndarray, noise: Noise, level: float, num_effects: int) -> Interval | None:
    from scipy.special import stdtrit

    if noise.seed_sd is None:
        return None
    _, degrees = noise.seed_variances(weights[None])
    critical = float(stdtrit(degrees[0], 1 - (1 - level) / 2 / num_effects))
    half = critical * float(noise.standard_errors(weights[None])[0])
    middle = float(weights @ means)
    return Interval(estimate=middle, low=middle - half, high=middle + half, level=level)


def _cell(rows: Sequence[Observation], cell: Rung, place: int, noise: Noise, level: float) -> SwapCell:
    first = cell.first
    loss = _interval(np.eye(len(noise.num_seeds))[place], np.full(len(noise.num_seeds), cell.log_loss), noise, level, 1)
    edges = cell.edges
    if first.role == "swap":
        tried = [
            row.base_lr
            for row in rows
            if row.role == "swap-search"
            and (row.family, row.budget_flops, row.variant) == (cell.family, cell.budget_flops, first.variant)
            and row.base_lr is not None
        ]
        if first.base_lr is None or not tried or tuning_status(tried, first.base_lr) != "bracketed":
            edges = ("base_lr",)
    return SwapCell(
        family=cell.family,
        optimizer=first.optimizer,
        own=first.role == "winner",
        model=first.model,
        base_lr=first.base_lr,
        num_seeds=cell.num_seeds,
        loss=None
        if loss is None
        else Interval(estimate=math.exp(loss.estimate), low=math.exp(loss.low), high=math.exp(loss.high), level=level),
        edges=edges,
    )
