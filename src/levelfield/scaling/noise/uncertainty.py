"""The noise of a winner's loss: runs x held-out examples, in ln loss.

The ln loss of a cell is the mean over its seeds. Two things make it uncertain. Another seed would give another loss:
how noisy the runs of every cell may be is drawn from what all seeds of the study leave plausible (variances.py), so
that few seeds make wide intervals and no family vouches for another. Another report set would give another loss: the
covariance of cells through their shared examples is that of their relative per-example losses, so what families find
hard alike cancels. Together they are the normal limit of resampling runs x examples (a test holds them to the slow
bootstrap). Runs that share a trunk err together (components.py).

Estimated: μ_i, the expected ln loss of one run of cell i over seeds and examples, by ȳ_i, and the variance of w·ȳ for
weights w of cells. Assumed: runs are independent but for their trunk, examples are independent draws, ln losses are
normal given σ_i². Then

    Var(w·ȳ) = Σ_i w_i² σ_i² / n_i + w' Γ w

with n_i seeds and Γ the covariance through examples. Symbols: docs/explanation/notation.md.
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
from levelfield.scaling.noise.components import Shared, covariance_of_means, trunk_places, variance_components
from levelfield.scaling.noise.variances import NUM_PLAUSIBLE, plausible_variances

MIN_EFFECTIVE_EXAMPLES = 100
"""Below this many, a handful of examples carries the loss and no normal limit holds (plain digits: five of 360)."""
_ROUNDED = 1e-12
"""An eigenvalue that is negative by so little of the largest one is 0, rounded."""
POOLING_LEVEL = 0.25
"""Seeds and scatter are pooled unless an F test rejects at this level: Bozivich, Bancroft and Hartley 1956."""
_CHUNK = 500
"""Contrasts whose plausible variances are held at once."""
PerExample: TypeAlias = NDArray[np.floating]
HeldOutLosses: TypeAlias = Mapping[str, PerExample]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The errors of ȳ, the mean ln losses of some cells, with ``num_seeds`` n_i runs each.

    ``run_variances`` are (draws, cells) plausible variances σ_i² of one run, ``cell_variances`` the cells' own s_i²
    (nan with one seed). ``seed_sd`` is the sd of one run pooled over the study with ``degrees_of_freedom``; None where
    no cell has two seeds. ``example_covariance`` is Γ, (cells, cells), through the finite report set; None where
    per-example losses are absent. ``shared`` is that of the cells' means through seeds where runs share trunks, pooled;
    None where every run is its own. ``from_scatter`` says that no seed measured the noise: it is the scatter about a
    line.
    """

    num_seeds: Floats
    seed_sd: float | None
    degrees_of_freedom: float
    run_variances: Floats
    cell_variances: Floats
    example_covariance: Floats | None
    shared: Shared | None = None
    from_scatter: bool = False

    @property
    def run_sds(self) -> Floats:
        """σ_i, the sd of one run in every cell: by the harmonic mean of its plausible squares."""
        return np.sqrt(harmonic_mean(self.run_variances))

    def covariance(self, places: Sequence[int] | NDArray[np.intp]) -> Floats | None:
        """The covariance of the mean ln losses of the cells at ``places``; None without seed noise."""
        if self.seed_sd is None:
            return None
        index = np.asarray(places, dtype=int)
        if self.shared is None:
            found = np.diag((self.run_sds**2 / self.num_seeds)[index])
        else:
            found = self.shared.covariance(index)
        return found if self.example_covariance is None else found + self.example_covariance[np.ix_(index, index)]

    def positive_covariance(self, places: Sequence[int] | NDArray[np.intp]) -> Floats | None:
        """:meth:`covariance`, by which no contrast of the cells is known better than seeds alone allow.

        What is estimated of the examples may have negative eigenvalues, which count as 0 here.
        """
        found = self.covariance(places)
        if found is None or self.example_covariance is None:
            return found
        index = np.asarray(places, dtype=int)
        examples = self.example_covariance[np.ix_(index, index)]
        values = np.linalg.eigvalsh(examples)
        if values[0] >= -_ROUNDED * values[-1]:
            return found
        root = matrix_root(examples)
        return found + (root @ root.T - examples)

    def seed_variances(self, weights: Floats) -> tuple[Floats, Floats]:
        """V(w) = Σ w_i² σ_i² / n_i, the variances through seeds of linear contrasts, and their degrees of freedom ν_w.

        ``weights`` w are (contrasts, cells). Over the plausible σ² the precision 1 / V is taken for a scaled chi-square
        with its mean and variance: V is the harmonic mean, ν_w = 2 / Var(V's harmonic mean / V), as s² ν / chi-square
        would have it. Source: matching of two moments, Satterthwaite, "An approximate distribution of estimates of
        variance components", Biometrics Bulletin 2, 1946.
        """
        found = [np.empty((2, 0))]
        for start in range(0, len(weights), _CHUNK):
            variances = self._plausible(weights[start : start + _CHUNK])
            middle = harmonic_mean(variances)
            spread = np.var(middle / np.maximum(variances, 1e-300), axis=0)
            found.append(np.stack([middle, 2 / np.maximum(spread, 1e-9)]))
        variances, degrees = np.concatenate(found, axis=1)
        return variances, degrees

    def _plausible(self, weights: Floats) -> Floats:
        """(draws, contrasts) plausible variances through seeds."""
        if self.shared is None:
            used = np.any(weights != 0, axis=0)
            return self.run_variances[:, used] @ (weights[:, used] ** 2 / self.num_seeds[used]).T
        pooled = self.shared.quadratic_forms(weights)
        return self.run_variances[:, :1] / (self.seed_sd or 1.0) ** 2 * pooled

    def standard_errors(self, weights: Floats) -> Floats:
        """Standard errors of w·ȳ for ``weights`` w of (contrasts, cells): the root of V(w) + w' Γ w.

        For V(w) stands the larger of the plausible one and of Σ w_i² s_i² / n_i, what the contrast's own cells show, so
        that one noisy rung is not judged by its calm neighbours.
        """
        seeds, _ = self.seed_variances(weights)
        return np.sqrt(self.larger(seeds, weights) + self.example_variances(weights))

    def larger(self, seeds: Floats, weights: Floats) -> Floats:
        """The larger of the variances ``seeds`` of contrasts and of what their own cells show, where they do."""
        seen = np.nan_to_num(self.cell_variances)
        own = weights**2 @ (seen / self.num_seeds)
        if self.shared is not None:
            own = seeds + own - weights**2 @ ((self.seed_sd or 0.0) ** 2 / self.num_seeds)
        known = np.all((weights == 0) | np.isfinite(self.cell_variances), axis=-1)
        return np.where(known, np.maximum(seeds, own), seeds)

    def example_variances(self, weights: Floats) -> Floats:
        """w' Γ w, the variances of contrasts through the finite report set; 0 where it is unknown."""
        if self.example_covariance is None:
            return np.zeros(len(weights))
        return np.maximum(quadratic_forms(weights, self.example_covariance), 0.0)

    def draws(self, generator: np.random.Generator, num: int) -> Floats:
        """(num, cells) plausible errors of the cells: normal runs of plausible variances, normal examples."""
        sds = np.sqrt(self.run_variances[generator.integers(len(self.run_variances), size=num)])
        if self.shared is None:
            errors = generator.standard_normal((num, len(self.num_seeds))) * sds / np.sqrt(self.num_seeds)
        else:
            errors = self.shared.draws(generator, num) * (sds[:, :1] / (self.seed_sd or 1.0))
        if self.example_covariance is not None:
            errors += generator.standard_normal(errors.shape) @ matrix_root(self.example_covariance).T
        return errors


def harmonic_mean(variances: Floats) -> Floats:
    """Of every column: s² where they are plausible given s², that is distributed as s² ν / chi-square."""
    return 1 / np.mean(1 / np.maximum(variances, 1e-300), axis=0)


def common_variances(sd: float, degrees: float, num_cells: int) -> Floats:
    """Plausible variances of one run that are the same in every cell, of a pooled ``sd``."""
    from scipy.special import chdtri

    shares = (np.arange(NUM_PLAUSIBLE) + 0.5) / NUM_PLAUSIBLE
    drawn = sd**2 * degrees / np.maximum(chdtri(degrees, shares), 1e-12)
    return np.broadcast_to(drawn[:, None], (NUM_PLAUSIBLE, num_cells))


def quadratic_forms(rows: Floats, covariance: Floats) -> Floats:
    """x C x for every row x of ``rows``, (rows, cells); an einsum of three operands would not use matrix products."""
    return np.sum((rows @ covariance) * rows, axis=-1)


def noise_of(
    log_losses: Sequence[Sequence[float]],
    *,
    places: Sequence[tuple[str, float]] = (),
    runs: Sequence[Sequence[str]] = (),
    held_out_losses: HeldOutLosses | None = None,
    other_groups: Sequence[Sequence[float]] = (),
    other_places: Sequence[tuple[str, float]] = (),
    trunks: Sequence[Sequence[str]] = (),
    trained_on: Sequence[float | None] = (),
) -> Noise:
    """The noise of cells from the ln losses of their seeds; ``runs`` are the seeds' keys in ``held_out_losses``.

    ``places`` are the family and compute of every cell; without them all are alike. ``other_groups`` are further groups
    of seeds of one cell each, at ``other_places``, which only inform how noisy runs are. Per-example losses are used
    when every run has them. ``trunks`` name what runs share, cell by cell; runs of one trunk err together.
    ``trained_on`` are the images that limit the runs of a cell, None where none do (:func:`with_training_sets`).

    Raises:
        InputError: per-example losses of different lengths, or that do not average to their run's loss.
    """
    num_seeds = np.array([len(cell) for cell in log_losses], dtype=float)
    variances = _variances(log_losses)
    named = [trunk for cell in trunks for trunk in cell if trunk]
    shared = None
    if len(set(named)) < len(named):
        seed_sd, degrees, shared = _trunk_noise(log_losses, trunks)
        drawn = common_variances(seed_sd, degrees, len(log_losses)) if seed_sd else np.zeros((1, len(num_seeds)))
    else:
        groups = [*log_losses, *other_groups]
        seed_sd, degrees = pooled_sd(groups)
        drawn = np.zeros((1, len(num_seeds)))
        if seed_sd is not None:
            where = [*places, *other_places] if places else [("", 1.0)] * len(groups)
            free = np.array([max(len(group) - 1, 0) for group in groups], dtype=float)
            families, compute = zip(*where, strict=True)
            drawn = plausible_variances(_variances(groups), free, families, np.log(compute))[:, : len(num_seeds)]
    examples = None
    if runs and held_out_losses and all(run in held_out_losses for cell in runs for run in cell):
        _check_held_out(log_losses, runs, held_out_losses)
        examples = example_covariance([[held_out_losses[run] for run in cell] for cell in runs])
        if any(trained_on):
            examples = with_training_sets(examples, len(held_out_losses[runs[0][0]]), trained_on)
    return Noise(
        num_seeds=num_seeds,
        seed_sd=seed_sd,
        degrees_of_freedom=degrees,
        run_variances=drawn,
        cell_variances=variances,
        example_covariance=examples,
        shared=shared,
    )


def _variances(groups: Sequence[Sequence[float]]) -> Floats:
    """Of every group; nan where one seed shows none."""
    return np.array([float(np.var(group, ddof=1)) if len(group) > 1 else math.nan for group in groups])


def _trunk_noise(
    log_losses: Sequence[Sequence[float]], trunks: Sequence[Sequence[str]]
) -> tuple[float | None, float, Shared | None]:
    """The sd of one run, its degrees of freedom, and the covariance of the cells' means where runs share trunks."""
    cells = np.repeat(np.arange(len(log_losses)), [len(cell) for cell in log_losses])
    of = trunk_places([trunk for cell in trunks for trunk in cell])
    y = np.array([loss for cell in log_losses for loss in cell])
    components = variance_components(y, np.eye(len(log_losses))[cells], of)
    if components is None:
        return None, 0.0, None
    covariance = covariance_of_means(cells, len(log_losses), components, of)
    return math.sqrt(components.own + components.trunk), components.degrees_of_freedom, covariance


def pooled_sd(groups: Sequence[Sequence[float]]) -> tuple[float | None, float]:
    """The sd of one run within groups, if alike in all, and its degrees of freedom ν.

    s² = Σ_i Σ_j (y_ij - ȳ_i)² / ν with ν = Σ_i (n_i - 1): the residual mean square of a one-way analysis of variance.
    """
    squares = sum(float(np.var(group)) * len(group) for group in groups if len(group) > 0)
    degrees = float(sum(len(group) - 1 for group in groups if len(group) > 0))
    if degrees == 0:
        return None, 0.0
    return max(math.sqrt(squares / degrees), 1e-12), degrees


def example_covariance(cells: Sequence[Sequence[PerExample]]) -> Floats:
    """Γ, the covariance of the cells' mean ln losses through their m shared examples.

    With r_ie the loss of cell i on example e over the cell's mean loss, averaged over its runs, Γ_ik = Σ_e (r_ie - 1)
    (r_ke - 1) / (m (m - 1)): the delta method for the ln of a mean. What seeds disagree on example by example is
    already in the variance between seeds, so its mean square over n_i m is taken off the diagonal (the analysis of
    variance of runs x examples crossed). Assumed: examples are independent draws of what is reported on.
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


def with_training_sets(covariance: Floats, num_examples: int, trained_on: Sequence[float | None]) -> Floats:
    """Γ of cells whose runs all saw the same few images, so that other images to train on would move the loss, too.

    A variance through the m examples that judge becomes Γ (1 + m / n), with n images to train on: what they add is
    taken to be what as many examples that judge would leave. Runs on other folds of the same images overlap in what
    they were trained on, so their own scatter cannot show it, and every example of m judges. Between cells it is the
    geometric mean.

    Source: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003: of K folds
    (1 / K + n_test / n_train) σ², where the variance of one is σ² = K Γ.
    """
    factors = np.sqrt([1.0 + (num_examples / images if images else 0.0) for images in trained_on])
    return covariance * np.outer(factors, factors)


def effective_examples(losses: PerExample) -> float:
    """How many equal examples would carry this loss: (Σ l)² / Σ l² (Kish, "Survey Sampling", 1965)."""
    wide = np.asarray(losses, dtype=np.float64)
    return float(wide.sum() ** 2 / np.sum(wide**2))


def typical_example_sd(covariance: Floats | None) -> float | None:
    """The noise floor of the report examples: the typical sd of the ln loss ratio of two cells through them."""
    if covariance is None or len(covariance) < 2:
        return None
    own = np.diag(covariance)
    between = own[:, None] + own - 2 * covariance
    apart = between[np.triu_indices(len(own), 1)]
    return math.sqrt(float(np.mean(np.maximum(apart, 0.0))))


def widened(ratio: float, free: float, degrees: float) -> tuple[float, float, bool]:
    """How to scale a variance known with ``degrees`` when ``free`` residuals scatter ``ratio`` times as much.

    Returns the factor, the degrees of freedom then, and whether the scatter exceeds the noise. The two are pooled,
    (ν + f ratio) / (ν + f) with ν + f degrees, unless an F test at ``POOLING_LEVEL`` rejects; then the scatter alone
    counts. Calm residuals never narrow an interval.
    Source: Bozivich, Bancroft and Hartley, "Power of analysis of variance test procedures for certain incompletely
    specified models", Annals of Mathematical Statistics 27, 1956.
    """
    from scipy.special import fdtrc

    if free <= 0:
        return 1.0, degrees, False
    if fdtrc(free, degrees, ratio) < POOLING_LEVEL:
        return ratio, free, True
    return max(1.0, (degrees + free * ratio) / (degrees + free)), degrees + free, False


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
