"""Asking for losses: whatever a plan asks for is wanted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

from levelfield.records.data import num_folds
from levelfield.records.observation import Role
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.parts import Lookup
from levelfield.study.planned import Candidate, PlannedTrial

SEARCH_SEED = 0
_FURTHER_SEARCH_SEEDS = 3001
"""The first of them: beyond those of winners and of controls."""


def fresh_seeds(spec: StudySpec) -> range:
    """The seeds of winners: as many as the verdict asks for, that of the search excluded."""
    return range(SEARCH_SEED + 1, SEARCH_SEED + 1 + spec.verdict.seeds)


def search_seeds(spec: StudySpec, budget: float) -> tuple[int, ...]:
    """The seeds of whatever is searched at ``budget``: several where axes are decided for the rungs above."""
    checked = spec.search.check_budgets
    num = spec.search.check_seeds if checked is None or budget in checked else 1
    return (SEARCH_SEED, *range(_FURTHER_SEARCH_SEEDS, _FURTHER_SEARCH_SEEDS + num - 1))


class Wants:
    """The trials wanted so far, by fingerprint, and the losses known of them.

    What is wanted ``before`` by another part of the plan need not be wanted again.
    """

    def __init__(self, results: Lookup, *, before: Mapping[str, PlannedTrial] | None = None) -> None:
        self._results = results
        self._before = before or {}
        self.wanted: dict[str, PlannedTrial] = {}

    def select_loss(
        self, competitor: Competitor, candidate: Candidate, budget: float, *, role: Role = "search", variant: str = ""
    ) -> float | None:
        """The select loss of ``candidate`` at ``budget``, its mean over the seeds of the search: None while awaited,
        infinite where it has none."""
        if competitor.afford(candidate, budget).refusal:
            return math.inf
        losses: list[float | None] = []
        for seed in search_seeds(competitor.spec, budget):
            trial = competitor.trial(candidate, budget, seed=seed, held_out="select")
            self._want(trial, role, competitor, budget, candidate, variant)
            losses.append(_select_loss(self._results.get(trial.fingerprint)))
        known = [loss for loss in losses if loss is not None]
        return sum(known) / len(known) if len(known) == len(losses) else None

    def judge(
        self,
        competitor: Competitor,
        candidate: Candidate,
        budget: float,
        seeds: Iterable[int],
        *,
        role: Role,
        variant: str = "",
    ) -> None:
        """Want ``candidate`` on ``seeds``, judged on the report split: by one network for every fold of it."""
        for seed, fold in itertools.product(seeds, range(num_folds(competitor.spec.data))):
            trial = competitor.trial(candidate, budget, seed=seed, held_out="report", fold=fold)
            self._want(trial, role, competitor, budget, candidate, variant)

    def _want(
        self, trial: TrialSpec, role: Role, competitor: Competitor, budget: float, candidate: Candidate, variant: str
    ) -> None:
        """Want a trial once; what the search wants is never relabelled as audit."""
        key = trial.fingerprint
        known = self.wanted.get(key) or self._before.get(key)
        if known is not None and (known.role, role) != ("audit", "search"):
            return
        self.wanted[key] = PlannedTrial(
            spec=trial,
            role=role,
            family=competitor.name,
            budget_flops=budget,
            base_lr=candidate.base_lr,
            variant=variant or candidate.variant,
        )


def _select_loss(result: TrialResult | None) -> float | None:
    if result is None:
        return None
    return result.loss("select") if result.status == "finished" else math.inf


def relabelled(known: PlannedTrial, new: PlannedTrial) -> bool:
    """Whether a trial that is wanted twice takes its second role: what the search wants is no audit, the rest stays."""
    return known.role == "audit" and new.role == "search"
