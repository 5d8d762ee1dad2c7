"""A seeded tenth of what may happen to a study's files; ``python -m tests.hostile studies`` runs all of it."""

import pytest

from tests.hostile.run import run_kind
from tests.hostile.studies import COUNT


@pytest.mark.slow
def test_whatever_happens_to_a_file_of_a_study_it_is_restored_retrained_or_named():
    tally = run_kind("studies", range(COUNT // 10), seed=7, seconds=60.0)
    assert not tally.faults, tally.told()
    assert tally.count("right") > 5
    assert tally.count("refused") > 5
