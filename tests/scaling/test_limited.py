"""Studies of few images: every rung repeats them often, and the verdict is about just that."""

import dataclasses

import pytest

from levelfield.report.words.verdicts import finding
from levelfield.scaling.results.reasons.verdicts import DataLimited, EveryRungLimited
from tests.scaling.contested import flops, planted_rows, seconds


def repeated(**planted):
    return [dataclasses.replace(row, epochs=40.0) for row in planted_rows(**planted)]


@pytest.mark.parametrize(("gap", "verdict"), [(0.0, "equivalent"), (-0.2, "better")])
def test_a_study_of_data_limited_rungs_alone_has_a_verdict_that_says_so(gap, verdict):
    found = flops(repeated(shift={"nfnet": gap}))
    assert found.overall.verdict == verdict
    assert EveryRungLimited() in found.overall.reasons
    assert all(any(isinstance(why, DataLimited) for why in each.reasons) for each in found.per_budget)
    assert "where few images limit training, NFNet" in finding(found)
    assert found.span is not None


def test_device_seconds_rank_equally_there():
    assert seconds(repeated(shift={"nfnet": -0.2})).overall.verdict == "better"


def test_one_rung_within_the_limit_is_judged_without_those_beyond_it():
    rows = repeated(shift={"nfnet": -0.2})
    least = min(row.budget_flops for row in rows)
    mixed = [dataclasses.replace(row, epochs=1.0) if row.budget_flops == least else row for row in rows]
    found = flops(mixed)
    assert found.span == (least, least)
    assert EveryRungLimited() not in found.overall.reasons


@pytest.mark.parametrize(("capped", "verdict"), [(True, "better"), (False, "cannot tell")])
def test_a_family_that_spends_less_of_a_cap_by_choice_is_judged_and_one_that_was_given_less_is_not(capped, verdict):
    rows = [
        dataclasses.replace(row, train_flops=row.train_flops / 4, capped=capped) if row.family == "vit" else row
        for row in repeated(shift={"nfnet": -0.2})
    ]
    assert flops(rows).overall.verdict == verdict
