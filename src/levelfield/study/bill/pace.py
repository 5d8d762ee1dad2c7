"""How much longer a running study takes, at the pace so far: what its bill leaves at most, or what is expected."""

from __future__ import annotations

import time
from pathlib import Path

from levelfield.records.sealed import read_record
from levelfield.records.store import StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.study.bill.bill import bill
from levelfield.study.bill.expected import left_of
from levelfield.study.bill.transfer_bill import transfer_bill
from levelfield.study.facts import DataFacts
from levelfield.study.launch.base import Planned
from levelfield.study.plan.plan import plan


class Pace:
    """The training FLOPs of a study that are done, and those that it may take; the clock starts here.

    ``measure`` names what its trials are told by, ``before_flops`` are what was done already. A bill holds every cell
    that a search may want; most searches end sooner, so what is told is a bound (``at_most``). Of a search that walks
    outward it would be a bound on walks that nobody takes: there it is what is expected.
    """

    def __init__(self, spec: StudySpec, facts: DataFacts, *, before_flops: float) -> None:
        self.measure = facts.measures[0].name
        planned = plan(spec, facts, {})
        self.at_most = spec.search.sizes == "all"
        charged = bill(spec, facts, planned) if self.at_most else left_of(spec, facts, {}, None)
        self._most = charged.train_flops
        self._most += sum(row.train_flops for row in transfer_bill(spec, facts, planned))
        self._before = before_flops
        self._done, self._begun = 0.0, time.monotonic()

    def finished(self, trial: Planned) -> None:
        self._done += getattr(trial.spec, "budget_flops", 0.0)  # a probe trains nothing

    def reached(self, flops: float) -> None:
        """So much is done in all, those before the clock started among it: for who watches from without."""
        self._done = max(0.0, flops - self._before)

    @property
    def seconds_left(self) -> float | None:
        """None where nothing has been finished yet, or more than was expected."""
        left = max(0.0, self._most - self._before - self._done)
        if not self._done or (left == 0 and not self.at_most):
            return None
        return left * (time.monotonic() - self._begun) / self._done


def pace_in(spec: StudySpec, directory: Path) -> Pace:
    """The pace of ``spec`` in ``directory`` from now on."""
    study = StudyDirectory(directory)
    facts = read_record(DataFacts, study.facts_path)
    done = (trial.spec.budget_flops for trial in study.trials().values() if trial.spec and trial.result is not None)
    return Pace(spec, facts, before_flops=sum(done))
