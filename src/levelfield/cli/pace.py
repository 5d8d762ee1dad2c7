"""How much longer a running study takes: what its bill leaves at most, or what a race is expected to, at the pace so
far."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from levelfield.records.study import StudySpec
    from levelfield.study.launch.base import Planned


class Pace:
    """The training FLOPs of a study in ``directory`` that are done, and those that it may take.

    ``measure`` names what its trials are told by. A bill holds every cell that a search may want; most searches end
    sooner, so what is told is a bound (``at_most``). Of a search that walks outward it would be a bound on walks that
    nobody takes: there it is what is expected.
    """

    def __init__(self, spec: StudySpec, directory: Path) -> None:
        from levelfield.records.sealed import read_record
        from levelfield.records.store import StudyDirectory
        from levelfield.study.bill.bill import bill
        from levelfield.study.bill.transfer_bill import transfer_bill
        from levelfield.study.facts import DataFacts
        from levelfield.study.plan.plan import plan
        from levelfield.study.race.spend import left_of

        study = StudyDirectory(directory)
        facts = read_record(DataFacts, study.facts_path)
        self.measure = facts.measures[0].name
        planned = plan(spec, facts, {})
        done = [trial for trial in study.trials().values() if trial.spec and trial.result is not None]
        self.at_most = spec.search.sizes == "all"
        if self.at_most:
            self._most = bill(spec, facts, planned).train_flops
            self._before = sum(trial.spec.budget_flops for trial in done if trial.spec)
        else:
            results = {trial.spec.fingerprint: trial.result for trial in done if trial.spec and trial.result}
            self._most, self._before = left_of(spec, facts, results, None).train_flops, 0.0
        self._most += sum(row.train_flops for row in transfer_bill(spec, facts, planned))
        self._done, self._begun = 0.0, time.monotonic()

    def finished(self, trial: Planned) -> None:
        self._done += getattr(trial.spec, "budget_flops", 0.0)  # a probe trains nothing

    @property
    def seconds_left(self) -> float | None:
        """None where nothing has been finished yet, or more than was expected."""
        left = max(0.0, self._most - self._before - self._done)
        if not self._done or (left == 0 and not self.at_most):
            return None
        return left * (time.monotonic() - self._begun) / self._done
