"""What a study is expected to take beyond what is known of it: trials, FLOPs, and seconds by the speeds here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult
from levelfield.study.bill.bill import bill
from levelfield.study.bill.foretold import Speeds
from levelfield.study.bill.supposed import supposed_courses
from levelfield.study.facts import DataFacts
from levelfield.study.plan.plan import plan
from levelfield.study.planned import PlannedTrial

_COURSES = 3
"""Supposed ones: what is expected is then known to some 5 %."""


@dataclass(frozen=True, kw_only=True)
class Spend:
    """What is left of a race: trials and training FLOPs that are expected, and core- or device-seconds; None where the
    speeds here are not known."""

    trials: float
    train_flops: float
    seconds: float | None


def left_of(spec: StudySpec, facts: DataFacts, results: Mapping[str, TrialResult], speeds: Speeds | None) -> Spend:
    """What ``spec`` is expected to take beyond the ``results`` that are known."""
    return _spend(spec, facts, few_courses(spec, facts, results), speeds)


def few_courses(spec: StudySpec, facts: DataFacts, results: Mapping[str, TrialResult]) -> list[list[PlannedTrial]]:
    """Few supposed courses of what ``spec`` wants beyond ``results``: enough to weigh a design by."""
    planned = plan(spec, facts, results)
    at_most = bill(spec, facts, planned).trials_at_most
    return supposed_courses(spec, facts, planned, at_most=at_most, results=results, draws=_COURSES)


def _spend(
    spec: StudySpec, facts: DataFacts, courses: Sequence[Sequence[PlannedTrial]], speeds: Speeds | None
) -> Spend:
    held = facts.held(spec.data)
    trials = [trial for course in courses for trial in course]
    seconds = None
    if speeds is not None:
        own = sum(speeds.of(trial.spec, held_examples=held[trial.spec.held_out]).total for trial in trials)
        examples = sum(trial.spec.examples for trial in trials)
        first = speeds.first_seconds(train_examples=examples, held_examples=sum(held.values()))
        seconds = own / len(courses) + first
    return Spend(
        trials=len(trials) / len(courses),
        train_flops=sum(trial.budget_flops for trial in trials) / len(courses),
        seconds=seconds,
    )
