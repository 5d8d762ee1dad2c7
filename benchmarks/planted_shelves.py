"""Planted shelves: how often the set that may be the best holds the best, and how large it is.

    python -m benchmarks.planted_shelves                     # 1,000 races a setting
    python -m benchmarks.planted_shelves --minutes 10 --out planted_shelves.md

As :mod:`benchmarks.planted_races`, with 2, 5 or 20 competitors of one size each instead of two families: those that are
``equal`` to the best lie at its loss, the others behind it by what they drew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.planted_races import run_settings
from levelfield.records.observation import Observation
from levelfield.scaling.tables.rungs import checked
from levelfield.scaling.verdicts.best import not_told_from_the_best
from levelfield.scaling.verdicts.contest import contest_of

BUDGETS = (1e11, 3.2e11, 1e12)
RATES = (0.008, 0.016, 0.032, 0.064, 0.128)
SEEDS, NUM_EXAMPLES, DRAWS = 5, 2000, 199


@dataclass(frozen=True, kw_only=True)
class Setting:
    """``num`` competitors, ``equal`` of them the best; the others up to ``spread`` of ln loss behind."""

    num: int
    equal: int = 1
    spread: float = 0.2
    sd: float = 0.02

    @property
    def name(self) -> str:
        return f"{self.num}, {self.equal} equally good, others to {self.spread:.0%} behind, seeds {self.sd:.0%}"


SETTINGS = (
    Setting(num=2),
    Setting(num=2, equal=2),
    Setting(num=5),
    Setting(num=5, equal=3),
    Setting(num=5, equal=5),
    Setting(num=20),
    Setting(num=20, equal=5),
    Setting(num=20, equal=20),
    Setting(num=5, spread=0.05),
    Setting(num=5, equal=2, sd=0.05),
)


def rows_of(setting: Setting, draw: np.random.Generator) -> tuple[list[Observation], dict[str, np.ndarray], list[str]]:
    """The runs of one race, their losses by example, and the competitors that are truly the best."""
    names = [f"weights-{place:02d}" for place in range(setting.num)]
    behind = np.concatenate([np.zeros(setting.equal), draw.uniform(0.01, setting.spread, setting.num - setting.equal)])
    draw.shuffle(behind)
    common = 0.5 * draw.standard_normal(NUM_EXAMPLES)
    rows, held = [], {}
    for name, lag in zip(names, behind, strict=True):
        own, optimum = 0.3 * draw.standard_normal(NUM_EXAMPLES), draw.normal(2, 0.7)
        for budget in BUDGETS:
            level = 0.5 + lag - 0.05 * math.log(budget / 1e11)
            tried = {}
            for place, rate in enumerate(RATES):
                tried[rate] = level + 0.02 * (place - optimum) ** 2 + setting.sd * draw.standard_normal()
                rows.append(_row(name, budget, "search", rate, 0, math.exp(tried[rate])))
            best = min(tried, key=lambda rate, tried=tried: tried[rate])
            true = level + 0.02 * (RATES.index(best) - optimum) ** 2
            for seed in range(1, SEEDS + 1):
                loss = math.exp(true + setting.sd * draw.standard_normal()) * (1 + own + common)
                row = _row(name, budget, "winner", best, seed, float(loss.mean()))
                rows.append(row)
                held[row.run] = loss
    return rows, held, [name for name, lag in zip(names, behind, strict=True) if lag == 0]


def _row(family: str, budget: float, role: str, rate: float, seed: int, loss: float) -> Observation:
    return Observation(
        run=f"{family}/{budget:g}/{role}/{rate}/{seed}", family=family, model=family,
        role="winner" if role == "winner" else "search", loss=loss, budget_flops=budget, train_flops=budget, params=1e6,
        examples=budget / 1e6, epochs=1.0, base_lr=rate, seed=seed,
    )  # fmt: skip


def tally(setting: Setting, num: int, *, first: int, found: Mapping[str, list[float]]) -> None:
    for place in range(first, first + num):
        draw = np.random.default_rng([2033, SETTINGS.index(setting), place])
        rows, held, best = rows_of(setting, draw)
        names = sorted({row.family for row in rows})
        contest = contest_of(
            checked(rows), held_out_losses=held, margin=0.05, level=0.9, equal_search=True, compared=names,
            generator=draw,
        )  # fmt: skip
        comparisons, _ = contest.held(generator=draw, num_draws=DRAWS)
        told = not_told_from_the_best(names, comparisons)
        found["holds"].append(all(name in told for name in best))
        found["holds one"].append(any(name in told for name in best))
        found["size"].append(len(told))


def page(found: Mapping[Setting, Mapping[str, Sequence[float]]]) -> Iterator[str]:
    yield "| setting | races | holds the best % | holds all equally good % | size of the set |"
    yield "|---|---|---|---|---|"
    for setting, told in found.items():
        if told["size"]:
            mean = {name: float(np.mean(values)) for name, values in told.items()}
            yield (
                f"| {setting.name} | {len(told['size'])} | {100 * mean['holds one']:.1f} | {100 * mean['holds']:.1f} "
                f"| {mean['size']:.2f} of {setting.num} |"
            )


if __name__ == "__main__":
    run_settings(__doc__, SETTINGS, tally, page, title="Planted shelves")
