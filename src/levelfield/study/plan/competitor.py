"""A family as it competes on the data: whatever a plan asks of it is made once, since every new result asks again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levelfield.study.plan.candidate import afford, trial_spec

if TYPE_CHECKING:
    from levelfield.records.study import FamilyEntry, StudySpec
    from levelfield.records.trial import TrialSpec
    from levelfield.study.facts import DataFacts
    from levelfield.study.planned import Affordable, Candidate


class Competitor:
    """What budgets buy candidates of ``entry``, and the trials that spend them: pure, and remembered."""

    def __init__(self, spec: StudySpec, facts: DataFacts, entry: FamilyEntry) -> None:
        self.spec = spec
        self.facts = facts
        self.entry = entry
        self._affordable: dict[tuple[Candidate, float], Affordable] = {}
        self._trials: dict[tuple[Candidate, float, int, str, int], TrialSpec] = {}

    @property
    def name(self) -> str:
        return self.entry.name

    def afford(self, candidate: Candidate, budget: float) -> Affordable:
        """See :func:`levelfield.study.plan.candidate.afford`."""
        key = candidate, budget
        if (found := self._affordable.get(key)) is None:
            found = self._affordable[key] = afford(self.spec, self.facts, self.entry, candidate, budget)
        return found

    def trial(self, candidate: Candidate, budget: float, *, seed: int, held_out: str, fold: int = 0) -> TrialSpec:
        """The complete trial that spends ``budget`` on ``candidate``, with that ``fold`` of the data held out."""
        key = candidate, budget, seed, held_out, fold
        if (found := self._trials.get(key)) is None:
            bought = self.afford(candidate, budget)
            found = self._trials[key] = trial_spec(
                self.spec, self.facts, self.entry, candidate, bought, budget, seed=seed, held_out=held_out, fold=fold
            )
        return found
