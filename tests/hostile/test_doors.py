"""A seeded part of what the acceptance runs of tables and commands try."""

import pytest

from tests.hostile.run import run_kind


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("tables", 100), ("commands", 80)])
def test_a_tenth_of_the_hostile_inputs_is_right_or_refused(kind, count):
    tally = run_kind(kind, range(count), seed=15)
    assert not tally.faults, tally.told()
    assert min(tally.count("right"), tally.count("refused")) >= 1
