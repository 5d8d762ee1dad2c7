"""Studies whose truth is known, made by code that shares nothing with the statistics that it tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from levelfield.records.observation import Observation, Role

Floats = NDArray[np.float64]
BUDGETS = (2e10, 6e10, 2e11, 6e11, 2e12)
MIDDLE = math.log(2e11)
FAMILIES = ("nfnet", "vit")
_CHANCE = math.log(100)
_SIZE_CURVATURE, _RATE_CURVATURE = 0.04, 0.05


@dataclass(frozen=True, kw_only=True)
class Search:
    """A grid of sizes and learning rates, as offsets from the optimum: ln of size, octaves of rate."""

    sizes: tuple[float, ...] = (-1.6, -0.8, 0.0, 0.8, 1.6)
    rates: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)

    def log_losses(self) -> Floats:
        """What each cell costs in ln loss over the best, (sizes, rates)."""
        sizes, rates = np.array(self.sizes), np.array(self.rates)
        return _SIZE_CURVATURE * sizes[:, None] ** 2 + _RATE_CURVATURE * rates**2


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A world to draw studies from.

    Losses are E + A (C / 1e11)^-b with ``law`` (E, A, b); ln(loss of nfnet / loss of vit) is ``offset`` + ``slope`` x +
    ``bend`` x^2 of x = ln C - MIDDLE, half of it on either side; the first two are drawn anew for every study by the
    sds. ``seed_sd`` is that of one run, of which ``trunk_sd`` is shared by all branches of a trunk; its errors are
    normal, or as ``tails`` says (t: of 4 degrees of freedom; exponential: most runs alike, some much worse).
    ``noisy_rung`` has four times the noise; with ``cell_spread`` every cell has its own, drawn anew for every study:
    that is the sd of the ln of its sd. ``uneven`` gives the sd of a run and the seeds of a winner family by family and
    rung by rung instead. The A/A control lies at the budget ``control``. With ``search`` the
    winner of a rung is the best of a noisy grid. ``evidence`` says what a study keeps: fresh seeds of winners, or its
    search alone, in which ``repeats`` seeds measure the noise of the last cell. With ``variants`` it keeps neither: a
    rung is one run of a family, shown in so many variants that share its luck.
    """

    name: str
    told: str
    offset: float = 0.0
    slope: float = 0.0
    bend: float = 0.0
    law: tuple[float, float, float] = (0.8, 1.5, 0.25)
    offset_sd: float = 0.0
    slope_sd: float = 0.0
    seed_sd: float = 0.02
    trunk_sd: float = 0.0
    clock_sd: float = 0.03
    seeds: int = 3
    tails: Literal["normal", "t", "exponential"] = "normal"
    noisy_rung: bool = False
    cell_spread: float = 0.0
    uneven: Mapping[str, tuple[tuple[float, int], ...]] = field(default_factory=dict)
    examples: int = 0
    budgets: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: dict.fromkeys(FAMILIES, BUDGETS))
    control: float = BUDGETS[2]
    search: Mapping[str, Search] = field(default_factory=dict)
    evidence: Literal["seeds", "search"] = "seeds"
    repeats: int = 0
    variants: Mapping[str, int] = field(default_factory=dict)

    def errors(self, generator: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
        """Errors of mean 0 and sd 1."""
        if self.tails == "t":
            return generator.standard_t(4.0, shape) / math.sqrt(2)
        if self.tails == "exponential":
            return generator.standard_exponential(shape) - 1
        return generator.standard_normal(shape)


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study drawn from a truth: its rows, per-example losses, and what was true in it.

    ``winner_truth`` is the true ln loss of the cell that won, by (family, budget).
    """

    rows: list[Observation]
    held_out: dict[str, NDArray[np.float32]] | None
    law: tuple[float, float, float]
    bend: float
    offset: float
    slope: float
    winner_truth: dict[tuple[str, float], float]

    def difference(self, log_compute: Floats | float) -> Any:
        """The true ln(loss of nfnet / loss of vit) of the families at their best."""
        x = np.asarray(log_compute) - MIDDLE
        return self.offset + self.slope * x + self.bend * x**2

    def log_loss(self, family: str, log_compute: Floats | float) -> Any:
        """The true ln loss of ``family`` at its best."""
        x = np.asarray(log_compute)
        side = 0.5 if family == "nfnet" else -0.5
        floor, coefficient, exponent = self.law
        return np.log(floor + coefficient * np.exp(-exponent * (x - math.log(1e11)))) + side * self.difference(x)


def draw_study(truth: Truth, generator: np.random.Generator) -> Study:
    """One study of ``truth``."""
    study = Study(
        rows=[],
        held_out=None,
        law=truth.law,
        bend=truth.bend,
        offset=truth.offset + truth.offset_sd * float(generator.standard_normal()),
        slope=truth.slope + truth.slope_sd * float(generator.standard_normal()),
        winner_truth={},
    )
    for family in FAMILIES:
        if truth.uneven:
            for budget, (sd, seeds) in zip(truth.budgets[family], truth.uneven[family], strict=True):
                alike = replace(truth, seed_sd=sd, seeds=seeds, uneven={})
                _draw_rung(alike, study, family, budget, np.zeros(2 * seeds), generator)
            continue
        trunks = truth.trunk_sd * generator.standard_normal(2 * truth.seeds)
        for budget in truth.budgets[family]:
            _draw_rung(truth, study, family, budget, trunks, generator)
    if truth.examples:
        return _with_examples(study, generator, truth.examples)
    return study


def _draw_rung(
    truth: Truth, study: Study, family: str, budget: float, trunks: Floats, generator: np.random.Generator
) -> None:
    best = float(study.log_loss(family, math.log(budget)))
    edges: tuple[str, ...] = ()
    if family in truth.search:
        above, edges = _searched(truth, study, family, budget, best, generator)
        best += above
    study.winner_truth[family, budget] = best
    own_sd = math.sqrt(truth.seed_sd**2 - truth.trunk_sd**2) * (4 if truth.noisy_rung and budget == BUDGETS[0] else 1)
    if truth.cell_spread:
        own_sd *= math.exp(truth.cell_spread * float(generator.standard_normal()))
    if truth.variants:
        luck = best + truth.trunk_sd * float(generator.standard_normal())
        for variant in range(truth.variants[family]):
            row = _search_row(family, budget, luck + own_sd * float(generator.standard_normal()), 0, 0, variant)
            study.rows.append(replace(row, cluster=f"{family}-{budget:.3e}"))
        return
    if truth.evidence == "search":
        return
    roles: Sequence[tuple[Role, int]] = (("winner", 0), ("control", 1)) if budget == truth.control else (("winner", 0),)
    for role, half in roles:
        seeds = range(half * truth.seeds, (half + 1) * truth.seeds)
        noise = own_sd * truth.errors(generator, truth.seeds) + trunks[seeds.start : seeds.stop]
        clocks = truth.clock_sd * generator.standard_normal(truth.seeds)
        for seed, error, clock in zip(seeds, noise.tolist(), clocks.tolist(), strict=True):
            study.rows.append(
                Observation(
                    run=f"{family}-{budget:.3e}-{role}-{seed}",
                    family=family,
                    model=f"{family}:{budget:.0e}",
                    role=role,
                    loss=math.exp(best + error),
                    budget_flops=budget,
                    train_flops=budget,
                    epochs=0.1,
                    base_lr=0.2,
                    seed=seed,
                    device_seconds=1e-10 * budget * math.exp(clock),
                    device="cpu",
                    chance=_CHANCE,
                    edges=edges,
                    cluster=f"{family}-trunk-{seed}" if truth.trunk_sd else "",
                )
            )


def _searched(
    truth: Truth, study: Study, family: str, budget: float, best: float, generator: np.random.Generator
) -> tuple[float, tuple[str, ...]]:
    """How far the cell that a noisy search chose lies above the best possible, and the edges it lies at."""
    search = truth.search[family]
    above = search.log_losses()
    seen = above + truth.seed_sd * truth.errors(generator, above.shape)
    size, rate = np.unravel_index(int(np.argmin(seen)), seen.shape)
    edges = []
    if len(search.rates) > 1 and rate in (0, len(search.rates) - 1):
        edges.append("base_lr")
    if len(search.sizes) > 1 and size in (0, len(search.sizes) - 1):
        edges.append("size")
    for (row, column), value in np.ndenumerate(seen):
        study.rows.append(_search_row(family, budget, best + float(value), row, column, 0))
    for seed in range(1, truth.repeats):
        again = best + float(above[-1, -1] + truth.seed_sd * truth.errors(generator, 1)[0])
        last_size, last_rate = (length - 1 for length in above.shape)
        study.rows.append(_search_row(family, budget, again, last_size, last_rate, seed))
    return float(above[size, rate]), tuple(edges)


def _search_row(family: str, budget: float, log_loss: float, size: int, rate: int, seed: int) -> Observation:
    return Observation(
        run=f"{family}-{budget:.3e}-{size}-{rate}-{seed}",
        family=family,
        model=f"{family}:{size}",
        role="search",
        loss=math.exp(log_loss),
        budget_flops=budget,
        train_flops=budget,
        params=1e5 * 2.0**size,
        base_lr=0.1 * 2.0**rate,
        seed=seed,
        chance=_CHANCE,
    )


def _with_examples(study: Study, generator: np.random.Generator, num: int) -> Study:
    """Losses on one finite report set: hardness shared by all, a taste of each family, a disagreement of each run."""
    hardness = generator.gamma(1.0, 1.0, num)
    taste = {family: generator.gamma(4.0, 0.25, num) for family in FAMILIES}
    held, rows = {}, []
    for row in study.rows:
        losses = (row.loss * hardness * taste[row.family] * generator.gamma(11.0, 1 / 11.0, num)).astype(np.float32)
        held[row.run] = losses
        rows.append(Observation(**{**vars(row), "loss": float(losses.mean(dtype=np.float64))}))
    return replace(study, rows=rows, held_out=held)
