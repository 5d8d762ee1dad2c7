"""The planted studies on which constants of the statistics were chosen: what they show is no proof of those.

On ``UNEVEN`` and ``EQUAL`` were chosen how likely trends and differences of noise are beforehand (``_BELIEF`` and
``_APART`` in scaling/noise/variances.py), on ``TABLES`` the spread of a loss whose luck was taken off (``LEFT_OVER`` in
scaling/noise/luck.py). planted_held_out.py has those on which nothing was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.planted_truth import BUDGETS, FAMILIES, Search, Truth

_BETWEEN = tuple(float(f"{budget:.2g}") for budget in np.geomspace(3.5e10, 3.5e12, 5))
_EIGHT = tuple(float(f"{budget:.2g}") for budget in np.geomspace(2e10, 2e12, 8))
_GRID = Search()
_BOTH: Mapping[str, Search] = {family: _GRID for family in FAMILIES}

EQUAL: tuple[Truth, ...] = (
    Truth(name="equal", told="equal families, 3 seeds of 2 % noise, 5 rungs"),
    Truth(name="equal, 5 % noise", told="the same, noisier", seed_sd=0.05),
    Truth(name="equal, one noisy rung", told="the lowest rung has four times the noise", noisy_rung=True),
    Truth(name="equal, few examples", told="1,000 report examples, 0.5 % seed noise", seed_sd=0.005, examples=1000),
    Truth(name="equal, trunks", told="5 rungs branch from 3 trunks: 95 % of the variance is shared", trunk_sd=0.0195),
    Truth(
        name="equal, unequal rungs",
        told="the families' rungs lie between each other's: nothing but curves overlap",
        budgets={"nfnet": BUDGETS, "vit": _BETWEEN},
    ),
    Truth(name="equal, searched", told="winners are the best of a noisy 5 x 5 search", search=_BOTH),
    Truth(
        name="equal, size at edge",
        told="the vit's sizes end below its optimum",
        search={"nfnet": _GRID, "vit": Search(sizes=(-4.0, -3.2, -2.4, -1.6))},
    ),
    Truth(
        name="equal, rate mistuned",
        told="the vit's learning rates end two octaves below its optimum",
        search={"nfnet": _GRID, "vit": Search(rates=(-5.0, -4.0, -3.0, -2.0))},
    ),
    Truth(
        name="equal, coarse search",
        told="the vit's 3 x 3 grid straddles its optimum by half a step: a real loss of 1.7 % that no edge shows",
        search={"nfnet": _GRID, "vit": Search(sizes=(-1.2, 0.4, 2.0), rates=(-1.5, 0.5, 2.5))},
    ),
)
UNEQUAL: tuple[Truth, ...] = (
    Truth(name="2 % better", told="nfnet 2 % better everywhere, inside the margin", offset=-0.02),
    Truth(name="4 % better", told="nfnet 4 % better everywhere", offset=-0.04),
    Truth(name="8 % better", told="nfnet 8 % better everywhere", offset=-0.08),
    Truth(name="16 % better", told="nfnet 16 % better everywhere", offset=-0.16),
    Truth(name="8 % better, 8 seeds", told="the same with 8 seeds", offset=-0.08, seeds=8),
    Truth(name="8 % worse, rate mistuned", told="nfnet really worse, but the vit's rates end too low", offset=0.08,
          search={"nfnet": _GRID, "vit": Search(rates=(-5.0, -4.0, -3.0, -2.0))}),
    Truth(name="crossing", told="nfnet overtakes in the middle: 9 % worse at the bottom, 9 % better at the top",
          slope=-0.04),
    Truth(name="crossing, unequal rungs", told="the same on rungs that lie between each other's", slope=-0.04,
          budgets={"nfnet": BUDGETS, "vit": _BETWEEN}),
    Truth(name="crossing, trunks", told="the same on branches of 3 trunks", slope=-0.04, trunk_sd=0.0195),
    Truth(name="fading", told="nfnet 18 % better at the bottom, level just above the top", offset=-0.1, slope=0.04),
    Truth(name="any difference", told="offset and slope drawn anew for every study (sd 5 % and 3 % an e-fold)",
          offset_sd=0.05, slope_sd=0.03),
)  # fmt: skip
TABLES: tuple[Truth, ...] = (
    Truth(name="table, noise known", told="a search without fresh seeds; one cell a rung has 3 seeds",
          evidence="search", repeats=3, search=_BOTH, offset_sd=0.05, slope_sd=0.02),
    Truth(name="table, flat search", told="15 cells a rung that are all as good: the worst luck of the best",
          evidence="search", repeats=3, offset_sd=0.05, slope_sd=0.02,
          search=dict.fromkeys(FAMILIES, Search(sizes=(0.0,) * 15, rates=(0.0,)))),
    Truth(name="table, clear winner", told="5 rates a rung, an octave apart", evidence="search", repeats=3,
          offset_sd=0.05, slope_sd=0.02, search=dict.fromkeys(FAMILIES, Search(sizes=(0.0,)))),
    Truth(name="table, noise unknown", told="a search without any repeated seed: noise from the scatter about a line",
          evidence="search", search=_BOTH, offset_sd=0.05, slope_sd=0.02),
    Truth(name="table, variants", told="8 runs a family between each other's, nfnet's each in 3 variants of one luck",
          evidence="search", variants={"nfnet": 3, "vit": 1}, trunk_sd=0.019, offset_sd=0.05, slope_sd=0.02,
          budgets={"nfnet": _EIGHT, "vit": tuple(1.5 * budget for budget in _EIGHT)}),
)  # fmt: skip
_FALLING = (0.06, 0.03, 0.015, 0.008, 0.005)


def _uneven(name: str, told: str, nfnet: Sequence[tuple[float, int]], vit: Sequence[tuple[float, int]]) -> Truth:
    return Truth(name=f"uneven, {name}", told=told, uneven={"nfnet": tuple(nfnet), "vit": tuple(vit)})


UNEVEN: tuple[Truth, ...] = (
    _uneven("5 % x 3, 1 % x 8", "equal families, noise and seeds of nfnet, of vit", [(0.05, 3)] * 5, [(0.01, 8)] * 5),
    _uneven("3 % x 3, 1 % x 6", "the same", [(0.03, 3)] * 5, [(0.01, 6)] * 5),
    _uneven("2 % x 3, 1 % x 8", "the same", [(0.02, 3)] * 5, [(0.01, 8)] * 5),
    _uneven("2 % x 3, 2 % x 8", "only the seeds differ", [(0.02, 3)] * 5, [(0.02, 8)] * 5),
    _uneven("5 % x 3, 1 % x 3", "only the noise differs", [(0.05, 3)] * 5, [(0.01, 3)] * 5),
    _uneven("rising", "noise 1, 1, 2, 3, 6 % over the rungs of both, on 8, 6, 5, 3, 3 seeds",
            *[((0.01, 8), (0.01, 6), (0.02, 5), (0.03, 3), (0.06, 3))] * 2),
    _uneven("falling", "noise 6, 3, 1.5, 0.8, 0.5 % over the rungs of both", *[[(sd, 3) for sd in _FALLING]] * 2),
    _uneven("opposite", "the noise of nfnet falls so, that of vit rises so",
            [(sd, 3) for sd in _FALLING], [(sd, 3) for sd in _FALLING[::-1]]),
    _uneven("one noisy cell", "only nfnet's lowest rung has four times the noise",
            [(0.08, 3), *[(0.02, 3)] * 4], [(0.02, 3)] * 5),
)  # fmt: skip
TUNED = (*EQUAL, *UNEQUAL, *TABLES, *UNEVEN)
