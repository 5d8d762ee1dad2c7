"""Planted tables: the bars of benchmarks/planted_tables.py on fifty, and two of them in every run of the suite."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.planted_layouts import LAYOUTS, draw_table
from benchmarks.planted_tables import interval_score, judge

from levelfield.scaling.results.intervals import Interval
from tests.scaling.planted import binomial_bounds

SEED = 31


def test_a_table_comes_again_from_its_key_and_its_optimum_lies_below_all_of_its_rows():
    seen = set()
    for place in range(20):
        table, again = draw_table([SEED, place]), draw_table([SEED, place])
        assert table.columns["loss"][:3] == again.columns["loss"][:3]
        assert table.log_loss < np.nanmin(np.log(np.array(table.columns["loss"], dtype=float)))
        assert 30 <= table.times <= 300
        seen.add(table.layout)
    assert seen == set(LAYOUTS)


def test_an_interval_is_scored_by_its_width_and_by_ten_times_two_how_far_the_truth_lies_outside():
    interval = Interval(estimate=1.0, low=np.exp(-0.1), high=np.exp(0.1), level=0.9)
    assert interval_score(interval, 0.0) == pytest.approx(0.2)
    assert interval_score(interval, 0.2) == pytest.approx(0.2 + 20 * 0.1)


@pytest.mark.slow
def test_a_few_planted_tables_are_foretold():
    found = [judge(draw_table([SEED, place])) for place in range(6)]
    assert not any(each.refused for each in found)
    assert np.median([abs(each.error) for each in found]) < 0.04


@pytest.mark.acceptance
def test_the_headline_holds_its_bars_on_planted_tables():
    num = 60
    found = [judge(draw_table([SEED, place])) for place in range(num)]
    told = [each for each in found if not each.refused]
    assert len(told) >= 0.9 * num
    assert np.median([abs(each.error) for each in told]) <= 0.03
    assert np.mean([each.covered for each in told]) >= binomial_bounds(0.9, num)[0]
