"""The noise of seeds as the lowest rung shows it: what a race was planned by is a guess until then."""

from __future__ import annotations

import math

from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult
from levelfield.scaling.noise.uncertainty import pooled_sd
from levelfield.study.planned import PlannedTrial


class LowestRung:
    """Takes in finished trials, and knows the noise of seeds once every winner of the lowest rung has all of its."""

    def __init__(self, spec: StudySpec) -> None:
        self._seeds = spec.verdict.seeds
        self._budget = spec.ladder.budgets[0]
        self._losses: dict[str, list[float]] = {entry.name: [] for entry in spec.families}

    def learn(self, trial: object, result: TrialResult | None) -> float | None:
        """The sd of ln loss between seeds, at the very trial that completes it."""
        if not isinstance(trial, PlannedTrial) or trial.role != "winner" or trial.budget_flops != self._budget:
            return None
        if result is None or result.status != "finished":
            return None
        self._losses[trial.family].append(math.log(result.loss("report")))
        return self._sd() if len(self._losses[trial.family]) == self._seeds else None

    def _sd(self) -> float | None:
        if any(len(losses) < self._seeds for losses in self._losses.values()):
            return None
        sd, _ = pooled_sd(list(self._losses.values()))
        return sd
