"""Races on planted truths: seldom wrong whenever one stops, and able to find what there is to find."""

import pytest
from benchmarks.planted_races import SETTINGS, Truth, run, study_of, tally

BY_NAME = {setting.name: setting for setting in SETTINGS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "races", "most_false", "fewest_decided"),
    [
        ("equal, 3 looks", 20, 3, 0),
        ("10 % apart, 3 looks", 10, 1, 9),
        *(
            pytest.param(setting.name, 300, 300 * 0.05 + 12, 0, marks=pytest.mark.acceptance)
            for setting in SETTINGS
            if "odd" not in setting.name
        ),
    ],
)
def test_a_race_is_seldom_wrong_and_finds_what_there_is(name, races, most_false, fewest_decided):
    """Nominal: 5 % of races of equal families with any false verdict; the bound is three standard errors above."""
    found = tally(BY_NAME[name], races, beside_grid=False)
    assert sum(found["false"]) <= most_false
    assert sum(found["decided"]) >= fewest_decided


def test_a_planted_race_comes_out_the_same_again_and_reaches_an_optimum_far_from_its_start():
    setting = BY_NAME["one optimum far above, 3 looks"]
    first, again = (run(Truth(setting, 3), study_of(), 1) for _ in range(2))
    assert first == again
    assert first.edges == 0
