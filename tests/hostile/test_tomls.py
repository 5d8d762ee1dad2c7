"""Study files of any kind are refused in a sentence or can be meant: a seeded tenth of the acceptance count."""

import pytest

from tests.hostile.run import run_kind
from tests.hostile.tomls import COUNT


@pytest.mark.slow
def test_mutated_studies_are_refused_in_a_sentence_or_plan_and_train() -> None:
    tally = run_kind("tomls", range(COUNT // 10), seed=14)
    assert not tally.faults, tally.told()
    assert tally.count("right") >= 10
