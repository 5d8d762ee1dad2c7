"""Studies with a known truth, made by code that shares nothing with the statistics it tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from levelfield.records.observation import Observation

BUDGETS = (2e10, 6e10, 2e11, 6e11, 2e12)
SECONDS_PER_FLOP = {"nfnet": 1e-10, "vit": 1e-10}
CHANCE = math.log(100)


def saturating_loss(budget: float, *, floor: float = 0.8, coefficient: float = 1.5, exponent: float = 0.25) -> float:
    """E + A (C / 1e11)^-b."""
    return floor + coefficient * (budget / 1e11) ** -exponent


def winner_rows(
    generator: np.random.Generator,
    *,
    families: Sequence[str] = ("nfnet", "vit"),
    budgets: Sequence[float] = BUDGETS,
    seed_sd: float = 0.02,
    seeds: int = 3,
    shift: Mapping[str, float] | None = None,
    loss=saturating_loss,
    control_budget: float | None = None,
    seconds_per_flop: Mapping[str, float] = SECONDS_PER_FLOP,
    seconds_sd: float = 0.0,
    **changes: Any,
) -> list[Observation]:
    """Fresh seeds of the winner of every rung; ``shift`` moves a family's ln loss, ``changes`` set further fields."""
    rows = []
    for family in families:
        for budget in budgets:
            truth = math.log(loss(budget)) + (shift or {}).get(family, 0.0)
            roles = [("winner", 1)] + ([("control", 101)] if budget == control_budget else [])
            for role, first in roles:
                for seed in range(first, first + seeds):
                    seconds = budget * seconds_per_flop[family] * math.exp(seconds_sd * generator.standard_normal())
                    fields: dict[str, Any] = {
                        "run": f"{family}-{budget:.3e}-{role}-{seed}",
                        "family": family,
                        "model": f"{family}:w{round(math.log10(budget) * 10)}",
                        "role": role,
                        "loss": math.exp(truth + seed_sd * generator.standard_normal()),
                        "budget_flops": budget,
                        "train_flops": budget,
                        "params": 3e4 * math.sqrt(budget / 1e11),
                        "examples": 1e5 * math.sqrt(budget / 1e11),
                        "epochs": 0.1,
                        "base_lr": 0.2,
                        "seed": seed,
                        "device_seconds": seconds,
                        "device": "cpu",
                        "chance": CHANCE,
                    }
                    rows.append(Observation(**{**fields, **changes}))
    return rows


def search_rows(
    generator: np.random.Generator,
    *,
    family: str = "nfnet",
    budgets: Sequence[float] = BUDGETS,
    sizes: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0),
    rates: Sequence[float] = (0.1, 0.2, 0.4),
    run_sd: float = 0.0,
    params_exponent: float = 0.5,
) -> list[Observation]:
    """A full grid of sizes (relative to the optimum) and rates (the optimum is 0.2) at every budget."""
    rows = []
    for budget in budgets:
        optimum = 3e4 * (budget / 1e11) ** params_exponent
        for share in sizes:
            for rate in rates:
                off = 0.04 * math.log(share) ** 2 + 0.05 * math.log2(rate / 0.2) ** 2
                params = share * optimum
                rows.append(
                    Observation(
                        run=f"{family}-{budget:.3e}-{share}-{rate}",
                        family=family,
                        model=f"{family}:{share}-{budget:.0e}",
                        role="search",
                        loss=saturating_loss(budget) * math.exp(off + run_sd * generator.standard_normal()),
                        budget_flops=budget,
                        train_flops=budget,
                        params=params,
                        examples=budget / (600 * params),
                        epochs=budget / (600 * params) / 1e6,
                        base_lr=rate,
                        chance=CHANCE,
                    )
                )
    return rows


def with_examples(
    rows: Sequence[Observation],
    generator: np.random.Generator,
    *,
    num_examples: int,
    disagreement: float = 0.5,
) -> tuple[list[Observation], dict[str, NDArray[np.float32]]]:
    """Per-example losses on one report set drawn from an endless one, and the rows with their means on it.

    An example's expected loss is the run's own expected loss times a hardness of mean 1 that all runs share; every
    family disagrees with it by a factor of its own (mean 1, sd ``disagreement``), every run by another (sd 0.3).
    """
    hardness = generator.gamma(1.0, 1.0, num_examples)
    taste = {family: _factor(generator, disagreement, num_examples) for family in {row.family for row in rows}}
    held = {}
    judged = []
    for row in rows:
        losses = (row.loss * hardness * taste[row.family] * _factor(generator, 0.3, num_examples)).astype(np.float32)
        held[row.run] = losses
        judged.append(Observation(**{**vars(row), "loss": float(losses.mean(dtype=np.float64))}))
    return judged, held


def _factor(generator: np.random.Generator, sd: float, num: int) -> NDArray[np.float64]:
    """Positive factors of mean 1."""
    if sd == 0:
        return np.ones(num)
    return generator.gamma(1 / sd**2, sd**2, num)


def planted_times(few: int, many: int) -> pytest.MarkDecorator:
    """The test with ``num`` planted truths: ``few`` in the slow tier, ``many`` before an issue is called done."""
    tiers = {few: pytest.mark.slow, many: pytest.mark.acceptance}
    return pytest.mark.parametrize("num", [pytest.param(num, marks=mark) for num, mark in tiers.items()])


def binomial_bounds(rate: float, num: int) -> tuple[float, float]:
    """Rates that ``num`` trials of chance ``rate`` stay within all but once in a thousand times (normal limit)."""
    half = 3.3 * math.sqrt(rate * (1 - rate) / num)
    return rate - half, rate + half
