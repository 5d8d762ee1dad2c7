"""The smallest margin that seeds and examples can decide: for a study that has run, and for one that is planned.

"Equivalent" overall asks that the simultaneous interval of the mean, and of the trend at both ends of the range, lie
within the margin (compare.py). So the margin is a quantile of the largest reach of those intervals when the families
are equal.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.uncertainty import Noise, matrix_root
from levelfield.scaling.noise.variances import plausible_variances
from levelfield.scaling.verdicts.contrasts import (
    Band,
    Errors,
    Seconds,
    Statement,
    evidence_of,
    mean_statement,
    simultaneous_band,
    stacked,
    trend_ends,
)

POWER = 0.8
_STUDIES, _STUDY_DRAWS = 300, 199
"""Studies drawn to see how wide their intervals would be, and draws of the errors in each."""
_SECONDS_PLACES = 5


def margin_for(statements: Sequence[Statement], band: Band, *, power: float = POWER) -> float:
    """The margin that every interval of ``statements`` stays within, with ``power``, when all differences are 0.

    The noise is taken as known for the errors, and as estimated anew (with its degrees of freedom) for the widths.
    """
    weights, timed = stacked(statements)
    evidence, noise = band.evidence, band.evidence.noise
    generator = np.random.default_rng(0)
    num_draws = len(evidence.loss_errors)
    errors = _normal_errors(noise, generator, num_draws) + evidence.regret.draws(generator, num_draws)
    errors = errors @ weights.T + evidence.clock_errors @ timed.T
    others = noise.example_variances(weights) + evidence.seconds.variances(timed) + evidence.regret.variances(weights)
    known = evidence.errors(weights, timed)
    stretched = known.half_widths(band.inner_critical) / known.standard
    widths = stretched * np.sqrt(_seen_variances(noise, weights, generator, num_draws) + others)
    return float(np.quantile(np.max(np.abs(errors) + widths, axis=-1), power))


def seeds_for(statements: Sequence[Statement], band: Band, share: float) -> int | None:
    """How many seeds a cell shrink the widest of ``statements`` to ``share`` of its width.

    None where the report examples, the clocks or the choice of the recipe alone are wider than that.
    """
    weights, timed = stacked(statements)
    noise = band.evidence.noise
    total = band.evidence.errors(weights, timed).standard ** 2
    seeds = noise.standard_errors(weights) ** 2 - noise.example_variances(weights)
    left = share**2 * total - (total - seeds)
    if np.any(left <= 0):
        return None
    return math.ceil(float(np.max(noise.num_seeds) * np.max(seeds / left)))


def _seen_variances(noise: Noise, weights: Floats, generator: np.random.Generator, num: int) -> Floats:
    """(num, contrasts) variances through seeds as other studies alike would see them, by the rule of ``Noise``."""
    degrees = noise.degrees_of_freedom
    variances, _ = noise.seed_variances(weights)
    if noise.shared is not None:
        return generator.chisquare(degrees, (num, 1)) / degrees * variances
    free = np.maximum(noise.num_seeds - 1, 1e-9)
    squares = generator.chisquare(free, (num, len(free)))
    elsewhere = generator.chisquare(degrees - free.sum(), (num, 1)) if degrees > free.sum() + 0.5 else 0.0
    pooled = (squares.sum(axis=-1, keepdims=True) + elsewhere) / degrees * variances
    own = (squares / free * noise.run_sds**2 / noise.num_seeds) @ (weights**2).T
    return np.maximum(pooled, own)


@dataclass(frozen=True, kw_only=True)
class PlannedNoise:
    """The noise of a study that is planned: two families, ``num_rungs`` rungs and ``num_seeds`` seeds a winner.

    ``seed_sd`` is the sd of ln loss between seeds; ``example_sd`` the sd over ``num_examples`` report examples of the
    paired difference of relative per-example losses, alike at every rung. Where it is ``timed``, there are as many
    places of equal seconds; with ``controls`` an A/A control a family. ``level`` is that of the intervals shown.
    """

    seed_sd: float
    num_seeds: int
    example_sd: float
    num_examples: int
    num_rungs: int = 1
    timed: bool = True
    controls: bool = True
    level: float = 0.9


def smallest_decidable_margin(noise: PlannedNoise, *, power: float = POWER) -> float:
    """The smallest margin, in ln loss, within which a planned study of two equal families is called equivalent.

    Infinite with one seed.
    """
    if noise.num_seeds < 2:
        return math.inf
    reach = [
        np.max(np.abs(errors) + widths.half_widths(band.inner_critical), axis=-1)
        for errors, widths, band in _studies(noise)
    ]
    return float(np.quantile(np.concatenate(reach), power))


def smallest_decidable_gap(noise: PlannedNoise, *, power: float = POWER) -> float:
    """The smallest difference of two families over all rungs, in ln loss, that a planned study calls "better".

    Infinite with one seed.
    """
    if noise.num_seeds < 2:
        return math.inf
    needed = [widths.half_widths(band.outer_critical)[0] - errors[:, 0] for errors, widths, band in _studies(noise)]
    return float(np.quantile(np.concatenate(needed), power))


def _studies(planned: PlannedNoise) -> Iterator[tuple[Floats, Errors, Band]]:
    """Studies as planned, drawn over and over: errors of the overall difference and of the trend's ends, how widely
    those would be judged, and by which band."""
    num_rungs, num_cells = planned.num_rungs, 2 * (planned.num_rungs + planned.controls)
    family = np.arange(num_cells) % 2
    at_rungs = [_difference(np.eye(num_rungs)[rung], num_cells) for rung in range(num_rungs)]
    asked = [*at_rungs, mean_statement(at_rungs)]
    if planned.timed and num_rungs > 1:
        asked += _between_rungs(num_rungs, num_cells)
    if planned.controls:
        middle = num_rungs // 2
        for side in (0, 1):
            weights = np.zeros(num_cells)
            weights[[2 * num_rungs + side, 2 * middle + side]] = 1.0, -1.0
            asked.append(_statement(weights))
    weights, clocks = stacked((mean_statement(at_rungs), *trend_ends(at_rungs)))
    rung = np.append(np.repeat(np.arange(num_rungs), 2), np.full(2 * planned.controls, num_rungs // 2))
    generator, free = np.random.default_rng(1), np.full(num_cells, planned.num_seeds - 1.0)
    for _ in range(_STUDIES):
        seen = planned.seed_sd**2 * generator.chisquare(free) / free
        noise = Noise(
            num_seeds=np.full(num_cells, float(planned.num_seeds)),
            seed_sd=planned.seed_sd,
            degrees_of_freedom=float(free.sum()),
            run_variances=plausible_variances(seen, free, [str(side) for side in family], rung.astype(float)),
            cell_variances=seen,
            example_covariance=(family[:, None] == family) * planned.example_sd**2 / planned.num_examples / 2,
        )
        seconds = Seconds(sd=0.0, num_runs=np.ones(num_cells))
        evidence = evidence_of(np.zeros(num_cells), noise, seconds, generator, num_draws=_STUDY_DRAWS)
        band = simultaneous_band(asked, evidence, level=planned.level)
        alike = dataclasses.replace(noise, run_variances=np.full((1, num_cells), planned.seed_sd**2))
        errors = _normal_errors(alike, generator, _STUDY_DRAWS) @ weights.T
        yield errors, evidence.errors(weights, clocks), band


def _normal_errors(noise: Noise, generator: np.random.Generator, num: int) -> Floats:
    """(num, cells) errors of the cells when the noise is exactly what was estimated."""
    covariance = noise.covariance(np.arange(len(noise.num_seeds)))
    assert covariance is not None  # a band exists only where the noise is known
    return generator.standard_normal((num, len(covariance))) @ matrix_root(covariance).T


def _between_rungs(num_rungs: int, num_cells: int) -> list[Statement]:
    """The places of equal seconds, as if both families' clocks ran alike, and their mean."""
    at = np.linspace(0, num_rungs - 1, _SECONDS_PLACES)
    shares = np.maximum(0.0, 1 - np.abs(at[:, None] - np.arange(num_rungs)))
    between = [_difference(share, num_cells) for share in shares]
    return [*between, mean_statement(between)]


def _difference(shares: Floats, num_cells: int) -> Statement:
    """Family a less family b, their rungs (cells 0, 2, ... and 1, 3, ...) weighted by ``shares``."""
    weights = np.zeros(num_cells)
    weights[0 : 2 * len(shares) : 2], weights[1 : 2 * len(shares) : 2] = shares, -shares
    place = 1.0 + float(np.argmax(shares))
    return _statement(weights, math.exp(place))


def _statement(weights: Floats, place: float = 1.0) -> Statement:
    return Statement(a="a", b="b", place=place, weights=weights, seconds_weights=np.zeros_like(weights))
