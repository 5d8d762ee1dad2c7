"""The largest budget of a run that a race reaches within the hours, or the FLOPs, that it may take in all."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from levelfield.records.errors import InputError
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult
from levelfield.study.bill.bill import bill
from levelfield.study.bill.calibrate import calibrate
from levelfield.study.bill.foretold import Speeds
from levelfield.study.bill.supposed import supposed_courses
from levelfield.study.facts import DataFacts
from levelfield.study.plan.plan import plan
from levelfield.study.planned import PlannedTrial
from levelfield.study.race.design import AXES, is_full

_COURSES = 3
"""Supposed ones that a design is weighed by: it is then known to some 5 %."""
_TRIALS_OF_ONE_RUN = 60.0
"""All trials of a race in runs of its largest budget, about: where the search for that budget starts."""
FLOPS_A_SECOND = 1e10
"""Of a core, about: a guess that speeds measured here replace."""
_STEPS, _NEAR = 8, 0.05


@dataclass(frozen=True, kw_only=True)
class Spend:
    """What is left of a race: trials and training FLOPs that are expected, and core- or device-seconds; None where the
    speeds here are not known."""

    trials: float
    train_flops: float
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A race that fits: its study, what it is expected to take, and the speeds it was sized by, if any."""

    spec: StudySpec
    spend: Spend
    speeds: Speeds | None


class Design(Protocol):
    """A race by its largest budget and the axes that it searches beside rate and size."""

    def __call__(self, top: float, axes: Sequence[str]) -> StudySpec:
        """Raises InputError: no such race tells anything."""
        ...


def sized_by_flops(design: Design, facts: DataFacts, flops: float) -> Sized:
    """The race that is expected to take ``flops`` of training in all.

    Raises:
        InputError: that is too little for a race.
    """
    spec = _sized(design, flops, lambda spec: _expected(spec, facts, None).train_flops, flops / _TRIALS_OF_ONE_RUN)
    return Sized(spec=spec, spend=left_of(spec, facts, {}, None), speeds=None)


def sized_by_seconds(design: Design, facts: DataFacts, seconds: float, *, device: str) -> Sized:
    """The race that is expected to take so many core- or device-``seconds`` in all, by speeds measured here.

    Raises:
        InputError: that is too little for a race.
    """
    guess = seconds * FLOPS_A_SECOND / _TRIALS_OF_ONE_RUN
    first = _designed(lambda top: design(top, AXES), guess)
    speeds = calibrate(first, facts, plan(first, facts, {}), _courses(first, facts, {}), device=device)
    spec = _sized(design, seconds, lambda spec: _expected(spec, facts, speeds).seconds or 0.0, guess)
    return Sized(spec=spec, spend=left_of(spec, facts, {}, speeds), speeds=speeds)


def _sized(design: Design, wanted: float, takes: Callable[[StudySpec], float], guess: float) -> StudySpec:
    """The race of most axes that still has its rungs at their full distance; of none where there is no such race.

    Raises:
        InputError: even that takes more than is ``wanted``.
    """
    for num in range(len(AXES), 0, -1):
        with contextlib.suppress(InputError):
            spec = _solved(lambda top, num=num: design(top, AXES[:num]), wanted, takes, guess)
            if is_full(spec.ladder.budgets):
                return spec
    return _solved(lambda top: design(top, ()), wanted, takes, guess)


def left_of(spec: StudySpec, facts: DataFacts, results: Mapping[str, TrialResult], speeds: Speeds | None) -> Spend:
    """What ``spec`` is expected to take beyond the ``results`` that are known."""
    return _spend(spec, facts, _courses(spec, facts, results), speeds)


def _expected(spec: StudySpec, facts: DataFacts, speeds: Speeds | None) -> Spend:
    return _spend(spec, facts, _courses(spec, facts, {}), speeds)


def _courses(spec: StudySpec, facts: DataFacts, results: Mapping[str, TrialResult]) -> list[list[PlannedTrial]]:
    planned = plan(spec, facts, results)
    at_most = bill(spec, facts, planned).trials_at_most
    return supposed_courses(spec, facts, planned, at_most=at_most, results=results, draws=_COURSES)


def _spend(
    spec: StudySpec, facts: DataFacts, courses: Sequence[Sequence[PlannedTrial]], speeds: Speeds | None
) -> Spend:
    held = {"select": spec.data.select_examples, "report": facts.num_report or spec.data.report_examples or 0}
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


def _designed(design: Callable[[float], StudySpec], top: float) -> StudySpec:
    """The design of ``top``, or of the smallest budget above it that is one: seconds say whether it fits."""
    while True:
        try:
            return design(top)
        except InputError:
            top *= 2


def _solved(
    design: Callable[[float], StudySpec], wanted: float, takes: Callable[[StudySpec], float], guess: float
) -> StudySpec:
    """The design that takes what is ``wanted``, nearly and not more: what it takes grows with its largest budget.

    Raises:
        InputError: the smallest design takes more; it says how much.
    """
    low = math.inf
    top, best = guess, None
    for _ in range(_STEPS):
        spec = _designed(design, top)
        top, taken = spec.ladder.budgets[-1], takes(spec)
        if taken <= wanted:
            best = spec if best is None or spec.ladder.budgets[-1] > best.ladder.budgets[-1] else best
            if taken >= wanted * (1 - _NEAR):
                break
        low = min(low, taken)
        top *= max(1e-3, min(1e3, wanted * (1 - _NEAR / 2) / taken))
    if best is None:
        raise InputError(
            f"the shortest race that tells anything takes about {low / wanted:.2g} times what it may take here; give "
            "it more (--for, --spend), or a smaller --resolution"
        )
    return best
