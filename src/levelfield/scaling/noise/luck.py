"""The luck of the best: what the minimum over a search promises too much, where no fresh seed measured it again.

The best of k noisy cells is chosen partly for its luck. How much depends on how close the others came: k equal cells
give the mean of the smallest of k normals, a clear winner gives nothing. So the search is run again inside: true losses
are sought whose noisy searches would on average look, place by place, like the one that was seen, and in those the
true loss of the winner is held against what the search said of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from levelfield.records.observation import Observation
from levelfield.scaling.laws import Floats
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.verdicts import LuckLeftOn, LuckTakenOff, OneCellTried
from levelfield.scaling.results.verdicts import Optimism
from levelfield.scaling.tables.rungs import grouped_by, having, replicates

NUM_SEARCHES = 400
_ITERATIONS = 20
_FAR = 8.0
"""A cell so many sds behind the best wins no rerun, and a long tail of them only costs time."""
LEFT_OVER = 1.15
"""sd of a corrected loss about the truth, in sds of one run: 0.8 (equal cells) to 1.15 (one clear winner). With it 90 %
intervals cover 90-92 % (benchmarks/results/planted_studies_cpu_202611.md)."""


def selection_optimism(log_losses: Floats, run_sd: Floats | float, generator: np.random.Generator) -> float:
    """How far the smallest of ``log_losses``, one a cell, lies below the true ln loss of its cell, on average.

    ``run_sd`` is the sd of each cell's ln loss. Never negative; 0 for a single cell.
    """
    seen, errors = _reruns(log_losses, run_sd, generator)
    truth = seen.copy()
    for _ in range(_ITERATIONS):
        truth = np.sort(truth + seen - np.sort(truth + errors, axis=-1).mean(axis=0))
    searched = truth + errors
    return max(0.0, float(np.mean(truth[np.argmin(searched, axis=-1)] - searched.min(axis=-1))))


def selection_regrets(log_losses: Floats, run_sd: Floats | float, generator: np.random.Generator) -> Floats:
    """How far the cell that a rerun of the search chooses lies above the best one, in ln loss, one a rerun.

    The losses seen are taken for the true ones. Spread by noise, these are further apart, which errs towards wide
    intervals where many cells are alike and is about right where they are not.
    """
    seen, errors = _reruns(log_losses, run_sd, generator)
    return seen[np.argmin(seen + errors, axis=-1)] - seen[0]


def _reruns(log_losses: Floats, run_sd: Floats | float, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """The losses in rising order, without those too far behind to win, and (reruns, cells) errors of other searches."""
    order = np.argsort(log_losses, kind="stable")
    seen, sd = log_losses[order], np.broadcast_to(run_sd, log_losses.shape)[order]
    near = seen <= seen[0] + _FAR * float(sd.max())
    seen, sd = seen[near], sd[near]
    half = generator.standard_normal((NUM_SEARCHES // 2, len(seen))) * sd
    return seen, np.concatenate([half, -half])


def best_of_searches(
    rows: Sequence[Observation],
    family: str,
    best: Sequence[Observation],
    *,
    seed_sd: float | None,
    degrees_of_freedom: float,
    level: float,
    generator: np.random.Generator,
) -> tuple[Optimism, ...]:
    """The optimism of each of ``best``, the winners of a search of ``family`` that no fresh seeds measured.

    Without ``seed_sd``, the sd of one run's ln loss, it is named but not corrected.
    """
    searched = grouped_by(having(having(rows, "family", family), "role", "search"), "budget_flops")
    return tuple(
        _optimism(run, searched[run.budget_flops], seed_sd, degrees_of_freedom, level, generator) for run in best
    )


def cell_means(runs: Sequence[Observation]) -> tuple[Floats, Floats]:
    """The mean ln loss of every cell among ``runs`` of one budget, and how many runs each has."""
    if set(map(attrgetter("base_lr", "params", "cluster", "seed"), runs)) == {(None, None, "", 0)}:  # no two are alike
        return np.array([math.log(run.loss) for run in runs]), np.ones(len(runs))
    cells = replicates(runs, "model", "examples", "params")
    losses = [[math.log(run.loss) for run in same] for same in cells]
    return np.array([sum(cell) / len(cell) for cell in losses]), np.array([len(cell) for cell in losses], dtype=float)


def _optimism(
    run: Observation,
    runs: Sequence[Observation],
    seed_sd: float | None,
    degrees: float,
    level: float,
    generator: np.random.Generator,
) -> Optimism:
    from scipy.special import stdtrit

    means, counts = cell_means(runs)
    seen = float(means.min())
    corrected, optimism = None, None
    if len(means) == 1:
        status = OneCellTried()
        optimism = 0.0 if seed_sd is not None else None
    elif seed_sd is None:
        status = LuckLeftOn(num=len(means), most_sds=expected_smallest(len(means)))
    else:
        optimism = selection_optimism(means, seed_sd / np.sqrt(counts), generator)
        status = LuckTakenOff(num=len(means))
    if seed_sd is not None and optimism is not None:
        spread = 1.0 if len(means) == 1 else LEFT_OVER
        half = float(stdtrit(degrees, (1 + level) / 2)) * spread * seed_sd / math.sqrt(counts[int(np.argmin(means))])
        ends = (math.exp(seen + optimism + side * half) for side in (0, -1, 1))
        estimate, low, high = ends
        corrected = Interval(estimate=estimate, low=low, high=high, level=level)
    return Optimism(
        family=run.family,
        budget_flops=run.budget_flops,
        num_tried=len(means),
        loss=math.exp(seen),
        corrected=corrected,
        optimism=optimism,
        status=status,
    )


def expected_smallest(num: int) -> float:
    """How far below its mean the smallest of ``num`` standard normals lies on average, by Blom's formula (1958)."""
    from scipy.special import ndtri

    return -float(ndtri((1 - 0.375) / (num + 0.25)))
