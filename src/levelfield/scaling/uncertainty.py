"""Noise: how much a loss would have differed with other seeds and other held-out images.

Three seeds are too few for a bootstrap of three, so the spread of seeds is pooled over all cells of a study and drawn
with its own uncertainty (a scaled chi-square, which makes every interval a t interval); the held-out images are
resampled together for all runs, so that what they share cancels in differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import InputError
from levelfield.records.observation import Observation
from levelfield.scaling.analysis import Interval

Floats = NDArray[np.float64]
HeldOutLosses = Mapping[str, NDArray[np.float32]]

NUM_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class SeedNoise:
    """The pooled standard deviation of ln loss between seeds, and its degrees of freedom."""

    sd: float
    degrees_of_freedom: int


@dataclass(frozen=True, kw_only=True)
class MeasuredCell:
    """One cell measured on some seeds."""

    family: str
    budget_flops: float
    runs: tuple[Observation, ...]

    @property
    def mean_loss(self) -> float:
        return float(np.mean([run.loss for run in self.runs]))


def pooled_seed_noise(cells: Sequence[MeasuredCell]) -> SeedNoise | None:
    """The spread of ln loss within cells of at least two seeds, pooled; None where there is no such cell."""
    logs = [np.log([run.loss for run in cell.runs]) for cell in cells if len(cell.runs) > 1]
    freedom = sum(len(log) - 1 for log in logs)
    if freedom == 0:
        return None
    squares = sum(float(((log - log.mean()) ** 2).sum()) for log in logs)
    return SeedNoise(sd=math.sqrt(squares / freedom), degrees_of_freedom=freedom)


def draw_log_losses(
    cells: Sequence[MeasuredCell],
    noise: SeedNoise | None,
    held_out: HeldOutLosses,
    *,
    rng: np.random.Generator,
    num_draws: int = NUM_DRAWS,
) -> Floats:
    """Plausible ln losses of ``cells`` ``[num_draws, num_cells]``, jointly: runs x held-out examples resampled.

    Cells without per-example losses carry seed noise only.

    Raises:
        InputError: runs were judged on different numbers of examples.
    """
    centre = np.log([cell.mean_loss for cell in cells])
    draws = np.tile(centre, (num_draws, 1))
    if noise is not None:
        chi_square = rng.chisquare(noise.degrees_of_freedom, size=(num_draws, 1)) / noise.degrees_of_freedom
        spread = noise.sd / np.sqrt([len(cell.runs) for cell in cells])
        draws += rng.standard_normal(draws.shape) * spread / np.sqrt(chi_square)
    return draws + _example_noise(cells, held_out, rng, num_draws)


def _example_noise(
    cells: Sequence[MeasuredCell], held_out: HeldOutLosses, rng: np.random.Generator, num_draws: int
) -> Floats:
    """Shifts of ln loss from resampling the held-out examples, the same examples for every cell.

    The mean of thousands of examples is normal to a fraction of its error, so the joint resample is drawn from the
    covariance of the cells' means over examples instead of re-adding every example for every draw.
    """
    shifts = np.zeros((num_draws, len(cells)))
    judged = [i for i, cell in enumerate(cells) if all(run.run in held_out for run in cell.runs)]
    if not judged:
        return shifts
    sizes = {len(held_out[run.run]) for i in judged for run in cells[i].runs}
    if len(sizes) > 1:
        raise InputError(f"all runs must be judged on the same held-out examples, saw sets of {sorted(sizes)}")
    each = np.stack([np.mean([held_out[run.run] for run in cells[i].runs], axis=0, dtype=np.float64) for i in judged])
    each = each[:, np.isfinite(each).all(axis=0)]  # masked examples are NaN
    relative = each / each.mean(axis=1, keepdims=True) - 1.0
    covariance = np.atleast_2d(relative @ relative.T) / each.shape[1] ** 2
    root = _square_root(covariance)
    shifts[:, judged] = rng.standard_normal((num_draws, len(judged))) @ root.T
    return shifts


def interval(estimate: float, draws: Floats, level: float) -> Interval:
    """The percentile interval of ``draws`` around ``estimate``."""
    tail = (1.0 - level) / 2
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Interval(estimate=estimate, low=min(float(low), estimate), high=max(float(high), estimate), level=level)


def smallest_decidable_margin(
    *,
    seed_sd: float,
    num_seeds: int,
    example_sd: float,
    num_examples: int,
    level: float = 0.9,
    power: float = 0.8,
) -> float:
    """The smallest margin, in ln loss, at which equal families at one rung come out equivalent with ``power``.

    ``seed_sd`` is the spread of ln loss between seeds, ``example_sd`` that of the paired difference of loss over
    examples, relative to the loss. Source: power of two one-sided tests at a true difference of zero.
    """
    from scipy.stats import norm

    error = math.sqrt(2 * seed_sd**2 / num_seeds + example_sd**2 / num_examples)
    return float(error * (norm.ppf((1 + level) / 2) + norm.ppf((1 + power) / 2)))


def _square_root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0.0, None))
