"""The best run of a budget by a law of size and examples: its loss, its size and its length, with what is not known.

The law is fitted once more for this alone. No form holds everywhere, so cells count by how near they lie to the best of
their compute and, a little, by how late they come: what a tiny net loses on a long run tells little of the best one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS, Fit, fit_law
from levelfield.scaling.fitting.solver import solve_many
from levelfield.scaling.ladder.errors import NUM_REFITS
from levelfield.scaling.ladder.misses import SAME, Miss, beyond_cut, cuts_of
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.noise.dependence import dependence, err_together
from levelfield.scaling.optimum.size_law import FORM, LEAST_ROWS, REPEATED, REPEATING, strata
from levelfield.scaling.results.optima import SizedCell, SizedCells

HALF_WORTH = 0.05
"""A cell so far in ln loss above the best of its compute counts half."""
LATE = 0.25
"""The power of compute by which later cells count more. Both were chosen on the development set of
benchmarks/planted_tables.py; a half or twice of either moves the median error there by 0.2 %."""
PUBLISHED_R = 15.4
"""Repetitions after which nothing more is learnt: Muennighoff et al., 2305.16264, table 1, for language."""
PUBLISHED_R_SD = 0.7
"""sd of its logarithm from one kind of data to another: a guess, wide enough for a factor of two either way."""
_SIZES = np.linspace(-12.0, 16.0, 1121)
"""ln size over the middle of those that were run, at which the best is sought."""
_STRIDE = 16
_NEAR = np.arange(-_STRIDE, _STRIDE + 1)


class Bought(NamedTuple):
    """ln examples = start + gamma ln compute - kappa ln size: what the table's own compute buys."""

    start: float
    gamma: float
    kappa: float

    def log_examples(self, log_compute: Floats | float, log_size: Floats) -> Floats:
        return self.start + self.gamma * log_compute - self.kappa * log_size


class BestRuns(NamedTuple):
    """ln loss, ln size and ln examples of the best run at every budget, (budgets,) or (draws, budgets)."""

    loss: Floats
    size: Floats
    examples: Floats


class BestRunLaw(NamedTuple):
    """A law of size and examples fitted near the best runs of ``cells``; ``thetas`` as other runs would have given.

    ``published`` says that what a repeated example is worth was not seen in the cells, but taken from elsewhere.
    """

    form: str
    fit: Fit
    thetas: Floats
    cost: Bought
    variance: float
    misses: tuple[Miss, ...]
    published: bool = False

    @property
    def floors(self) -> Floats:
        """The irreducible loss of every draw."""
        return self.thetas[:, 4] * math.exp(self.fit.log_loss_unit)

    def best(self, budgets: Sequence[float] | Floats, unique: float | None) -> BestRuns:
        """The best runs at ``budgets`` with ``unique`` distinct examples, by the fit."""
        own = _best(self.fit, np.asarray(self.theta)[None], self.cost, budgets, unique, self.form)
        return BestRuns(*(part[0] for part in own))

    def drawn(self, budgets: Sequence[float] | Floats, unique: float | None) -> BestRuns:
        """The same by every draw."""
        return _best(self.fit, self.thetas, self.cost, budgets, unique, self.form)

    @property
    def theta(self) -> tuple[float, ...]:
        return (*self.fit.theta, math.log(PUBLISHED_R)) if self.published else self.fit.theta


def cost_of(cells: Sequence[SizedCell]) -> Bought:
    """What compute buys, from the table itself: 1 and 1 where C = 6 N D, or where one size a budget cannot tell."""
    log = np.log([(cell.budget_flops, cell.params, cell.examples) for cell in cells])
    design = np.column_stack([np.ones(len(log)), log[:, 0], log[:, 1]])
    (start, gamma, slope), _, rank, _ = np.linalg.lstsq(design, log[:, 2], rcond=1e-8)
    if rank < design.shape[1]:
        return Bought(float(np.mean(log[:, 2] - log[:, 0] + log[:, 1])), 1.0, 1.0)
    return Bought(float(start), float(gamma), float(-slope))


def best_run_laws(found: SizedCells, generator: np.random.Generator) -> tuple[BestRunLaw, ...]:
    """The laws that the cells support: that of size and examples, and its form for repeated ones.

    Where no cell repeats, the latter takes what a repeated example is worth from what others published.
    """
    cells = [cell for cell in found.cells if not cell.near_chance]
    if len({cell.budget_flops for cell in cells}) < MIN_BUDGETS:
        return ()
    plain = _law(FORM, cells, generator)
    if plain is None:
        return ()
    if found.unique_examples is None:
        return (plain,)
    epochs = [max(cell.epochs or 1.0, 1.0) for cell in cells]
    if max(epochs) > REPEATING and len(set(epochs)) > 1:
        repeated = _law(REPEATED, cells, generator)
        return (plain,) if repeated is None else (plain, repeated)
    log_r = math.log(PUBLISHED_R) + PUBLISHED_R_SD * generator.standard_normal((len(plain.thetas), 1))
    return plain, plain._replace(form=REPEATED, thetas=np.concatenate([plain.thetas, log_r], axis=1), published=True)


def _law(form: str, cells: Sequence[SizedCell], generator: np.random.Generator) -> BestRunLaw | None:
    cost, compute = cost_of(cells), np.log([cell.budget_flops for cell in cells])
    found = _fitted(form, cells, cost)
    if found is None:
        return None
    fit, weights = found
    free = weights.sum() ** 2 / float(weights @ weights) - len(fit.theta)
    variance = float(weights @ fit.residuals**2) / float(weights.sum()) * (1 + len(fit.theta) / max(free, 1.0))
    misses = []
    for cut in cuts_of(compute, MIN_BUDGETS):
        below = compute <= cut + SAME
        part = _fitted(form, [cell for cell, kept in zip(cells, below, strict=True) if kept], cost, fit.delta)
        if part is None:
            continue
        own = np.zeros(len(cells))
        own[below] = part[1]
        x, y = _inside(part[0], cells)
        theta, noise = np.asarray(part[0].theta), variance * np.eye(len(cells))
        misses += beyond_cut(
            fit.law, theta, x, y, own, log_compute=compute, cut=cut, noise=noise, worth=_nearness(fit, cells, cost)
        )
    return BestRunLaw(form, fit, _drawn(fit, cells, weights, generator), cost, variance, tuple(misses))


def _fitted(
    form: str, cells: Sequence[SizedCell], cost: Bought, delta: float | None = None
) -> tuple[Fit, Floats] | None:
    """The law fitted near the best of every compute, and the weights of the cells; None where they support none."""
    inputs, losses = _inputs(cells), [cell.loss for cell in cells]
    first = fit_law(form, inputs, losses, delta=delta)
    if isinstance(first, Reason):
        return None
    weights = _nearness(first, cells, cost)
    compute = np.log([cell.budget_flops for cell in cells])
    weights = weights * np.exp(LATE * (compute - compute.max()))
    near = fit_law(form, inputs, losses, weights=weights.tolist(), delta=first.delta)
    return (first, np.ones(len(cells))) if isinstance(near, Reason) else (near, weights)


def _nearness(fit: Fit, cells: Sequence[SizedCell], cost: Bought) -> Floats:
    """1 for the best cell of its compute and pool, a half for one ``HALF_WORTH`` above."""
    unique = np.array([cell.examples / max(cell.epochs or 1.0, 1.0) for cell in cells])
    pools = np.where([bool(cell.epochs and cell.epochs > 1) for cell in cells], np.log(unique), np.inf)
    compute = np.log([cell.budget_flops for cell in cells])
    best = _lowest(fit, np.asarray(fit.theta)[None], cost, compute, pools, fit.form).loss[0]
    above = np.maximum(np.log([cell.loss for cell in cells]) - best, 0.0)
    return 1 / (1 + (above / HALF_WORTH) ** 2)


def _drawn(fit: Fit, cells: Sequence[SizedCell], weights: Floats, generator: np.random.Generator) -> Floats:
    """(draws, parameters) as other runs would have given, cells resampled as for the law itself (size_law.py)."""
    theta, num = np.asarray(fit.theta), len(cells)
    models: dict[str, list[int]] = {}
    for place in sorted(range(num), key=lambda place: cells[place].examples):
        models.setdefault(cells[place].model, []).append(place)
    curves = list(models.values())
    if num >= LEAST_ROWS * len(curves) and err_together(fit.residuals, curves):
        _, slope, _ = fit.law.derivatives(theta, fit.x)
        told = dependence(fit.residuals, slope, weights, curves)
        errors = np.clip(told.draws(curves, NUM_REFITS, generator), -3.0, 3.0)
        fitted = fit.law.log_loss(theta, fit.x)
        return solve_many(fit.law, fit.x, fitted + errors, weights=weights, delta=fit.delta, start=theta)
    times = np.empty((NUM_REFITS, num))
    for its in strata([cell.budget_flops for cell in cells]):
        own = len(its)
        times[:, its] = generator.multinomial(own - 1, np.full(own, 1 / own), NUM_REFITS) * own / max(own - 1, 1)
    return solve_many(fit.law, fit.x, fit.y, weights=times * weights, delta=fit.delta, start=theta)


def _inputs(cells: Sequence[SizedCell]) -> dict[str, list[float]]:
    return {
        "params": [cell.params for cell in cells],
        "examples": [cell.examples for cell in cells],
        "unique_examples": [cell.examples / max(cell.epochs or 1.0, 1.0) for cell in cells],
    }


def _inside(fit: Fit, cells: Sequence[SizedCell]) -> tuple[Floats, Floats]:
    """All of ``cells`` in the units of a fit to some of them."""
    inputs = _inputs(cells)
    x = np.log([inputs[name] for name in fit.law.inputs]).T - np.asarray(fit.log_input_units)
    return x, np.log([cell.loss for cell in cells]) - fit.log_loss_unit


def _best(
    fit: Fit, thetas: Floats, cost: Bought, budgets: Sequence[float] | Floats, unique: float | None, form: str
) -> BestRuns:
    pools = np.full(len(budgets), np.inf if unique is None else math.log(unique))
    return _lowest(fit, thetas, cost, np.log(budgets), pools, form)


def _lowest(fit: Fit, thetas: Floats, cost: Bought, compute: Floats, pools: Floats, form: str) -> BestRuns:
    """The best run for every theta at every ln ``compute`` with ln distinct examples of at most ``pools``."""
    law, units = LAWS[form], np.asarray(fit.log_input_units)
    size_unit, examples_unit = float(units[0]), float(units[1])

    def losses(of: Floats, place: int, size: Floats) -> Floats:
        examples = cost.log_examples(compute[place], size)
        distinct = np.minimum(examples, pools[place])
        logs = (size - size_unit, examples - examples_unit, distinct - examples_unit)
        values = law.log_loss(of, np.stack(logs[: len(law.inputs)], axis=-1))
        return np.where(np.isfinite(values), values, np.inf)

    loss, best = np.empty((2, len(thetas), len(compute)))
    for place in range(len(compute)):
        # Loss has one lowest size: first roughly, then near that one.
        rough = _STRIDE * np.argmin(losses(thetas, place, size_unit + _SIZES[::_STRIDE]), axis=-1)
        near = np.clip(rough[:, None] + _NEAR, 0, len(_SIZES) - 1)
        values = losses(thetas, place, size_unit + _SIZES[near])
        lowest = np.argmin(values, axis=-1)[:, None]
        best[:, place] = np.take_along_axis(near, lowest, axis=-1)[:, 0]
        loss[:, place] = np.take_along_axis(values, lowest, axis=-1)[:, 0]
    size = size_unit + _SIZES[best.astype(int)]
    return BestRuns(loss + fit.log_loss_unit, size, cost.log_examples(compute, size))
