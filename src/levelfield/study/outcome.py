"""What a study has found so far, read from its directory: no data, no torch, nothing run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from levelfield.compute.ledger import Ledger
from levelfield.records.observation import Observation
from levelfield.records.store import StudyDirectory, read_record
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult, TrialTiming
from levelfield.scaling.analyse import analyse
from levelfield.scaling.analysis import Analysis
from levelfield.study.candidate import DataFacts
from levelfield.study.imported import ImportedRuns, read_imported
from levelfield.study.locked import Lock, read_locks
from levelfield.study.plan import Plan, plan
from levelfield.study.table import observations, report_losses


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A study and everything known of it."""

    spec: StudySpec
    facts: DataFacts
    planned: Plan
    results: Mapping[str, TrialResult]
    timings: Mapping[str, TrialTiming]
    failed: Mapping[str, str]
    locks: Mapping[float, Lock]
    imported: tuple[ImportedRuns, ...]
    table: tuple[Observation, ...]

    @property
    def complete(self) -> bool:
        return not self.planned.pending(self.results) and not self.planned.to_lock

    @property
    def device_seconds(self) -> float:
        """Device-seconds of the training steps of every wanted trial that is done."""
        keys = {trial.spec.fingerprint for trial in self.planned.trials}
        return sum(timing.device_seconds for key, timing in self.timings.items() if key in keys)

    @property
    def ledger(self) -> Ledger:
        """What the wanted trials cost: training, evaluation, and work that crashes threw away, apart."""
        ledger = Ledger()
        for trial in self.planned.trials:
            result = self.results.get(trial.spec.fingerprint)
            timing = self.timings.get(trial.spec.fingerprint)
            if result is None:
                continue
            lost = (timing.lost_steps if timing else 0) * trial.spec.global_batch_size
            per_example = result.train_flops / max(1, result.examples_seen)
            ledger += Ledger(
                train_flops=result.train_flops,
                evaluate_flops=result.evaluate_flops,
                failed_flops=lost * per_example,
            )
        return ledger


def read_outcome(path: Path) -> Outcome:
    """The outcome in directory ``path``.

    Raises:
        InputError: no study was run there.
    """
    study = StudyDirectory(path)
    spec = study.spec()
    facts = read_record(DataFacts, study.facts_path)
    results, timings = study.results(), study.timings()
    locks = read_locks(study)
    planned = plan(spec, facts, results, locks)
    imported = read_imported(study)
    return Outcome(
        spec=spec,
        facts=facts,
        planned=planned,
        results=results,
        timings=timings,
        failed=study.failed(),
        locks=locks,
        imported=imported,
        table=(*observations(planned, results, timings), *(row for runs in imported for row in runs.rows)),
    )


def analyse_outcome(outcome: Outcome, path: Path, *, margin: float | None = None) -> Analysis:
    """The statistics of ``outcome``; ``margin`` replaces the one that the spec fixed in advance."""
    recipes = ", ".join(f"{entry.name} by {entry.recipe}" for entry in outcome.spec.families)
    return analyse(
        outcome.table,
        held_out_losses=report_losses(outcome.planned, StudyDirectory(path)),
        margin=margin or outcome.spec.verdict.margin,
        data=outcome.spec.data.source,
        recipe=recipes,
    )
