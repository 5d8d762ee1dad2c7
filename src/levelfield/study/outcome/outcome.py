"""What a study has found so far, read from its directory: no data, no torch, nothing run."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from levelfield.compute.ledger import Ledger
from levelfield.records.execution import Execution
from levelfield.records.measure import LOSS, Measure, measure_named
from levelfield.records.observation import Observation
from levelfield.records.probe import ProbeResult
from levelfield.records.probe_store import held_probes
from levelfield.records.sealed import read_record
from levelfield.records.store import StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult, TrialSpec, TrialTiming
from levelfield.scaling.analyse import analyse
from levelfield.scaling.ladder.belief import NOTHING_ASKED, Asked
from levelfield.scaling.results.analysis import Analysis, Progress
from levelfield.study.facts import DataFacts
from levelfield.study.outcome.content import refuse_results_of_other_data
from levelfield.study.outcome.fixed import Fixed, read_fixed
from levelfield.study.outcome.imported import ImportedRuns, read_imported
from levelfield.study.outcome.locks import read_locks, refuse_lost_locks
from levelfield.study.outcome.table import observations, report_losses
from levelfield.study.outcome.trained import TrainedRun, trained_runs
from levelfield.study.plan.plan import plan
from levelfield.study.planned import Lock, Plan


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
    measure: Measure = LOSS
    probes: Mapping[str, ProbeResult] = dataclasses.field(default_factory=dict)
    grown: tuple[str, ...] = ()
    trained: tuple[TrainedRun, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.planned.pending(self.results, self.probes) and not self.planned.to_lock

    @property
    def in_progress(self) -> Progress | None:
        """How far a study is that is not done; None where every wanted trial has a result."""
        wanted, left = self.planned.num_wanted, len(self.planned.pending(self.results, self.probes))
        return Progress(done=wanted - left, wanted=wanted) if left else None

    @property
    def executions(self) -> Counter[tuple[Execution, ...]]:
        """How many of the wanted trials that are done were executed how, those of transfers among them."""
        keys = {planned.spec.fingerprint for planned in (*self.planned.trials, *self.planned.transfers)}
        return Counter(result.executions for key, result in self.results.items() if key in keys)

    @property
    def device_seconds(self) -> float:
        """Device-seconds of the training steps of everything wanted that is done, transfers among it."""
        keys = {planned.spec.fingerprint for planned in (*self.planned.trials, *self.planned.transfers)}
        return sum(timing.device_seconds for key, timing in self.timings.items() if key in keys)

    @property
    def ledger(self) -> Ledger:
        """What the wanted trials cost: training, evaluation, and work that crashes threw away, apart."""
        return self._spent(trial.spec for trial in self.planned.trials)

    @property
    def transfer_ledger(self) -> Ledger:
        """The same of the transfers; a probe's features and its solver count as training."""
        specs = {transfer.spec.fingerprint: transfer.spec for transfer in self.planned.transfers}
        ledger = self._spent(spec for spec in specs.values() if isinstance(spec, TrialSpec))
        for probe in (self.probes[key] for key in specs if key in self.probes):
            ledger += Ledger(train_flops=probe.train_flops + probe.solver_flops, evaluate_flops=probe.evaluate_flops)
        return ledger

    def _spent(self, specs: Iterable[TrialSpec]) -> Ledger:
        ledger = Ledger()
        for spec in specs:
            result, timing = self.results.get(spec.fingerprint), self.timings.get(spec.fingerprint)
            if result is None:
                continue
            per_step = result.train_flops / max(1, result.steps)
            ledger += Ledger(
                train_flops=result.train_flops,
                evaluate_flops=result.evaluate_flops,
                failed_flops=(timing.lost_steps if timing else 0) * per_step,
            )
        return ledger


def read_outcome(path: Path, *, measure: str | None = None) -> Outcome:
    """The outcome in directory ``path``, its table by ``measure`` instead of the one that selected, where one is named.

    What others measured (imported rows) is taken for the one that selects, and is left out beside any other.

    Raises:
        InputError: no study was run there, or its task has no such measure.
        DamagedError: one was, and a file of it is damaged or lost.
        StoreError: a file of it is made of something else than the study is.
    """
    study = StudyDirectory(path)
    spec = study.spec()
    facts = read_record(DataFacts, study.facts_path, remedy=f"`levelfield run SPEC --dir {path}` writes it again")
    held, looks = study.trials(), held_probes(study)
    results = {key: trial.result for key, trial in held.items() if trial.result is not None}
    timings = {
        key: trial.timing for key, trial in held.items() if trial.result is not None and trial.timing is not None
    }
    probes = {key: probe.result for key, probe in looks.items() if probe.result is not None}
    fixed = read_fixed(study, spec) if results else Fixed(spec=spec)
    locks = read_locks(study, data=facts.fingerprint)
    refuse_lost_locks(spec, held.values(), locks)
    planned = plan(spec, facts, results, locks)
    refuse_results_of_other_data(study, planned, results, probes, facts)
    imported, asked = read_imported(study), measure_named(facts.measures, measure)
    beside = imported if asked == facts.measures[0] else ()
    return Outcome(
        spec=spec,
        facts=facts,
        planned=planned,
        results=results,
        timings=timings,
        failed={key: each.failure for key, each in {**held, **looks}.items() if each.failure is not None},
        locks=locks,
        imported=imported,
        grown=fixed.grown,
        trained=tuple(trained_runs(study)),
        probes=probes,
        table=(
            *observations(planned, results, timings, measure=asked.name),
            *(row for runs in beside for row in runs.rows),
        ),
        measure=asked,
    )


def analyse_outcome(
    outcome: Outcome, path: Path, *, margin: float | None = None, level: float = 0.9, asked: Asked = NOTHING_ASKED
) -> Analysis:
    """The statistics of ``outcome``, provisional while it is in progress.

    ``margin`` replaces the one that the spec fixed in advance; the analysis then holds both. ``level`` is that of a
    study that is looked at once: a look takes its share of what is left to 1.
    """
    recipes = ", ".join(f"{entry.name} by {entry.recipe}" for entry in outcome.spec.families)
    found = analyse(
        outcome.table,
        held_out_losses=report_losses(
            outcome.planned, outcome.results, StudyDirectory(path), measure=outcome.measure.name
        ),
        measure=outcome.measure.falling,
        margin=margin or outcome.spec.verdict.margin,
        level=outcome.spec.verdict.level_at_look(level),
        asked=asked,
        data=outcome.spec.data.source,
        recipe=recipes,
        equal_search=True,  # StudySpec refuses any other
        no_verdict_because=outcome.facts.no_verdict_because,
    )
    fixed = outcome.spec.verdict.margin
    other = None if margin in (None, fixed) else fixed
    return dataclasses.replace(found, in_progress=outcome.in_progress, fixed_margin=other)
