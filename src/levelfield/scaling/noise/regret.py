"""The noise of the choice: how far a winner may lie above its family's best, its search being noisy and coarse.

Fresh seeds measure the cell that was chosen, however it was chosen. A statement about families must also allow for the
choice: run again, the search might have found a better cell or a worse one. That regret is simulated inside the search
(luck.py), and what a finer one would still have gained is added (coarseness.py); a winner and its A/A control share one
search, so between them it cancels.

Estimated: R(w), the mean squared error of w·ȳ about w·min μ through the choice. With r = μ_c - min μ the regret of a
search that is run again, and W_q the sum of w over the cells behind search q, R(w) = Σ_q W_q² E[r_q²]: a mean square,
not a variance, since r is never negative and its sign in a difference is known. Assumed: searches are independent.
Symbols: docs/explanation/notation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.records.observation import Observation
from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.coarseness import hidden_loss, moved_axes
from levelfield.scaling.noise.luck import NUM_SEARCHES, cell_means, selection_optimism, selection_regrets
from levelfield.scaling.tables.rows import having
from levelfield.scaling.tables.rungs import Rung


@dataclass(frozen=True, kw_only=True)
class SearchRegret:
    """``regrets`` are (searches, reruns) of ln loss above the best cell; ``sources`` the search behind every cell.

    ``chosen`` are the searches that had cells to choose from. One noisy search may look calmer than it was, so their
    regrets are pooled as the noise of seeds is, and a contrast takes the larger of the pooled variance and its own.
    ``hidden`` is what each of them hides between its values, on average: alike in all, so that in a difference nothing
    is left of it but its spread. ``carried`` are (grids, reruns) of ln loss through the choice of what was decided at
    one budget for others: searches on one of the ``grids`` then err and hide alike. Without it each is on its own.
    """

    sources: NDArray[np.intp]
    regrets: Floats
    chosen: NDArray[np.bool_]
    hidden: float = 0.0
    grids: NDArray[np.intp] | None = None
    carried: Floats | None = None

    @property
    def _spread(self) -> float:
        """The variance of what a search hides: of h x² / E[x²], x uniform, 0.8 h²."""
        return 0.8 * self.hidden**2

    @property
    def _on_grid(self) -> Floats:
        """(searches, grids): 1 where a search that had a choice is on that grid."""
        grids = np.arange(len(self.chosen)) if self.grids is None else self.grids
        return (grids[:, None] == np.unique(grids)) * self.chosen[:, None].astype(float)

    def variances(self, weights: Floats) -> Floats:
        """R(w), mean squared errors of contrasts of (contrasts, cells) through the choice of the cells."""
        own = self._by_search(weights) ** 2 @ np.mean(self.regrets**2, axis=-1) + self._shared_variances(weights)
        return np.maximum(own, self.pooled_variances(weights))

    def carried_variances(self, weights: Floats) -> Floats:
        """The part of :meth:`variances` through what was decided at one budget for others: further budgets leave it."""
        return np.zeros(len(weights)) if self.carried is None else self._shared_variances(weights)

    def pooled_variances(self, weights: Floats) -> Floats:
        """The same, if all searches choose equally well."""
        if not self.chosen.any():
            return np.zeros(len(weights))
        squares = np.sum(self._by_search(weights)[:, self.chosen] ** 2, axis=-1)
        return squares * np.mean(self.regrets[self.chosen] ** 2) + self._shared_variances(weights)

    @property
    def _shared(self) -> float:
        """The mean square of what errs alike in all searches on one grid."""
        return self._spread + (0.0 if self.carried is None else float(np.mean(self.carried**2)))

    def _shared_variances(self, weights: Floats) -> Floats:
        return self._shared * np.sum((self._by_search(weights) @ self._on_grid) ** 2, axis=-1)

    def covariance(self, places: NDArray[np.intp]) -> Floats:
        """That of the cells at ``places``."""
        of = self.sources[places]
        shared = self._shared * (self._on_grid @ self._on_grid.T)[of[:, None], of]
        return (of[:, None] == of) * np.mean(self.regrets**2, axis=-1)[of] + shared

    def draws(self, generator: np.random.Generator, num: int) -> Floats:
        """(num, cells) regrets, drawn from those of all searches, each with what it hides beyond the mean."""
        drawn = np.zeros((num, len(self.regrets)))
        if self.chosen.any():
            pool = self.regrets[self.chosen].ravel()
            drawn[:, self.chosen] = generator.choice(pool, (num, int(self.chosen.sum())))
            size = (num, self._on_grid.shape[1])
            if self.hidden:
                drawn += self.hidden * (12 * generator.uniform(-0.5, 0.5, size) ** 2 - 1) @ self._on_grid.T
            if self.carried is not None:
                drawn += generator.choice(self.carried.ravel(), size) @ self._on_grid.T
        return drawn[:, self.sources]

    def _by_search(self, weights: Floats) -> Floats:
        summed = np.zeros((len(weights), len(self.regrets)))
        np.add.at(summed.T, self.sources, weights.T)
        return summed


def no_regret(num_cells: int) -> SearchRegret:
    """The choice among cells that no search chose, or of whose search nothing is known."""
    nothing = np.zeros(1, dtype=bool)
    return SearchRegret(sources=np.zeros(num_cells, dtype=np.intp), regrets=np.zeros((1, 1)), chosen=nothing)


def regret_of(
    rows: Sequence[Observation], cells: Sequence[Rung], run_sds: Floats, generator: np.random.Generator
) -> SearchRegret:
    """The choice behind every one of ``cells``, from the search runs at its budget and the sd of one run of it."""
    if not run_sds.any():
        return no_regret(len(cells))
    searched = having(rows, "role", "search").grouped_by("family", "budget_flops")
    places = {(cell.family, cell.budget_flops): place for place, cell in reversed(list(enumerate(cells)))}
    keys = list(dict.fromkeys((cell.family, cell.budget_flops) for cell in cells))
    if not any(key in searched for key in keys):
        return no_regret(len(cells))
    regrets, chosen = np.zeros((len(keys), NUM_SEARCHES)), np.zeros(len(keys), dtype=bool)
    hidden = np.zeros(len(keys))
    for place, key in enumerate(keys):
        if key in searched:
            means, counts = cell_means(searched[key])
            sds = run_sds[places[key]] / np.sqrt(counts)
            regrets[place] = selection_regrets(means, sds, generator)
            if len(means) > 1:
                hidden[place] = hidden_loss(searched[key], selection_optimism(means, sds, generator))
            chosen[place] = len(means) > 1
    sources = np.array([keys.index((cell.family, cell.budget_flops)) for cell in cells])
    # Three noisy losses tell the bend of one curve badly, those of all searches together well.
    mean_hidden = float(hidden[chosen].mean()) if chosen.any() else 0.0
    families = [family for family, _ in keys]
    of_each = [
        [searched[key] for key in keys if key[0] == family and key in searched] for family in dict.fromkeys(families)
    ]
    carried = [each for own in of_each if (each := _carried(own, float(np.max(run_sds)), generator)) is not None]
    return SearchRegret(
        sources=sources,
        regrets=regrets,
        chosen=chosen,
        hidden=mean_hidden,
        grids=np.array([families.index(family) for family in families]) if carried else None,
        carried=np.stack(carried) if carried else None,
    )


def _carried(searches: Sequence[Sequence[Observation]], run_sd: float, generator: np.random.Generator) -> Floats | None:
    """The regrets of axes that one of a family's ``searches`` decided for others; None where each decides its own.

    They are those of choosing among the values that were tried beside its best, all else being equal.
    """
    tried = [_values_tried(search) for search in searches]
    axes = {axis for each in tried for axis in each}
    deciding = {axis: [place for place, each in enumerate(tried) if len(each.get(axis, ())) > 1] for axis in axes}
    carried = {axis: places for axis, places in deciding.items() if 0 < len(places) < len(searches)}
    if not carried:
        return None
    runs = searches[max(place for places in carried.values() for place in places)]
    best = min(runs, key=lambda run: run.loss)
    by_values: dict[frozenset[tuple[str, str]], list[float]] = {}
    for run in runs:
        moved, at_best = moved_axes(run), moved_axes(best)
        if (run.params, run.base_lr) != (best.params, best.base_lr):
            continue
        if all(axis in carried for axis, _ in moved ^ at_best):
            by_values.setdefault(moved, []).append(math.log(run.loss))
    means = np.array([float(np.mean(losses)) for losses in by_values.values()])
    counts = np.array([float(len(losses)) for losses in by_values.values()])
    return selection_regrets(means, run_sd / np.sqrt(counts), generator)


def _values_tried(runs: Sequence[Observation]) -> dict[str, set[str]]:
    """The values of every axis that any of ``runs`` moved; "" is its default."""
    moved = [dict(moved_axes(run)) for run in runs]
    return {axis: {each.get(axis, "") for each in moved} for axis in {name for each in moved for name in each}}
