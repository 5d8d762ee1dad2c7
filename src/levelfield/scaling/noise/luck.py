"""The luck of the best: what the minimum over a search promises too much, where no fresh seed measured it again.

The best of k noisy cells is chosen partly for its luck. How much depends on how close the others came: k equal cells
give the mean of the smallest of k normals, a clear winner gives nothing. So the search is run again inside: true losses
are sought whose noisy searches would on average look, place by place, like the one that was seen, and in those the
true loss of the winner is held against what the search said of it.

Estimated: the optimism o = E[μ_c - ȳ_c] of the cell c with the smallest ȳ, over searches like this one; what is told of
the winner is ȳ_c + o. Assumed: the ȳ_i of a search are independent and normal about their μ_i, with sds σ_i / √n_i that
are known; the order statistics of the search are what they are on average (a method of moments on order statistics).
The method is our own: shrinking towards a common mean would need the μ_i to be alike, which a search makes them not.
Its kin is the optimism that a bootstrap finds by choosing again: Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 17. How much luck it leaves is measured on planted searches. Symbols:
docs/explanation/notation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.laws import Floats
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.verdicts import LuckLeftOn, LuckTakenOff, OneCellTried
from levelfield.scaling.results.verdicts import Optimism
from levelfield.scaling.tables.rows import Rows, having
from levelfield.scaling.tables.rungs import replicates

NUM_SEARCHES = 400
_ITERATIONS = 20
_FAR = 8.0
"""A cell so many sds behind the best wins no rerun, and a long tail of them only costs time."""
CORRECTED_SDS = 1.15
"""sd of a corrected loss ȳ_c + o about μ_c, in sds of the winner's ȳ_c: 0.8 (equal cells) to 1.15 (one clear winner).
Chosen on the tables of benchmarks/planted_tuned.py, and held against those of benchmarks/planted_held_out.py."""


def selection_optimism(log_losses: Floats, run_sd: Floats | float, generator: np.random.Generator) -> float:
    """o: how far the smallest of ``log_losses`` ȳ, one a cell, lies below the true ln loss μ of its cell, on average.

    ``run_sd`` is the sd of each ȳ_i. Never negative; 0 for a single cell. By fixed-point steps in the ordered μ:
    μ_(k) += ȳ_(k) - E[k-th smallest of a search of μ], with the same errors at every step; then o is the mean of
    μ_c - ȳ_c over those searches.
    """
    seen, errors = _reruns(log_losses, run_sd, generator)
    truth = seen.copy()
    for _ in range(_ITERATIONS):
        expected = np.sort(truth + errors, axis=-1).mean(axis=0)
        truth = np.sort(truth + seen - expected)
    searched = truth + errors
    return max(0.0, float(np.mean(truth[np.argmin(searched, axis=-1)] - searched.min(axis=-1))))


def selection_regrets(log_losses: Floats, run_sd: Floats | float, generator: np.random.Generator) -> Floats:
    """How far the cell that a rerun of the search chooses lies above the best one, μ_c - min μ, one a rerun.

    A parametric bootstrap that takes the ȳ seen for the μ. Spread by noise, these are further apart, which errs towards
    wide intervals where many cells are alike and is about right where they are not.
    """
    seen, errors = _reruns(log_losses, run_sd, generator)
    return seen[np.argmin(seen + errors, axis=-1)] - seen[0]


def _reruns(log_losses: Floats, run_sd: Floats | float, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """The losses in rising order, without those too far behind to win, and (reruns, cells) errors of other searches.

    The second half of the errors mirrors the first: means over reruns then have no error of first order.
    """
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
    searched = having(having(rows, "family", family), "role", "search").grouped_by("budget_flops")
    return tuple(
        _optimism(run, searched[run.budget_flops], seed_sd, degrees_of_freedom, level, generator) for run in best
    )


def cell_means(runs: Sequence[Observation]) -> tuple[Floats, Floats]:
    """The mean ln loss of every cell among ``runs`` of one budget, and how many runs each has."""
    rows = Rows.of(runs)
    cells = replicates(rows, "model", "examples", "params", "cluster")
    return rows.means(cells), np.bincount(cells).astype(float)


def _optimism(
    run: Observation,
    runs: Sequence[Observation],
    seed_sd: float | None,
    degrees: float,
    level: float,
    generator: np.random.Generator,
) -> Optimism:
    means, counts = cell_means(runs)
    optimism, status = _luck(means, counts, seed_sd, generator)
    corrected = None
    if seed_sd is not None and optimism is not None:
        sds = 1.0 if len(means) == 1 else CORRECTED_SDS
        spread = sds * seed_sd / math.sqrt(counts[int(np.argmin(means))])
        corrected = _around(float(means.min()) + optimism, spread, degrees, level)
    return Optimism(
        family=run.family,
        budget_flops=run.budget_flops,
        num_tried=len(means),
        loss=math.exp(float(means.min())),
        corrected=corrected,
        optimism=optimism,
        status=status,
    )


def _luck(
    means: Floats, counts: Floats, seed_sd: float | None, generator: np.random.Generator
) -> tuple[float | None, Reason]:
    """o of the best of cells with these ``means`` over ``counts`` runs, None where it is unknown, and what that is."""
    if len(means) == 1:
        return (None if seed_sd is None else 0.0), OneCellTried()
    if seed_sd is None:
        return None, LuckLeftOn(num=len(means), most_sds=expected_smallest(len(means)))
    return selection_optimism(means, seed_sd / np.sqrt(counts), generator), LuckTakenOff(num=len(means))


def _around(log_loss: float, sd: float, degrees: float, level: float) -> Interval:
    """The loss whose ln is ``log_loss``, with its t interval."""
    from scipy.special import stdtrit

    half = float(stdtrit(degrees, (1 + level) / 2)) * sd
    estimate, low, high = (math.exp(log_loss + side * half) for side in (0, -1, 1))
    return Interval(estimate=estimate, low=low, high=high, level=level)


def expected_smallest(num: int) -> float:
    """How far below its mean the smallest of ``num`` standard normals lies on average.

    Source: Blom, "Statistical Estimates and Transformed Beta-Variables", 1958.
    """
    from scipy.special import ndtri

    return -float(ndtri((1 - 0.375) / (num + 0.25)))
