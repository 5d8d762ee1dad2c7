"""What more seeds or rungs would tell: the formula against draws, and its parts against what they add up to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.verdicts import BudgetVerdict, Comparison, UncertaintyBudget
from levelfield.scaling.verdicts.foresight import foreseen
from tests.scaling.contested import flops, planted_rows


def pair(estimate: float, *, margin=0.05) -> Comparison:
    """What was seen with an error of 0.001 ** 0.5, of which 60 % is through seeds."""
    error = 1e-3**0.5
    seen = Interval(estimate=estimate, low=estimate - 1.7 * error, high=estimate + 1.7 * error, level=0.9)
    return Comparison(
        a="a", b="b", currency="flops", margin=margin, per_budget=(), smallest_decidable_margin=0.1,
        overall=BudgetVerdict(budget=1e12, difference=seen, verdict="cannot tell", reasons=()),
        uncertainty=UncertaintyBudget(
            seeds=6e-4, clocks=0.0, search=2e-4, carried=2e-4, examples=0.0, num_rungs=4, decides=2 * error,
            attainable=("better", "equivalent", "worse"),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("estimate", [0.0, 0.03, -0.05])
@pytest.mark.parametrize(("seeds_ratio", "checks_ratio", "more_rungs"), [(2.0, 4.0, 0), (4.0, 1.0, 1), (1.0, 1.0, 2)])
def test_the_chance_is_that_of_studies_drawn_from_what_is_known(estimate, seeds_ratio, checks_ratio, more_rungs):
    """Truths about what was seen, and of each what new runs would show, weighed together with the old ones."""
    rng, asked = np.random.default_rng(7), pair(estimate)
    now, then = 1e-3, (6e-4 / seeds_ratio + 2e-4) * 4 / (4 + more_rungs) + 2e-4 / checks_ratio
    truths = estimate + rng.normal(0, now**0.5, 200_000)
    new = 1 / (1 / then - 1 / now)
    seen = (estimate / now + (truths + rng.normal(0, new**0.5, len(truths))) / new) * then
    told = (np.abs(seen) > 2.0 * then**0.5) | (np.abs(seen) + 1.7 * then**0.5 < 0.05)
    found = foreseen(asked, seeds_ratio=seeds_ratio, checks_ratio=checks_ratio, more_rungs=more_rungs)
    assert found.chance == pytest.approx(told.mean(), abs=0.005)
    assert found.width == pytest.approx((then / now) ** 0.5)


def test_a_later_look_asks_for_more_and_verdicts_that_edges_forbid_do_not_count():
    asked = pair(0.045, margin=0.02)
    free = foreseen(asked, seeds_ratio=4)
    later = foreseen(asked, seeds_ratio=4, error_ratio=1 / 3)
    assert later.chance < free.chance
    assert later.width > free.width
    assert asked.uncertainty is not None
    held = dataclasses.replace(asked.uncertainty, attainable=("better",))
    assert foreseen(dataclasses.replace(asked, uncertainty=held), seeds_ratio=4).chance < 0.01 < free.chance
    assert foreseen(dataclasses.replace(asked, uncertainty=None), seeds_ratio=4).chance == 0


def test_the_parts_of_a_study_add_up_to_its_standard_error_and_seeds_shrink_theirs():
    few, many = (flops(planted_rows(seeds=seeds, seed_sd=0.03)).uncertainty for seeds in (4, 16))
    assert few is not None
    assert many is not None
    assert few.num_rungs == 5
    assert few.seeds == pytest.approx(0.03**2 * 2 / 4 / 5, rel=0.6)
    assert few.seeds / many.seeds == pytest.approx(4, rel=0.5)
    assert few.total == few.seeds + few.clocks + few.search + few.carried + few.examples
