"""Asking for losses: whatever a plan asks for is wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from levelfield.records.observation import Role
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.study.facts import DataFacts
from levelfield.study.plan.candidate import afford, trial_spec
from levelfield.study.planned import Affordable, Candidate, PlannedTrial

SEARCH_SEED = 0


def fresh_seeds(spec: StudySpec) -> range:
    """The seeds of winners: as many as the verdict asks for, that of the search excluded."""
    return range(SEARCH_SEED + 1, SEARCH_SEED + 1 + spec.verdict.seeds)


class Wants:
    """The trials wanted so far, by fingerprint, and the losses known of them."""

    def __init__(self, spec: StudySpec, facts: DataFacts, results: Mapping[str, TrialResult]) -> None:
        self.spec = spec
        self.facts = facts
        self.results = results
        self.trials: dict[str, PlannedTrial] = {}

    @property
    def fulfilled(self) -> bool:
        """Whether every trial wanted so far has a result."""
        return all(fingerprint in self.results for fingerprint in self.trials)

    @property
    def fresh_seeds(self) -> range:
        return fresh_seeds(self.spec)

    def afford(self, entry: FamilyEntry, candidate: Candidate, budget: float) -> Affordable:
        return afford(self.spec, self.facts, entry, candidate, budget)

    def select_loss(
        self, entry: FamilyEntry, candidate: Candidate, budget: float, *, role: Role = "search", variant: str = ""
    ) -> float | None:
        """The select loss of ``candidate`` at ``budget``: None while awaited, infinite where it has none."""
        affordable = self.afford(entry, candidate, budget)
        if affordable.refusal:
            return math.inf
        trial = trial_spec(self.spec, self.facts, entry, candidate, affordable, budget, seed=SEARCH_SEED)
        self._want(trial, role, entry, budget, candidate, variant)
        result = self.results.get(trial.fingerprint)
        if result is None:
            return None
        return result.loss("select") if result.status == "finished" else math.inf

    def judge(
        self,
        entry: FamilyEntry,
        candidate: Candidate,
        budget: float,
        seeds: Iterable[int],
        *,
        role: Role,
        variant: str = "",
    ) -> None:
        """Want ``candidate`` on ``seeds``, judged on the report split."""
        affordable = self.afford(entry, candidate, budget)
        for seed in seeds:
            trial = trial_spec(
                self.spec, self.facts, entry, candidate, affordable, budget, seed=seed, held_out="report"
            )
            self._want(trial, role, entry, budget, candidate, variant)

    def _want(
        self, trial: TrialSpec, role: Role, entry: FamilyEntry, budget: float, candidate: Candidate, variant: str
    ) -> None:
        """Want a trial once; what the search wants is never relabelled as audit."""
        known = self.trials.get(trial.fingerprint)
        if known is None or (known.role == "audit" and role == "search"):
            self.trials[trial.fingerprint] = PlannedTrial(
                spec=trial,
                role=role,
                family=entry.name,
                budget_flops=budget,
                base_lr=candidate.base_lr,
                variant=variant or candidate.variant,
            )
