"""A loss that depends on the batch is compared among runs of one batch size, and refused elsewhere with the sizes."""

import dataclasses

import numpy as np

from levelfield.records.measure import Measure
from levelfield.report.words.told import told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.results.reasons.verdicts import UnequalBatches
from levelfield.scaling.results.refusals import LawOf
from tests.scaling.planted import winner_rows

CONTRASTIVE = Measure(name="loss", unit="nats", equal_batch=True)


def rows(*sizes: int):
    found = winner_rows(np.random.default_rng(0), shift={"nfnet": -0.2})
    budgets = sorted({row.budget_flops for row in found})
    return [
        dataclasses.replace(row, global_batch_size=sizes[budgets.index(row.budget_flops) % len(sizes)]) for row in found
    ]


def test_unequal_batches_get_neither_law_nor_verdict():
    found = analyse(rows(64, 128), measure=CONTRASTIVE)
    why = UnequalBatches(measure="loss", least=64, most=128)
    assert not found.laws
    assert not found.allocations
    assert all(each.overall.verdict == "cannot tell" for each in found.comparisons)
    assert all(why in each.overall.reasons for each in found.comparisons)
    refused = [each for each in found.refusals if isinstance(each.what, LawOf)]
    assert [each.why for each in refused] == [(why,), (why,)]
    assert "64 to 128 examples" in told(why)


def test_equal_batches_and_other_measures_are_compared_as_ever():
    equal, error = analyse(rows(64), measure=CONTRASTIVE), analyse(rows(64, 128))
    for found in (equal, error):
        assert found.laws
        assert {each.overall.verdict for each in found.comparisons} == {"better"}
