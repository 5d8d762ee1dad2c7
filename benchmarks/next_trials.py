"""How much compute a uniform ladder needs for the interval that proposed trials reach.

    uv run python -m benchmarks.next_trials

Each truth is planted: five rungs of three seeds, loss E + A C^-b, noise of 2 % in ln loss. Levelfield proposes trials
for an allowance; the study with them is then simulated 2,000 times and refitted by weighted least squares, each
replicate with noise of its own. The peers spend on the same grid of budgets, up to the dearest that the allowance buys:
the same number of seeds on every budget, the same compute, or all on the dearest. Their spending (seeds may be
fractions) is raised until the middle 90 % of their predictions is as narrow: "inf" where 128 times ours is not enough.
Common random numbers; nothing is timed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from levelfield.scaling.analysis import CurvePoint, LawFit, LawRow
from levelfield.scaling.design import Knowledge, best_design, candidates, knowledge, variance
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.solver import solve_many

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
        chosen=True,
        status="",
        num_budgets=len(PRESENT),
        fitted_low=float(PRESENT[0]),
        fitted_high=float(PRESENT[-1]),
        curve=(CurvePoint(x=1.0, y=1.0, low=1.0, high=1.0),),
        rows=tuple(LawRow(compute=float(c), loss=float(v)) for c, v in zip(PRESENT, loss, strict=True)),
        delta=np.inf,
        covariance=tuple(tuple(row) for row in (np.eye(len(PRESENT)) * RUN_SD**2 / SEEDS).tolist()),
        degrees_of_freedom=float(len(PRESENT) * (SEEDS - 1)),
    )
    return knowledge(law, target=target, num_seeds=SEEDS)


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


def spread_seeds(how: str, budgets: Floats, spend: float) -> Floats:
    """Seeds on each budget, fractions allowed, that cost ``spend`` in all."""
    if how == "equal seeds":
        return np.full(len(budgets), spend / budgets.sum())
    if how == "equal compute":
        return spend / len(budgets) / budgets
    return np.where(np.arange(len(budgets)) == len(budgets) - 1, spend / budgets, 0.0)


def spend_for(truth: Truth, how: str, budgets: Floats, target: float, wanted: float, ours: float) -> float:
    """What ``how`` must spend for an interval of ``wanted``: by halving in ln compute, between 1/8 and 128 of ours."""
    low, high = np.log(ours / 8), np.log(ours * 128)
    if width(truth, budgets, spread_seeds(how, budgets, float(np.exp(high))), target) > wanted:
        return np.inf
    for _ in range(7):
        middle = (low + high) / 2
        reached = width(truth, budgets, spread_seeds(how, budgets, float(np.exp(middle))), target)
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
    ratios = [spend_for(truth, how, budgets, target, after, spent) / spent for how in PEERS]
    trials = ", ".join(f"{c.budget_flops:.2g} x {int(n)}" for c, n in zip(choices, seeds, strict=True) if n)
    print(
        f"| {truth.floor:g} + {truth.coefficient:g} C^-{truth.exponent:g} | {target:.0e} | {allowance:.1e} | {trials} "
        f"| {before:.3f} | {after:.3f} | {promised:.3f} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |",
        flush=True,
    )
    return ratios


def main() -> None:
    print("| truth, C in 2e11 | target | allowance | budget x seeds | width before | after | promised | ", end="")
    print(" | ".join(f"{how}, compute over ours" for how in PEERS) + " |")
    print("|" + "---|" * (7 + len(PEERS)))
    found = [compared(*case) for case in ((t, g, a) for t in TRUTHS for g in TARGETS for a in ALLOWANCES)]
    for how, ratios in zip(PEERS, np.array(found).T, strict=True):
        print(f"{how}: geometric mean {np.exp(np.mean(np.log(ratios))):.2f}, least {ratios.min():.2f}")


if __name__ == "__main__":
    main()
