"""What the two-trial rule of the learning rate saves against a full grid, and what it costs in loss.

    uv run python -m benchmarks.two_trial_rule

Studies are planted: five budgets, five sizes a budget, eight rates a factor of 2 apart. Loss is
0.8 + 1.5 (C / 1e11)^-0.25 times a parabola in ln size times a lopsided one in log2 rate, about an optimum that moves as
powers of size and examples; the best size lies up to 1.5 octaves from the middle one, where the rule is anchored.
Three rules choose a rate for every cell and then the best cell of a rung, from the same noisy losses: the whole grid;
levelfield's rule (the middle size at both ends bracketed, two trials elsewhere, each rung's best cell bracketed); and
that rule without the last step. "Excess" is the noise-free loss of what was chosen over that of the best rate and size
on the grid. The functions are those that plan real studies; nothing is trained and nothing is timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from levelfield.study.plan.rung import guessed_rate
from levelfield.study.plan.search import search_two, search_until_bracketed

STUDIES, CAP = 400, 8
BUDGETS = (2e10, 6e10, 2e11, 6e11, 2e12)
SIZES = (0.25, 0.5, 1.0, 2.0, 4.0)
RATES = 0.2 * 2.0 ** np.arange(-4.0, 4.0)
CURVATURE, SKEW = 0.03, 0.3
RULES = ("whole grid", "two trials, winners bracketed", "two trials alone")


class Trend(NamedTuple):
    """How the optimal rate moves: powers of size and of examples."""

    name: str
    size: float
    examples: float


TRENDS = (
    Trend("does not move", 0.0, 0.0),
    Trend("falls slowly", -0.1, -0.2),
    Trend("falls fast", -0.4, -0.4),
    Trend("rises", 0.2, 0.2),
    Trend("falls with size alone", -0.5, 0.0),
    Trend("falls with size, rises with examples", -0.5, 0.5),
)
NOISES = (0.0, 0.01, 0.02)


def losses(trend: Trend, shift: float, off_middle: float) -> np.ndarray:
    """Noise-free losses (budgets, sizes, rates); the best size lies ``off_middle`` octaves above the middle one."""
    found = np.empty((len(BUDGETS), len(SIZES), len(RATES)))
    for b, budget in enumerate(BUDGETS):
        for s, share in enumerate(SIZES):
            params = share * 3e4 * math.sqrt(budget / 2e11)
            examples = budget / (600 * params)
            best = 0.2 * (params / 3e4) ** trend.size * (examples / 1.1e4) ** trend.examples * 2.0**shift
            off = np.log2(RATES / best)
            tuned = CURVATURE * off**2 * (1 + SKEW * np.tanh(off))
            found[b, s] = (0.8 + 1.5 * (budget / 1e11) ** -0.25) * np.exp(
                0.04 * (math.log(share) - off_middle * math.log(2)) ** 2 + tuned
            )
    return found


class Chosen(NamedTuple):
    """Rate indices (budgets, sizes), size index (budgets,), and FLOPs of the search."""

    rates: np.ndarray
    sizes: np.ndarray
    flops: float


def searched(seen: np.ndarray, rule: str) -> Chosen:
    tried: set[tuple[int, int, int]] = set()

    def at(b: int, s: int) -> Callable[[int], float]:
        def loss(index: int) -> float:
            tried.add((b, s, index))
            return float(seen[b, s, index])

        return loss

    num_rates, middle = len(RATES), len(SIZES) // 2
    rates = np.empty(seen.shape[:2], dtype=int)
    ends = (0, len(BUDGETS) - 1)
    anchors = {}
    if rule != "whole grid":
        for b in ends:
            found = search_until_bracketed(num_rates, num_rates // 2, at(b, middle), cap=CAP)
            anchors[BUDGETS[b]] = found.best
    for b in range(len(BUDGETS)):
        for s in range(len(SIZES)):
            if rule == "whole grid":
                rates[b, s] = min(range(num_rates), key=at(b, s))
            elif s == middle and b in ends:
                rates[b, s] = anchors[BUDGETS[b]]
            else:
                guess = guessed_rate(BUDGETS[b], anchors)
                assert guess is not None  # both anchors are known
                rates[b, s] = search_two(guess, at(b, s)).best
    of_cells = np.take_along_axis(seen, rates[..., None], axis=2)[..., 0]
    sizes = of_cells.argmin(axis=1)
    if rule == "two trials, winners bracketed":
        for b, s in enumerate(sizes):
            found = search_until_bracketed(num_rates, int(rates[b, s]), at(b, int(s)), cap=CAP)
            rates[b, s] = found.best
    return Chosen(rates, sizes, sum(BUDGETS[b] for b, _, _ in tried))


def main() -> None:
    print(f"{STUDIES} studies a row; FLOPs as a share of the whole grid's; excess of ln loss in %")
    print("| optimal rate | noise | rule | FLOPs | saved | winner: mean excess | 95th | every cell: mean excess |")
    print("|---|---|---|---|---|---|---|---|")
    for trend in TRENDS:
        for noise in NOISES:
            tell(trend, noise)


def tell(trend: Trend, noise: float) -> None:
    told = {rule: ([], [], []) for rule in RULES}
    whole = sum(BUDGETS) * len(SIZES) * len(RATES)
    for place in range(STUDIES):
        generator = np.random.default_rng([7, place])
        truth = losses(trend, generator.uniform(-0.5, 0.5), generator.uniform(-1.5, 1.5))
        seen = truth * np.exp(noise * generator.standard_normal(truth.shape))
        for rule in RULES:
            found = searched(seen, rule)
            cells = np.log(np.take_along_axis(truth, found.rates[..., None], axis=2)[..., 0])
            winners = cells[np.arange(len(BUDGETS)), found.sizes] - np.log(truth.min(axis=(1, 2)))
            told[rule][0].append(found.flops / whole)
            told[rule][1].extend(winners)
            told[rule][2].append(float(np.mean(cells - np.log(truth.min(axis=2)))))
    for rule, (flops, winners, cells) in told.items():
        share = float(np.mean(flops))
        print(
            f"| {trend.name} | {noise:.0%} | {rule} | {share:.2f} | {1 - share:.0%} | {100 * np.mean(winners):.2f} | "
            f"{100 * np.percentile(winners, 95):.2f} | {100 * np.mean(cells):.2f} |"
        )


if __name__ == "__main__":
    main()
