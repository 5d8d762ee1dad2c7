"""Pictures, weights and Parquet that are damaged or forged: right or refused, at a price that is theirs."""

import importlib

import pytest

from tests.hostile.child import outcome
from tests.hostile.run import run_kind

KINDS = ("pictures", "weights", "parquets", "ingests", "masks")


@pytest.mark.parametrize("kind", KINDS)
def test_some_cases_are_right_or_refused(kind: str) -> None:
    module = importlib.import_module(f"tests.hostile.{kind}")
    verdicts = [outcome(module, 1, index) for index in range(30)]
    faults = [each for each in verdicts if each["verdict"] not in ("right", "refused")]
    assert not faults, faults[0]
    assert {each["verdict"] for each in verdicts} == {"right", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_tenth_of_the_cases_is_right_or_refused_within_the_limits(kind: str) -> None:
    tally = run_kind(kind, range(importlib.import_module(f"tests.hostile.{kind}").COUNT // 10), seed=1)
    assert not tally.faults, tally.told()
