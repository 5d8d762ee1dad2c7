"""Planted studies on which nothing was ever chosen: fixed before they were first run, and never to be tuned on.

Other numbers of seeds and rungs, other ladders and noise, noise that follows no line, errors that are not normal, other
laws of the families, and differences that are no line. A constant that is changed because of what these show makes them
settings of planted_tuned.py, and new ones are due here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.planted_truth import FAMILIES, Search, Truth


def _rungs(low: float, factor: float, num: int) -> dict[str, tuple[float, ...]]:
    return dict.fromkeys(FAMILIES, tuple(float(f"{low * factor**place:.3g}") for place in range(num)))


def _held_out(name: str, told: str, **changes: Any) -> Truth:
    budgets = changes.get("budgets")
    if budgets is not None:  # the control lies at the middle rung, wherever that is
        changes["control"] = budgets[FAMILIES[0]][len(budgets[FAMILIES[0]]) // 2]
    return Truth(name=f"held out: {name}", told=told, **changes)


def _noisy(
    name: str, told: str, nfnet: Sequence[tuple[float, int]], vit: Sequence[tuple[float, int]], **changes
) -> Truth:
    return _held_out(name, told, uneven={"nfnet": tuple(nfnet), "vit": tuple(vit)}, **changes)


_FOUR_BY_SEVEN = Search(sizes=(-1.5, -0.5, 0.5, 1.5), rates=(-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0))
EVEN: tuple[Truth, ...] = (
    _held_out("seven rungs", "equal families, 4 seeds of 1.2 % noise, 7 rungs over 4 decades",
              seed_sd=0.012, seeds=4, budgets=_rungs(1e10, 4.6, 7)),
    _held_out("ten close rungs", "3 seeds of 3 % noise, 10 rungs a factor of 1.6 apart",
              seed_sd=0.03, budgets=_rungs(2e10, 1.6, 10)),
    _held_out("three rungs", "5 seeds of 1 % noise, 3 rungs", seed_sd=0.01, seeds=5, budgets=_rungs(4e10, 7.0, 3)),
    _held_out("8 % noise, 6 seeds", "4 rungs", seed_sd=0.08, seeds=6, budgets=_rungs(2e10, 5.0, 4)),
    _held_out("heavy tails", "errors of Student's t with 4 degrees of freedom, sd 2 %, 3 seeds", tails="t"),
    _held_out("heavy tails, 6 seeds", "the same with 6 seeds", tails="t", seeds=6),
    _held_out("bad luck alone", "exponential errors: most runs are alike, some are much worse; sd 2 %, 3 seeds",
              tails="exponential"),
    _held_out("another law", "loss 1.9 + 0.5 (C / 1e11)^-0.1, 5 seeds of 0.7 % noise",
              law=(1.9, 0.5, 0.1), seed_sd=0.007, seeds=5),
    _held_out("four trunks", "6 rungs branch from 4 trunks: 60 % of the variance is shared",
              seeds=4, trunk_sd=0.0155, budgets=_rungs(2e10, 3.0, 6)),
    _held_out("another search", "winners are the best of 4 sizes x 7 rates, 3 % noise, 4 seeds", seed_sd=0.03, seeds=4,
              search=dict.fromkeys(FAMILIES, _FOUR_BY_SEVEN)),
    _held_out("3,000 examples", "3,000 report examples, 1 % seed noise, 4 seeds", seed_sd=0.01, seeds=4, examples=3000),
)  # fmt: skip
NOISY: tuple[Truth, ...] = (
    _noisy("2.5 % x 4, 0.7 % x 5", "equal families, noise and seeds of nfnet, of vit",
           [(0.025, 4)] * 5, [(0.007, 5)] * 5),
    _noisy("4 % x 5, 1.5 % x 3", "the calm one has the fewer seeds", [(0.04, 5)] * 5, [(0.015, 3)] * 5),
    _noisy("6 % x 3, 1 % x 10", "seven rungs of so unlike families", [(0.06, 3)] * 7, [(0.01, 10)] * 7,
           budgets=_rungs(2e10, 2.5, 7)),
    _noisy("one rises", "noise of nfnet 1, 1.5, 2.2, 3.4, 5 % on 4 seeds, of vit 2 % on 4",
           [(sd, 4) for sd in (0.01, 0.015, 0.022, 0.034, 0.05)], [(0.02, 4)] * 5),
    _noisy("hump", "noise of both 1, 2, 4, 2, 1 % on 4 seeds: no line in ln compute",
           *[[(sd, 4) for sd in (0.01, 0.02, 0.04, 0.02, 0.01)]] * 2),
    _noisy("mildly opposite", "noise of nfnet falls from 2.5 to 1.2 %, that of vit rises so, 4 seeds, 6 rungs",
           [(sd, 4) for sd in (0.025, 0.022, 0.019, 0.016, 0.014, 0.012)],
           [(sd, 4) for sd in (0.012, 0.014, 0.016, 0.019, 0.022, 0.025)], budgets=_rungs(2e10, 3.0, 6)),
    _held_out("every cell its own noise", "sd 2 %, times a lognormal factor (sd of its ln 0.4) for every cell, 3 seeds",
              cell_spread=0.4),
    _held_out("every cell its own noise, 6 seeds", "the same with 6 seeds", cell_spread=0.4, seeds=6),
)  # fmt: skip
DIFFERENT: tuple[Truth, ...] = (
    _held_out("5.5 % better", "nfnet better by just more than the margin, 4 seeds of 1.5 % noise", offset=-0.055,
              seed_sd=0.015, seeds=4),
    _held_out("bent difference", "nfnet 6 % better at both ends, level in the middle: no line", bend=-0.011, seeds=4),
    _held_out("crossing near the top", "nfnet 8 % worse at the bottom, level a factor of 1.7 below the top",
              slope=-0.02, offset=0.035, seed_sd=0.01, seeds=4),
    _held_out("any difference, heavy tails", "offset and slope drawn anew; t errors of 1.5 %, 4 seeds, 6 rungs",
              offset_sd=0.04, slope_sd=0.02, tails="t", seed_sd=0.015, seeds=4, budgets=_rungs(2e10, 3.0, 6)),
    _held_out("any difference, bent", "the same, 3 seeds of normal errors, bent by up to 4 %", offset_sd=0.04,
              slope_sd=0.02, bend=0.007, seed_sd=0.015),
)  # fmt: skip
SEARCHED: tuple[Truth, ...] = (
    _held_out("table, 6 rungs", "a search of 3 sizes x 6 rates with 1 % noise; one cell a rung has 5 seeds",
              seed_sd=0.01, evidence="search", repeats=5, offset_sd=0.05, slope_sd=0.02, budgets=_rungs(2e10, 3.0, 6),
              search=dict.fromkeys(FAMILIES, Search(sizes=(-1.0, 0.0, 1.0), rates=(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)))),
    _held_out("table, 8 equal cells", "8 cells a rung that are all as good, 4 % noise; one of them has 4 seeds",
              seed_sd=0.04, evidence="search", repeats=4, offset_sd=0.05, slope_sd=0.02,
              search=dict.fromkeys(FAMILIES, Search(sizes=(0.0,) * 8, rates=(0.0,)))),
    _held_out("table, heavy tails", "the best of 5 x 5, t errors of 2 %; one cell a rung has 3 seeds",
              tails="t", evidence="search", repeats=3, offset_sd=0.05, slope_sd=0.02,
              search=dict.fromkeys(FAMILIES, Search())),
    _held_out("table, noise unknown", "the best of 4 x 5 at 7 rungs, no repeated seed", evidence="search",
              seed_sd=0.015, offset_sd=0.05, slope_sd=0.02, budgets=_rungs(2e10, 2.5, 7),
              search=dict.fromkeys(FAMILIES, Search(sizes=(-1.2, -0.4, 0.4, 1.2)))),
    _held_out("table, variants", "10 runs a family, nfnet's in 2, vit's in 4 variants that share half",
              evidence="search", variants={"nfnet": 2, "vit": 4}, trunk_sd=0.014, offset_sd=0.05, slope_sd=0.02,
              budgets=_rungs(2e10, 1.7, 10)),
)  # fmt: skip
HELD_OUT = (*EVEN, *NOISY, *DIFFERENT, *SEARCHED)
