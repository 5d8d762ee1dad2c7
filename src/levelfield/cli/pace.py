"""How much longer a running study takes at most: what its bill leaves, at the pace so far."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from levelfield.records.study import StudySpec
    from levelfield.study.launch.base import Planned


class Pace:
    """The training FLOPs of a study in ``directory`` that are done, and those that its bill allows at most.

    ``measure`` names what its trials are told by. A bill holds every cell that a search may want; most searches end
    sooner, so what is told is a bound.
    """

    def __init__(self, spec: StudySpec, directory: Path) -> None:
        from levelfield.records.sealed import read_record
        from levelfield.records.store import StudyDirectory
        from levelfield.study.bill.bill import bill
        from levelfield.study.bill.transfer_bill import transfer_bill
        from levelfield.study.facts import DataFacts
        from levelfield.study.plan.plan import plan

        study = StudyDirectory(directory)
        facts = read_record(DataFacts, study.facts_path)
        self.measure = facts.measures[0].name
        planned = plan(spec, facts, {})
        self._most = bill(spec, facts, planned).train_flops
        self._most += sum(row.train_flops for row in transfer_bill(spec, facts, planned))
        self._before = sum(
            trial.spec.budget_flops for trial in study.trials().values() if trial.spec and trial.result is not None
        )
        self._done, self._begun = 0.0, time.monotonic()

    def finished(self, trial: Planned) -> None:
        self._done += getattr(trial.spec, "budget_flops", 0.0)  # a probe trains nothing

    @property
    def seconds_left(self) -> float | None:
        """At most; None where nothing has been finished yet."""
        if not self._done:
            return None
        left = max(0.0, self._most - self._before - self._done)
        return left * (time.monotonic() - self._begun) / self._done
