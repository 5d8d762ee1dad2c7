"""Rows that stand in for winners where a table has none on fresh seeds: they support a description, never a verdict.

Without named clusters they are the best run of every budget, its luck taken off where the noise of a run is known. With
clusters (variants of one run, branches of one trunk) every row counts, and rows of a cluster err together. Their noise
is that of repeated cells, or else the scatter about a line for every family.

Estimated: μ_c of the best cell c of every budget, by ȳ_c + o (noise/luck.py), or of all rows by their mean ȳ. Assumed:
the noise σ² is alike over the table, since one seed a cell cannot show that it is not. It is s² of repeated cells with
ν degrees of freedom; without any, it is what is left of

    y = α_f + β_f x + γ x² + t_k + e

over families f, x being ln compute about its mean, t_k and e the luck of a cluster and of a row with variances τ² and
ω² (noise/components.py), and γ left out where fewer than two degrees of freedom would remain. So what a line or common
bend does not describe counts as noise: intervals err towards width. Symbols: docs/explanation/notation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import NEAR_CHANCE
from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.components import covariance_of_means, trunk_places, variance_components
from levelfield.scaling.noise.luck import CORRECTED_SDS, best_of_searches
from levelfield.scaling.noise.uncertainty import Noise, common_variances, pooled_sd
from levelfield.scaling.results.reasons.beside import AllRowsStandIn, BestStandIn, FamilyPoints
from levelfield.scaling.results.verdicts import Optimism
from levelfield.scaling.tables.rows import Rows, having
from levelfield.scaling.tables.rungs import Rung, frontier, seed_groups

LEAST_FREE = 2
"""Degrees of freedom of the scatter that a common bend must leave."""


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """The rows of a table as cells: ``log_losses``, ȳ + o, one a rung, and what they are.

    ``repeats`` is the noise that repeated cells show, None where there are none. ``optimism`` are the o of the rungs
    that are the best of a search. ``note`` says to readers which rows stand in.
    """

    rungs: tuple[Rung, ...]
    log_losses: Floats
    repeats: Noise | None
    optimism: tuple[Optimism, ...]
    note: Reason

    @cached_property
    def cells(self) -> dict[Rung, int]:
        return {rung: place for place, rung in enumerate(self.rungs)}

    @cached_property
    def noise(self) -> Noise | None:
        """The noise of the rows, None where unknown. The scatter of thousands of rows takes long, so it waits."""
        return self.repeats or _scatter(self.rungs)


def stand_ins(
    rows: Sequence[Observation], families: Sequence[str], generator: np.random.Generator, *, level: float
) -> StandIns:
    """The stand-ins among the search runs of ``rows`` for ``families``; intervals of their optimism at ``level``."""
    rows = having(rows, "role", "search")
    if any(rows.coded("cluster").present):
        return _clustered(rows)
    seed_sd, degrees = pooled_sd([group.log_losses for group in seed_groups(rows)])
    chosen, optimism, hows = [], [], []
    for family in families:
        own = having(rows, "family", family)
        best, how, envelope = frontier(own, family)
        chosen.extend(Rung(family=family, budget_flops=row.budget_flops, runs=(row,)) for row in best)
        hows.append(FamilyPoints(family=family, how=how))
        if not envelope:
            common = {"seed_sd": seed_sd, "degrees_of_freedom": degrees, "level": level, "generator": generator}
            optimism.extend(best_of_searches(own, family, best, **common))
    corrected = {(found.family, found.budget_flops): found.corrected for found in optimism}
    log_losses = []
    for rung in chosen:
        found = corrected.get((rung.family, rung.budget_flops))
        log_losses.append(rung.log_loss if found is None else math.log(found.estimate))
    return StandIns(
        rungs=tuple(chosen),
        log_losses=np.array(log_losses),
        repeats=None if seed_sd is None else _known(seed_sd, degrees, len(chosen)),
        optimism=tuple(optimism),
        note=BestStandIn(points=tuple(hows)),
    )


def _clustered(rows: Rows) -> StandIns:
    found = tuple(
        Rung(family=family, budget_flops=budget, runs=tuple(runs))
        for (family, budget), runs in rows.grouped_by("family", "budget_flops").items()
    )
    clusters = {row.cluster or row.run for row in rows}
    return StandIns(
        rungs=found,
        log_losses=np.array([rung.log_loss for rung in found]),
        repeats=None,
        optimism=(),
        note=AllRowsStandIn(num_rows=len(rows), num_clusters=len(clusters)),
    )


def _known(seed_sd: float, degrees: float, num_cells: int) -> Noise:
    """The noise of winners whose luck was taken off: that of 1 / ``CORRECTED_SDS``² runs each."""
    return Noise(
        num_seeds=np.full(num_cells, CORRECTED_SDS**-2),
        seed_sd=seed_sd,
        degrees_of_freedom=degrees,
        run_variances=common_variances(seed_sd, degrees, num_cells),
        cell_variances=np.full(num_cells, np.nan),
        example_covariance=None,
    )


def _scatter(found: Sequence[Rung]) -> Noise | None:
    """The noise of a row from the scatter about a line a family (bent alike for all where rows allow)."""
    placed = [(place, run) for place, rung in enumerate(found) for run in rung.runs if not _near_chance(run)]
    if not placed:
        return None
    cells = np.array([place for place, _ in placed])
    runs = [run for _, run in placed]
    trunks = trunk_places([run.cluster for run in runs])
    components = variance_components(np.log([run.loss for run in runs]), _lines(runs), trunks)
    if components is None:
        return None
    together = len(set(trunks.tolist())) < len(trunks)
    sd, degrees = math.sqrt(components.own + components.trunk), components.degrees_of_freedom
    return Noise(
        num_seeds=np.array([len(rung.runs) for rung in found], dtype=float),
        seed_sd=sd,
        degrees_of_freedom=degrees,
        run_variances=common_variances(sd, degrees, len(found)),
        cell_variances=np.full(len(found), np.nan),
        example_covariance=None,
        shared=covariance_of_means(cells, len(found), components, trunks) if together else None,
        from_scatter=True,
    )


def _lines(runs: Sequence[Observation]) -> Floats:
    """The columns of α_f, β_f and γ, (runs, columns), γ's where enough is left to judge the scatter."""
    x = np.log([run.budget_flops for run in runs])
    x = x - x.mean()
    names = sorted({run.family for run in runs})
    of_family = np.eye(len(names))[[names.index(run.family) for run in runs]]
    design = np.column_stack([of_family, of_family * x[:, None]])
    return np.column_stack([design, x**2]) if len(x) - design.shape[1] - 1 >= LEAST_FREE else design


def _near_chance(run: Observation) -> bool:
    return run.chance is not None and run.loss > NEAR_CHANCE * run.chance
