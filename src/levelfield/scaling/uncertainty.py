"""The noise of a winner's loss: runs x held-out examples, in ln loss.

The ln loss of a cell is the mean over its seeds. Two things make it uncertain. Another seed would give another loss:
that variance is pooled over every cell with two seeds or more, and its few degrees of freedom are carried along (three
seeds alone would give intervals far too narrow). Another report set would give another loss: the covariance of cells
through their shared examples is that of their relative per-example losses, so what families find hard alike cancels.
Together they are the normal limit of resampling runs x examples (a test holds them to the slow bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import InputError
from levelfield.scaling.laws import Floats

MIN_EFFECTIVE_EXAMPLES = 100
"""Below this many, a handful of examples carries the loss and no normal limit holds (plain digits: five of 360)."""
PerExample: TypeAlias = NDArray[np.floating]
HeldOutLosses: TypeAlias = Mapping[str, PerExample]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The errors of the ln losses of some cells, with ``num_seeds`` runs each.

    ``seed_sd`` is the pooled sd of one run with ``degrees_of_freedom``; None where no cell has two seeds.
    ``cell_variances`` are the cells' own variances of one run (nan with one seed). ``example_covariance`` is the
    (cells, cells) covariance through the finite report set; None where per-example losses are absent.
    """

    num_seeds: Floats
    seed_sd: float | None
    degrees_of_freedom: float
    cell_variances: Floats
    example_covariance: Floats | None

    def covariance(self, places: Sequence[int]) -> Floats | None:
        """The covariance of the mean ln losses of the cells at ``places``; None without seed noise."""
        if self.seed_sd is None:
            return None
        index = np.asarray(places, dtype=int)
        seeds = np.diag(self.seed_sd**2 / self.num_seeds[index])
        return seeds if self.example_covariance is None else seeds + self.example_covariance[np.ix_(index, index)]

    def standard_errors(self, weights: Floats) -> Floats:
        """Standard errors of linear contrasts, ``weights`` being (contrasts, cells).

        The seeds' part is the larger of the pooled one and of what the contrast's own cells show, so that one noisy
        rung is not judged by its calm neighbours.
        """
        pooled = np.sum(weights**2 * (self.seed_sd or 0.0) ** 2 / self.num_seeds, axis=-1)
        own = np.sum(weights**2 * np.nan_to_num(self.cell_variances) / self.num_seeds, axis=-1)
        known = np.all((weights == 0) | np.isfinite(self.cell_variances), axis=-1)
        seeds = np.where(known, np.maximum(pooled, own), pooled)
        return np.sqrt(seeds + self.example_variances(weights))

    def example_variances(self, weights: Floats) -> Floats:
        """The variances of contrasts through the finite report set; 0 where it is unknown."""
        if self.example_covariance is None:
            return np.zeros(len(weights))
        return np.maximum(np.einsum("kc,cd,kd->k", weights, self.example_covariance, weights), 0.0)

    def draws(self, generator: np.random.Generator, num: int) -> Floats:
        """(num, cells) plausible errors of the cells: normal runs whose scale is itself uncertain, normal examples."""
        scale = np.sqrt(self.degrees_of_freedom / generator.chisquare(self.degrees_of_freedom, (num, 1)))
        runs = generator.standard_normal((num, len(self.num_seeds))) * scale * (self.seed_sd or 0.0)
        errors = runs / np.sqrt(self.num_seeds)
        if self.example_covariance is not None:
            errors += generator.standard_normal(errors.shape) @ matrix_root(self.example_covariance).T
        return errors


def noise_of(
    log_losses: Sequence[Sequence[float]],
    *,
    runs: Sequence[Sequence[str]] = (),
    held_out_losses: HeldOutLosses | None = None,
    other_groups: Sequence[Sequence[float]] = (),
) -> Noise:
    """The noise of cells from the ln losses of their seeds; ``runs`` are the seeds' keys in ``held_out_losses``.

    ``other_groups`` are further groups of seeds of one cell each, which only inform the pooled sd. Per-example losses
    are used when every run has them.

    Raises:
        InputError: per-example losses of different lengths, or that do not average to their run's loss.
    """
    seed_sd, degrees = pooled_sd([*log_losses, *other_groups])
    variances = [float(np.var(cell, ddof=1)) if len(cell) > 1 else math.nan for cell in log_losses]
    examples = None
    if runs and held_out_losses and all(run in held_out_losses for cell in runs for run in cell):
        _check_held_out(log_losses, runs, held_out_losses)
        examples = example_covariance([[held_out_losses[run] for run in cell] for cell in runs])
    return Noise(
        num_seeds=np.array([len(cell) for cell in log_losses], dtype=float),
        seed_sd=seed_sd,
        degrees_of_freedom=degrees,
        cell_variances=np.array(variances),
        example_covariance=examples,
    )


def pooled_sd(groups: Sequence[Sequence[float]]) -> tuple[float | None, float]:
    """The sd of one run within groups, and its degrees of freedom: sum of squares over sum of (n - 1)."""
    squares = sum(float(np.var(group)) * len(group) for group in groups if len(group) > 0)
    degrees = float(sum(len(group) - 1 for group in groups if len(group) > 0))
    if degrees == 0:
        return None, 0.0
    return max(math.sqrt(squares / degrees), 1e-12), degrees


def example_covariance(cells: Sequence[Sequence[PerExample]]) -> Floats:
    """The covariance of the cells' mean ln losses through their shared examples.

    Each run's per-example losses are taken relative to its own mean. What seeds disagree on example by example is
    already in the variance between seeds, so it is taken off the diagonal (the ANOVA of a crossed design).
    """
    num_examples = len(cells[0][0])
    profiles = np.empty((len(cells), num_examples))
    interaction = np.zeros(len(cells))
    for place, runs in enumerate(cells):
        relative = np.stack([np.asarray(run, dtype=np.float64) / np.mean(run, dtype=np.float64) for run in runs])
        profiles[place] = relative.mean(axis=0) - 1
        if len(runs) > 1:
            interaction[place] = relative.var(axis=0, ddof=1).mean() / len(runs)
    covariance = profiles @ profiles.T / (num_examples - 1) / num_examples
    covariance[np.diag_indices(len(cells))] -= interaction / num_examples
    return covariance


def effective_examples(losses: PerExample) -> float:
    """How many equal examples would carry this loss: (sum l)^2 / sum l^2."""
    wide = np.asarray(losses, dtype=np.float64)
    return float(wide.sum() ** 2 / np.sum(wide**2))


def smallest_decidable_margin(
    *,
    seed_sd: float,
    num_seeds: int,
    example_sd: float,
    num_examples: int,
    level: float = 0.9,
    power: float = 0.8,
    num_rungs: int = 1,
) -> float:
    """The smallest margin, in ln loss, within which equal families are called equivalent at a rung with ``power``.

    ``seed_sd`` is the sd of ln loss between seeds; ``example_sd`` the sd over examples of the paired difference of
    relative per-example losses. Seeds are pooled over ``num_rungs`` rungs of two families, and the interval is
    simultaneous over them and their mean (Bonferroni). Infinite with one seed.
    """
    from scipy.special import ndtri, stdtrit

    degrees = 2 * (num_seeds - 1) * num_rungs
    if degrees <= 0:
        return math.inf
    statements = num_rungs + 1 if num_rungs > 1 else 1
    critical = float(stdtrit(degrees, 1 - (1 - level) / 2 / statements))
    error = math.sqrt(2 * seed_sd**2 / num_seeds + example_sd**2 / num_examples)
    return (critical + float(ndtri((1 + power) / 2))) * error


def matrix_root(covariance: Floats) -> Floats:
    """R with R R' = covariance; negative eigenvalues, which estimates may have, count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _check_held_out(
    log_losses: Sequence[Sequence[float]], runs: Sequence[Sequence[str]], held_out_losses: HeldOutLosses
) -> None:
    lengths = {len(held_out_losses[run]) for cell in runs for run in cell}
    if len(lengths) > 1 or min(lengths) < 2:
        raise InputError(f"held_out_losses must cover the same examples for every run, saw lengths {sorted(lengths)}")
    for cell_losses, cell_runs in zip(log_losses, runs, strict=True):
        for log_loss, run in zip(cell_losses, cell_runs, strict=True):
            mean = float(np.mean(held_out_losses[run], dtype=np.float64))
            if not abs(mean - math.exp(log_loss)) <= 0.01 * math.exp(log_loss):
                raise InputError(
                    f"held_out_losses of run {run!r} average {mean:.5g}, but its loss is {math.exp(log_loss):.5g}: "
                    "they must be the per-example losses of that very evaluation"
                )
