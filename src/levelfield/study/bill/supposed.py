"""The course that a study is expected to take: its plan run to the end on losses that are supposed.

How many trials a search wants depends on where optima lie. They are supposed about the declared starts: rates off by a
factor of two (one standard deviation), the best size anywhere among the allowed ones, other axes mostly at their
defaults. The plan itself says what it would then want.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from levelfield.records.execution import Execution
from levelfield.records.study import StudySpec
from levelfield.records.trial import HeldOutMeans, TrialResult
from levelfield.study.facts import DataFacts
from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.plan import Planner
from levelfield.study.plan.wants import fresh_seeds
from levelfield.study.planned import Candidate, Cell, Plan, PlannedTrial

DRAWS = 8
"""Courses that are averaged; their mean number of trials is then known to a few percent."""
_MANY_TRIALS = 1000
"""Of so many, one course is near enough to the mean of several, and takes seconds to plan."""
_RATES_OFF, _AXIS_MOVES = 1.0, 0.3
_NOWHERE = Execution(device="supposed", torch_version="0")


def supposed_courses(
    spec: StudySpec,
    facts: DataFacts,
    planned: Plan,
    *,
    at_most: int,
    results: Mapping[str, TrialResult] = MappingProxyType({}),
    draws: int = DRAWS,
) -> list[list[PlannedTrial]]:
    """What ``spec`` would want of pre-training beyond the ``results`` that are known, in several supposed courses; the
    plan has ``at_most`` trials."""
    alone = dataclasses.replace(spec, transfer=())
    return [[*_course(alone, facts, planned, results, draw)] for draw in range(draws if at_most <= _MANY_TRIALS else 1)]


def _course(
    spec: StudySpec, facts: DataFacts, planned: Plan, results: Mapping[str, TrialResult], draw: int
) -> Iterator[PlannedTrial]:
    result_of = supposed_results(spec, facts, planned, draw)
    planner = Planner(spec, facts, results)
    while new := planner.newly_wanted():
        trials = [trial for trial in new if isinstance(trial, PlannedTrial)]
        yield from trials
        planner.learn_all({trial.spec.fingerprint: result_of(trial) for trial in trials})
    yield from supposed_locked(spec, facts, planned, draw)


def supposed_results(
    spec: StudySpec, facts: DataFacts, planned: Plan, draw: int
) -> Callable[[PlannedTrial], TrialResult]:
    """The result of every trial in one supposed course."""
    loss_of = _Supposed(spec, planned, draw)
    return lambda trial: _result(trial, facts, loss_of(trial))


def supposed_locked(spec: StudySpec, facts: DataFacts, planned: Plan, draw: int) -> Iterator[PlannedTrial]:
    """What is judged at locked rungs, at any allowed size: the prediction that chooses it is not known."""
    for entry in spec.families:
        competitor = Competitor(spec, facts, entry)
        for budget in spec.ladder.locked:
            allowed = _allowed(planned, entry.name, budget)
            if not allowed:
                continue
            cell = random.Random(f"{draw}/{entry.name}/{budget}").choice(allowed)
            candidate = Candidate(architecture=cell.architecture, base_lr=entry.base_lr.start)
            for seed in fresh_seeds(spec):
                yield PlannedTrial(
                    spec=competitor.trial(candidate, budget, seed=seed, held_out="report"),
                    role="winner",
                    family=entry.name,
                    budget_flops=budget,
                    base_lr=candidate.base_lr,
                )


class _Supposed:
    """A loss of every trial: a bowl in rate and size about an optimum that is drawn for each family."""

    def __init__(self, spec: StudySpec, planned: Plan, draw: int) -> None:
        self._draw = draw
        self._best: dict[str, tuple[float, Callable[[float], float]]] = {}
        for entry in spec.families:
            rng = random.Random(f"{draw}/{entry.name}")
            rate = entry.base_lr.start * 2 ** rng.gauss(0, _RATES_OFF)
            share = rng.random()
            sizes = {
                budget: _at(share, [math.log(cell.affordable.flops_per_example) for cell in cells])
                for budget in spec.ladder.budgets
                if (cells := _allowed(planned, entry.name, budget))
            }
            self._best[entry.name] = rate, sizes.__getitem__

    def __call__(self, trial: PlannedTrial) -> float:
        rate, size_at = self._best[trial.family]
        spec = trial.spec
        size = math.log(trial.budget_flops / spec.examples) - size_at(trial.budget_flops)
        bowl = 0.02 * math.log2(trial.base_lr / rate) ** 2 + 0.05 * size**2
        if trial.variant:
            moved = random.Random(f"{self._draw}/{trial.family}/{trial.budget_flops}/{trial.variant}").random()
            bowl += 0.01 if moved > _AXIS_MOVES else -0.01
        return 1 - 0.5 * math.exp(-max(0.0, 0.1 + bowl))


def _at(share: float, values: Sequence[float]) -> float:
    return values[0] + share * (values[-1] - values[0])


def _allowed(planned: Plan, family: str, budget: float) -> list[Cell]:
    return [cell for cell in planned.cells_of(family, budget) if not cell.affordable.refusal]


def _result(trial: PlannedTrial, facts: DataFacts, loss: float) -> TrialResult:
    """The record of a trial with that loss, as far as a plan reads it."""
    spec, first = trial.spec, facts.measures[0]
    value = loss if first.better == "lower" else (first.ceiling or 0.0) - loss
    num = facts.held(spec.data)[spec.held_out]
    return TrialResult(
        fingerprint=spec.fingerprint,
        status="finished",
        params=1,
        steps=spec.steps,
        examples_seen=spec.examples,
        epochs=1.0,
        train_flops=trial.budget_flops,
        evaluate_flops=0.0,
        held_out={spec.held_out: HeldOutMeans(values={first.name: value}, num_examples=num)},
        measures=facts.measures,
        seen_digest="",
        data_fingerprint=facts.fingerprint,
        executions=(_NOWHERE,),
        levelfield_version="",
    )
