"""The noise of seeds as the lowest rung shows it: what a race was planned by is a guess until then."""

from __future__ import annotations

import math
from collections import defaultdict

from levelfield.records.data import num_folds
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult
from levelfield.scaling.noise.uncertainty import pooled_sd
from levelfield.study.planned import PlannedTrial


class LowestRung:
    """Takes in finished trials, and knows the noise of seeds once every winner of the lowest rung has all of its."""

    def __init__(self, spec: StudySpec) -> None:
        self._seeds, self._folds = spec.verdict.seeds, num_folds(spec.data)
        self._budget = spec.ladder.budgets[0]
        self._losses: dict[str, dict[int, list[float]]] = {entry.name: defaultdict(list) for entry in spec.families}

    def learn(self, trial: object, result: TrialResult | None) -> float | None:
        """The sd of ln loss between seeds, at the very trial that completes it."""
        if not isinstance(trial, PlannedTrial) or trial.role != "winner" or trial.budget_flops != self._budget:
            return None
        if result is None or result.status != "finished":
            return None
        self._losses[trial.family][trial.spec.seed].append(result.loss("report"))
        if any(self._whole(family) < self._seeds for family in self._losses):
            return None
        last = sum(len(losses) for losses in self._losses[trial.family].values()) == self._seeds * self._folds
        return self._sd() if last else None

    def _whole(self, family: str) -> int:
        """The seeds all of whose folds are known."""
        return sum(len(losses) == self._folds for losses in self._losses[family].values())

    def _sd(self) -> float | None:
        sd, _ = pooled_sd(
            [
                [math.log(sum(losses) / len(losses)) for losses in seeds.values() if len(losses) == self._folds]
                for seeds in self._losses.values()
            ]
        )
        return sd
