"""kill -9 at random moments, other ranks, readers and batches at every resume: what was seen is what was to be seen."""

import random
import tempfile
from pathlib import Path

import pytest
from benchmarks.killed_loader import POSITIONS, disturbed, faults_of, prepared, undisturbed

pytest.importorskip("obstore", reason="levelfield[remote] is not installed")
RUNS = 50
TENTH = random.Random(18).sample(range(RUNS), RUNS // 10)


@pytest.fixture(scope="module")
def places():
    with tempfile.TemporaryDirectory() as root, prepared(Path(root)) as places:
        yield places


def assert_as_undisturbed(number: int, places) -> None:
    run = disturbed(places.spec(number), number, places.fresh(), random.Random(number))
    history = undisturbed(places.near(number), number)
    assert run.history == history
    assert len(history) == POSITIONS
    assert faults_of(history, 80) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", TENTH)
def test_a_tenth_of_the_killed_runs_see_what_an_undisturbed_one_sees(number, places):
    assert_as_undisturbed(number, places)


@pytest.mark.acceptance
@pytest.mark.parametrize("number", range(RUNS))
def test_killed_runs_see_what_an_undisturbed_one_sees(number, places):
    assert_as_undisturbed(number, places)
