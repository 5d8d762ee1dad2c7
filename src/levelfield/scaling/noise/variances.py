"""How noisy the runs of every cell may be: a level and a trend in compute for every family.

Families need not be equally noisy, nor is a family at every budget: pooled over a study, many calm seeds of one would
vouch for the few noisy ones of the other. So the ln variance of one run is a line in ln compute, one a family; the
levels of families are alike as far as the study shows it. The variances that the seeds leave plausible are drawn, and
what rests on them is as uncertain as they are.

Estimated: σ_i², the variance of the ln loss of one run in every cell i. Assumed: runs are independent and their ln
losses normal, so that ν_i s_i² / σ_i² is chi-square with ν_i degrees of freedom; in family f

    ln σ_i² = a_f + b_f x_i,    a_f ~ N(a, κ²),

x_i being ln compute from -1/2 to 1/2 over the study. Beforehand a is flat over the grid of levels, b_f likely as
``_BELIEF`` says, and κ one of ``_APART``. The posterior is summed on the grid and drawn from; nothing is iterated.
Source: a ln variance that is linear in covariates, Harvey, "Estimating regression models with multiplicative
heteroscedasticity", Econometrica 44, 1976; variances drawn towards one another, Smyth, "Linear models and empirical
Bayes methods", Statistical Applications in Genetics and Molecular Biology 3, 2004. Symbols:
docs/explanation/notation.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from levelfield.scaling.laws import Floats

NUM_PLAUSIBLE = 1000
TRENDS = np.linspace(-6.0, 6.0, 9)
"""b_f, changes of ln σ² over the compute of the study: noise 20 times as large at one end as at the other, at most."""
_BELIEF = np.exp(-np.abs(TRENDS) / 3) * np.where(TRENDS == 0, 8.0, 1.0)
"""How likely each b_f is beforehand: no trend counts about two in three. Chosen on benchmarks/planted_tuned.py, and
held against benchmarks/planted_held_out.py, on which nothing was chosen."""
_APART = (0.25, 0.75, 2.0)
"""κ, the sds of the families' levels a_f about a common one, equally likely beforehand. Chosen as ``_BELIEF`` was."""
_STEP = 0.25
_TAILS = (4.0, 7.0)
"""The grid of levels: its step, and how far it reaches below the calmest family and above the noisiest."""
_CALMEST = 1e-6
"""A family this much calmer than the noisiest counts as no calmer: losses that repeat to the digit measure no noise."""


def plausible_variances(
    seen: Floats, degrees: Floats, families: Sequence[str], log_compute: Floats, *, num: int = NUM_PLAUSIBLE
) -> Floats:
    """(num, cells) draws of σ², the variances of one run in every cell, from their posterior.

    ``seen`` are the cells' own variances s² with ``degrees`` of freedom ν (0 where one seed tells nothing). The draws
    are always the same, and stratified, so that few stand for many. At least one degree of freedom must be there.
    """
    generator = np.random.default_rng(0)
    names = sorted(set(families))
    of = np.array([names.index(family) for family in families])
    x = _across(log_compute)
    levels, likelihood = _likelihoods(np.where(degrees > 0, seen, 0.0), degrees, of, x)
    of_levels = likelihood.sum(axis=1)  # over trends
    given_common = np.exp(-0.5 * ((levels[:, None] - levels) / np.array(_APART)[:, None, None]) ** 2)
    given_common /= given_common.sum(axis=-1, keepdims=True)
    log_posterior = np.log(np.maximum(given_common @ of_levels.T, 1e-300)).sum(axis=-1)  # of (kappa, a), over families
    shares = (np.arange(num) + generator.random()) / num
    apart, common = _picked(np.exp(log_posterior - log_posterior.max()), shares)
    drawn = np.empty((num, len(of)))
    for family in range(len(names)):
        place = _rows_picked(of_levels[family] * given_common[apart, common], generator)
        trend = TRENDS[_rows_picked(likelihood[family][:, place].T, generator)]
        level = levels[place] + _STEP * (generator.random(num) - 0.5)
        cells = of == family
        drawn[:, cells] = np.exp(level[:, None] + trend[:, None] * x[cells])
    return drawn


def _across(log_compute: Floats) -> Floats:
    """x, ln compute from -1/2 to 1/2 over the study; all 0 where it does not vary."""
    low, high = float(np.min(log_compute)), float(np.max(log_compute))
    return (log_compute - (low + high) / 2) / max(high - low, 1e-9)


def _likelihoods(seen: Floats, degrees: Floats, of: np.ndarray, x: Floats) -> tuple[Floats, Floats]:
    """A grid of levels a_f, and the likelihood of (b_f, a_f) times the belief in b_f: (families, trends, levels).

    Up to a constant its ln is minus half the sum over the family's cells of ν_i (ln σ_i² + s_i² / σ_i²). The largest is
    1.
    """
    num = int(of.max()) + 1
    totals = np.bincount(of, degrees, num)
    means = np.bincount(of, degrees * seen, num)[totals > 0] / totals[totals > 0]
    top = max(float(means.max()), 1e-24)
    ends = np.log([max(float(means.min()), _CALMEST * top), top])
    levels = np.arange(ends[0] - _TAILS[0], ends[1] + _TAILS[1], _STEP)
    by_trend = np.zeros((num, len(TRENDS)))
    np.add.at(by_trend, of, degrees[:, None] * seen[:, None] * np.exp(-x[:, None] * TRENDS))
    tilts = np.bincount(of, degrees * x, num)[:, None] * TRENDS
    log = -0.5 * ((totals[:, None] * levels)[:, None] + tilts[..., None] + by_trend[..., None] * np.exp(-levels))
    log += np.log(_BELIEF)[:, None]
    return levels, np.exp(log - log.max(axis=(1, 2), keepdims=True))


def _picked(weights: Floats, at: Floats) -> tuple[np.ndarray, ...]:
    """Where the shares ``at`` of all of ``weights`` lie, as indices."""
    total = np.cumsum(weights)
    return np.unravel_index(np.searchsorted(total, at * total[-1]), weights.shape)


def _rows_picked(weights: Floats, generator: np.random.Generator) -> np.ndarray:
    """One place a row, by its weights, evenly over rows that are alike."""
    total = np.cumsum(weights, axis=1)
    at = generator.permutation((np.arange(len(total)) + 0.5) / len(total))[:, None]
    return (total <= at * total[:, -1:]).sum(axis=1)
