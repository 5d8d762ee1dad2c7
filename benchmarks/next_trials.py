"""How much compute a uniform ladder needs for the interval that proposed trials reach.

    uv run python -m benchmarks.next_trials          # of the loss at a target
    uv run python -m benchmarks.next_trials size     # of the optimal size there

Each truth is planted: five rungs of three seeds, loss E + A C^-b, noise of 2 % in ln loss. Levelfield proposes trials
for an allowance; the study with them is then simulated 2,000 times and refitted by weighted least squares, each
replicate with noise of its own. The peers spend on the same grid of budgets, up to the dearest that the allowance buys:
the same number of seeds on every budget, the same compute, or all on the dearest. Their spending (seeds may be
fractions) is raised until the middle 90 % of their predictions is as narrow: "inf" where 128 times ours is not enough.
Common random numbers; nothing is timed.

For the size, loss is E + A N^-alpha + B D^-beta with D = C / 6 N, noise 1 %, and every rung has five sizes two-fold
apart, the middle one off the optimum. A peer's profile has the sizes of ours. Each simulated study takes the local
curve's vertices, as a fit does, and a least-squares line through them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS
from levelfield.scaling.fitting.solver import solve_many
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.next.design import best_design, candidates, variance
from levelfield.scaling.next.knowledge import Knowledge, loss_knowledge, size_knowledge
from levelfield.scaling.optimum.isoflop import isoflop_profiles
from levelfield.scaling.optimum.local import local_minimum
from levelfield.scaling.results.intervals import CurvePoint
from levelfield.scaling.results.laws import LawFit, LawRow, RowErrors
from levelfield.scaling.results.optima import IsoflopProfile

REPLICATES, RUN_SD, SEEDS = 2000, 0.02, 3
PRESENT = np.array([2e10, 6e10, 2e11, 6e11, 2e12])
UNIT = 2e11
PEERS = ("equal seeds", "equal compute", "all at the dearest")


class Truth(NamedTuple):
    """E + A (C / UNIT)^-b."""

    floor: float
    coefficient: float
    exponent: float

    @property
    def theta(self) -> Floats:
        return np.array([np.log(self.coefficient), self.exponent, self.floor])


TRUTHS = (Truth(0.8, 1.5, 0.25), Truth(0.3, 1.0, 0.15), Truth(1.5, 0.8, 0.35))
TARGETS = (1e13, 4e13)
ALLOWANCES = (2e12, 1.5e13)
SIZE_ALLOWANCES = (8e12, 4e13)
"""A profile takes five runs."""


def at(budgets: Floats | list[float]) -> Floats:
    return np.log(np.asarray(budgets) / UNIT)[:, None]


def known_of(truth: Truth, target: float) -> Knowledge:
    """What noiseless rungs and the planted noise tell: the proposal is judged, not one draw of its luck."""
    loss = np.exp(LAWS["saturating"].log_loss(truth.theta, at(PRESENT)))
    law = LawFit(
        family="all",
        currency="flops",
        form="saturating",
        parameters={},
        theta=tuple(truth.theta.tolist()),
        log_input_units=(math.log(UNIT),),
        log_loss_unit=0.0,
        errors=RowErrors(variances=(RUN_SD**2 / SEEDS,), degrees_of_freedom=float(len(PRESENT) * (SEEDS - 1))),
        chosen=True,
        remarks=(),
        num_budgets=len(PRESENT),
        fitted_low=float(PRESENT[0]),
        fitted_high=float(PRESENT[-1]),
        curve=(CurvePoint(x=1.0, y=1.0, low=1.0, high=1.0),),
        rows=tuple(LawRow(compute=float(c), loss=float(v)) for c, v in zip(PRESENT, loss, strict=True)),
        delta=np.inf,
    )
    return loss_knowledge(law, target=target, num_seeds=SEEDS)


def width(truth: Truth, budgets: Floats, seeds: Floats, target: float) -> float:
    """The width of the middle 90 % of predicted ln losses at the target, over simulated studies."""
    law = LAWS["saturating"]
    compute, counts = np.concatenate([PRESENT, budgets]), np.concatenate([np.full(len(PRESENT), float(SEEDS)), seeds])
    compute, counts = compute[counts > 0], counts[counts > 0]
    normal = np.random.default_rng(0).standard_normal((REPLICATES, len(compute)))
    y = law.log_loss(truth.theta, at(compute)) + RUN_SD / np.sqrt(counts) * normal
    thetas = solve_many(law, at(compute), y, weights=counts, start=truth.theta)
    low, high = np.quantile(law.log_loss(thetas, at([target]))[:, 0], [0.05, 0.95])
    return float(high - low)


def spread_seeds(how: str, costs: Floats, spend: float) -> Floats:
    """Seeds on each budget, fractions allowed, that cost ``spend`` in all; ``costs`` are those of one seed."""
    if how == "equal seeds":
        return np.full(len(costs), spend / costs.sum())
    if how == "equal compute":
        return spend / len(costs) / costs
    return np.where(np.arange(len(costs)) == len(costs) - 1, spend / costs, 0.0)


def spend_for(width_at: Callable[[Floats], float], how: str, costs: Floats, wanted: float, ours: float) -> float:
    """What ``how`` must spend for an interval of ``wanted``: by halving in ln compute, between 1/8 and 128 of ours."""
    low, high = np.log(ours / 8), np.log(ours * 128)
    if width_at(spread_seeds(how, costs, float(np.exp(high)))) > wanted:
        return np.inf
    for _ in range(7):
        middle = (low + high) / 2
        reached = width_at(spread_seeds(how, costs, float(np.exp(middle))))
        low, high = (low, middle) if reached <= wanted else (middle, high)
    return float(np.exp(high))


def compared(truth: Truth, target: float, allowance: float) -> list[float]:
    """Compute of each peer over ours, and a printed line."""
    known = known_of(truth, target)
    choices = candidates([known], target=target, allowance=allowance, num_seeds=SEEDS)
    counts = best_design([known], choices, allowance)
    budgets = np.array([choice.budget_flops for choice in choices])
    seeds = SEEDS * counts.astype(float)
    spent = float(budgets @ seeds)
    before, after = width(truth, budgets, 0 * seeds, target), width(truth, budgets, seeds, target)
    promised = 2 * 1.645 * np.sqrt(variance([known], choices, counts))

    def width_at(seeds: Floats) -> float:
        return width(truth, budgets, seeds, target)

    ratios = [spend_for(width_at, how, budgets, after, spent) / spent for how in PEERS]
    trials = ", ".join(f"{c.budget_flops:.2g} x {int(n)}" for c, n in zip(choices, seeds, strict=True) if n)
    print(
        f"| {truth.floor:g} + {truth.coefficient:g} C^-{truth.exponent:g} | {target:.0e} | {allowance:.1e} | {trials} "
        f"| {before:.3f} | {after:.3f} | {promised:.3f} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |",
        flush=True,
    )
    return ratios


class Surface(NamedTuple):
    """E + A N^-alpha + B D^-beta, N in 1e5 parameters and D in the examples they see at UNIT."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float

    def log_loss(self, log_params: Floats, log_budget: Floats | float) -> Floats:
        log_size = log_params - np.log(1e5)
        log_length = log_budget - np.log(UNIT) - log_size
        return np.log(self.floor + self.a * np.exp(-self.alpha * log_size) + self.b * np.exp(-self.beta * log_length))

    def best(self, budget: float) -> float:
        """ln of the optimal number of parameters, in closed form."""
        log = np.log(self.alpha * self.a / (self.beta * self.b)) + self.beta * np.log(budget / UNIT)
        return float(np.log(1e5) + log / (self.alpha + self.beta))


SURFACES = (Surface(0.8, 0.7, 0.35, 0.8, 0.3), Surface(0.3, 0.6, 0.2, 0.5, 0.3), Surface(1.5, 0.4, 0.45, 0.4, 0.35))
SIZE_SD = 0.01
OFF = np.log([1.3, 0.8, 1.1, 0.7, 1.2])
"""How far the middle size of each present rung is from the optimum: nobody knows it beforehand."""


def present_profiles(truth: Surface) -> list[IsoflopProfile]:
    """Noiseless profiles whose vertices have the interval that the planted noise gives them."""
    rows = []
    for budget, off in zip(PRESENT.tolist(), OFF, strict=True):
        for step in range(-2, 3):
            size = truth.best(budget) + off + step * np.log(2)
            rows.append(
                Observation(
                    run=f"{budget:.0e} {step}",
                    family="all",
                    model=f"{size:.3f}",
                    role="search",
                    loss=float(np.exp(truth.log_loss(size, np.log(budget)))),
                    budget_flops=budget,
                    train_flops=budget,
                    params=float(np.exp(size)),
                    examples=float(budget / 6 / np.exp(size)),
                )
            )
    return list(isoflop_profiles(rows, seed_sd=SIZE_SD, level=0.9, generator=np.random.default_rng(0)))


def _profile(ladder: Floats, seeds: float) -> tuple[Floats, Floats]:
    """The sizes of ``seeds`` new profiles at one budget, and each one's noise: finer where they are whole."""
    if seeds == round(seeds):
        sizes = np.linspace(ladder[0], ladder[-1], len(ladder) * round(seeds))
        return sizes, np.ones(len(sizes))
    return ladder, np.full(len(ladder), seeds**-0.5)


def size_width(truth: Surface, budgets: Floats, ladders: list[Floats], seeds: Floats, target: float) -> float:
    """The width of the middle 90 % of ln optimal size at the target, over simulated studies."""
    own = [truth.best(c) + off + np.log(2) * np.arange(-2, 3) for c, off in zip(PRESENT, OFF, strict=True)]
    compute, sizes, sds = PRESENT.tolist(), own, [np.ones(5)] * len(own)
    for place in np.flatnonzero(seeds):
        added, sd = _profile(ladders[place], seeds[place])
        there = np.flatnonzero(np.isclose(compute, budgets[place]))
        if len(there):
            both = np.concatenate([sizes[there[0]], added])
            order = np.argsort(both)
            sizes[there[0]], sds[there[0]] = both[order], np.concatenate([sds[there[0]], sd])[order]
        else:
            compute, sizes, sds = [*compute, budgets[place]], [*sizes, added], [*sds, sd]
    generator = np.random.default_rng(0)
    vertices = np.full((REPLICATES, len(compute)), np.nan)
    for place, (budget, size, sd) in enumerate(zip(compute, sizes, sds, strict=True)):
        clean = truth.log_loss(size, np.log(budget))
        for replicate, noise in enumerate(generator.standard_normal((REPLICATES, len(size)))):
            found = local_minimum(size, clean + SIZE_SD * sd * noise)
            vertices[replicate, place] = np.nan if isinstance(found, Reason) else found
    x = np.log(np.array(compute) / UNIT)
    predicted = []
    for row in vertices:
        seen = np.isfinite(row)
        if seen.sum() >= MIN_BUDGETS:
            slope, start = np.polyfit(x[seen], row[seen], 1)
            predicted.append(start + slope * np.log(target / UNIT))
    low, high = np.quantile(predicted, [0.05, 0.95])
    return float(high - low)


def size_compared(truth: Surface, target: float, allowance: float) -> list[float]:
    """Compute of each peer over ours, and a printed line."""
    known = size_knowledge(present_profiles(truth), "all", target=target)
    choices = candidates([known], target=target, allowance=allowance, num_seeds=1)
    counts = best_design([known], choices, allowance)
    budgets, seeds = np.array([choice.budget_flops for choice in choices]), counts.astype(float)
    costs = np.array([choice.flops for choice in choices])
    ladders = [np.log(choice.sizes) for choice in choices]
    spent = float(costs @ seeds)

    def width_at(seeds: Floats) -> float:
        return size_width(truth, budgets, ladders, seeds, target)

    after = width_at(seeds)
    promised = 2 * 1.645 * np.sqrt(variance([known], choices, counts))
    ratios = [spend_for(width_at, how, costs, after, spent) / spent for how in PEERS]
    trials = ", ".join(f"{c.budget_flops:.2g} x {int(n)}" for c, n in zip(choices, seeds, strict=True) if n)
    print(
        f"| {truth.floor:g} + {truth.a:g} N^-{truth.alpha:g} + {truth.b:g} D^-{truth.beta:g} | {target:.0e} "
        f"| {allowance:.1e} | {trials} | {width_at(0 * seeds):.3f} | {after:.3f} | {promised:.3f} | "
        + " | ".join(f"{ratio:.2f}" for ratio in ratios)
        + " |",
        flush=True,
    )
    return ratios


def main() -> None:
    sizes = sys.argv[1:] == ["size"]
    truth, trials = ("loss, N in 1e5, C in 2e11", "new profiles") if sizes else ("truth, C in 2e11", "budget x seeds")
    print(f"| {truth} | target | allowance | {trials} | width before | after | promised | ", end="")
    print(" | ".join(f"{how}, compute over ours" for how in PEERS) + " |")
    print("|" + "---|" * (7 + len(PEERS)))
    if sizes:
        found = [size_compared(t, g, a) for t in SURFACES for g in TARGETS for a in SIZE_ALLOWANCES]
    else:
        found = [compared(t, g, a) for t in TRUTHS for g in TARGETS for a in ALLOWANCES]
    for how, ratios in zip(PEERS, np.array(found).T, strict=True):
        print(f"{how}: geometric mean {np.exp(np.mean(np.log(ratios))):.2f}, least {ratios.min():.2f}")


if __name__ == "__main__":
    main()
