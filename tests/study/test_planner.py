"""Planning on from one result to the next gives what planning from nothing gives, in whatever order results come."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelfield.records.probe import ProbeSpec
from levelfield.records.study import StudySpec
from levelfield.records.trial import HeldOutMeans, TrialResult
from levelfield.study.plan.plan import Planner, plan
from levelfield.study.planned import PlannedTransfer, PlannedTrial
from tests.study.simulated import FACTS, outcome_of, study
from tests.study.test_swap_and_locked import LADDER, LOCKED, a_lock, swapping
from tests.study.test_transfers import TARGETED, transferring


def _small(spec: StudySpec) -> StudySpec:
    families = [dataclasses.replace(entry, sizes=entry.sizes[:3]) for entry in spec.families]
    budgets = spec.ladder.budgets[1:]
    return dataclasses.replace(spec, families=tuple(families), ladder=dataclasses.replace(spec.ladder, budgets=budgets))


def _under_two_names() -> StudySpec:
    """One family's networks, entered twice; every rung audited."""
    spec = _small(study())
    first = spec.families[1]
    search = dataclasses.replace(spec.search, audit_budgets=spec.ladder.budgets)
    return dataclasses.replace(spec, families=(first, dataclasses.replace(first, name="again")), search=search)


STUDIES = {
    "audited, one network by two names": (_under_two_names(), FACTS),
    "swapped and locked": (_small(swapping(ladder=LADDER)), FACTS),
    "transferred": (_small(transferring()), TARGETED),
}


def _result(planned: PlannedTrial | PlannedTransfer, loss: float) -> TrialResult | None:
    if isinstance(planned.spec, ProbeSpec):
        return None
    as_trial = PlannedTrial(
        spec=planned.spec, role="search", family=planned.family, budget_flops=planned.budget_flops, base_lr=1.0
    )
    held = {planned.spec.held_out: HeldOutMeans(values={"loss": loss, "error": 0.5}, num_examples=100)}
    found = outcome_of(as_trial, loss)
    return dataclasses.replace(found, held_out=held) if math.isfinite(loss) else found


@pytest.mark.parametrize("name", STUDIES)
@settings(max_examples=5, deadline=None)
@given(draw=st.randoms(use_true_random=False), data=st.data())
def test_a_result_more_gives_the_plan_that_is_made_from_nothing(name: str, draw: Any, data: st.DataObject):
    (spec, facts), results, locks, probed = STUDIES[name], {}, {}, set()
    planner, waiting = Planner(spec, facts, {}), {}
    for _ in range(data.draw(st.integers(0, 250))):
        waiting |= {planned.spec.fingerprint: planned for planned in planner.newly_wanted()}
        if not waiting and planner.to_lock:
            locks = {LOCKED: a_lock()}
            planner.lock(locks)
            continue
        if not waiting:
            break
        key = draw.choice(sorted(waiting))
        result = _result(waiting.pop(key), draw.choice([1.0, 1.5, math.inf, draw.uniform(0.5, 2.0)]))
        planner.learn(key, result)
        results |= {} if result is None else {key: result}
        probed |= {key} if result is None else set()
    whole = plan(spec, facts, results, locks)
    assert planner.plan() == whole
    assert planner.num_wanted == whole.num_wanted
    assert planner.num_waiting == len(whole.pending(results, probed))
    assert planner.to_lock == whole.to_lock
    waiting |= {planned.spec.fingerprint: planned for planned in planner.newly_wanted()}
    assert waiting.keys() == whole.waiting(results.keys(), probed), "each was told once, and none forgotten"
    again = Planner(spec, facts, results, locks, probed=probed)
    assert {planned.spec.fingerprint for planned in again.newly_wanted()} == waiting.keys(), "resumed"
