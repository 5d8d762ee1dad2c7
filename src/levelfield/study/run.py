"""Running a study: plan, run what is wanted, plan again, until nothing is."""

from __future__ import annotations

import bisect
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from levelfield import __version__
from levelfield.data.arranged import examples_an_epoch
from levelfield.data.sources import Source, open_source, refuse_overruled_sizes
from levelfield.records.data import DataSpec
from levelfield.records.errors import TrialError, UnfinishedError
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import HeldProbe, held_probes, probe_directory
from levelfield.records.sealed import write_record
from levelfield.records.store import HeldTrial, StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.report.words.of_plans import NO_VERDICT_AT_ALL
from levelfield.report.words.told import told
from levelfield.study.facts import DataFacts, StartFacts, TargetFacts
from levelfield.study.launch.base import Launcher, LaunchEvent, Planned, failure
from levelfield.study.launch.registry import start_launcher
from levelfield.study.mend import mend, restore_specs
from levelfield.study.outcome.content import refuse_other_study, refuse_results_of_other_data
from levelfield.study.outcome.fixed import fix
from levelfield.study.outcome.foretell import lock_rungs
from levelfield.study.outcome.locks import read_locks, refuse_lost_locks
from levelfield.study.outcome.outcome import analyse_outcome, read_outcome
from levelfield.study.plan.plan import Planner, plan, refuse_if_nothing_is_allowed
from levelfield.study.plan.undecidable import gives_no_verdict, undecidable
from levelfield.study.planned import Lock, Plan, dearest_first
from levelfield.tasks.base import refuse_missing_fields
from levelfield.tasks.registry import task_named

logger = logging.getLogger(__name__)

MOST_FAILURES_IN_A_ROW = 5
"""After so many failures with no success in between a study stops: they are seldom the trials' own."""


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """An event with the state of the whole study beside it, and the ``result`` of a trial that has finished."""

    event: LaunchEvent
    done: int
    wanted: int
    result: TrialResult | None = None


OnProgress = Callable[[RunProgress], None]


def study_facts(spec: StudySpec) -> DataFacts:
    """What the plan needs to know of the data of ``spec`` and of its transfers.

    Raises:
        DataError: some of it is missing, empty or not what the spec says.
        InputError: weights that a family starts from are not there, or are another network's.
    """
    targets, remarks = [], []
    for transfer in spec.transfer:
        source, task = opened(transfer.data), task_named(transfer.task)
        refuse_missing_fields(task, source.fields, name=transfer.task)
        targets.append(
            TargetFacts(
                name=transfer.name,
                head=task.head(source.fields),
                measures=task.measures(source.fields),
                in_channels=source.in_channels,
                resolution=source.resolution,
                num_train=source.split_sizes["train"],
                num_report=source.split_sizes["report"],
                num_select=source.split_sizes["select"],
                fingerprint=source.fingerprint,
                no_verdict_because=source.no_verdict_because,
            )
        )
        remarks.extend(f"transfer {transfer.name}: {remark}" for remark in source.remarks)
    source = opened(spec.data)
    facts, starts = data_facts(source, spec.task), _starts(spec, source.in_channels)
    return dataclasses.replace(facts, targets=tuple(targets), remarks=(*facts.remarks, *remarks), starts=tuple(starts))


def _starts(spec: StudySpec, in_channels: int) -> Iterator[StartFacts]:
    """The weights that families of ``spec`` start from; torch is loaded where any does."""
    shelf = [entry for entry in spec.families if entry.weights is not None]
    if shelf:
        from levelfield.study.execute.backbones import backbone_of_family

        for entry in shelf:
            backbone = backbone_of_family(entry, in_channels)
            yield StartFacts(family=entry.name, identity=backbone.identity, train_flops=backbone.train_flops)


def opened(data: DataSpec) -> Source:
    """The source of ``data``, whose sizes are what it says.

    Raises:
        DataError: it is missing, empty or not what the spec says.
    """
    source = open_source(data)
    refuse_overruled_sizes(source, data.report_examples)
    return source


def data_facts(source: Source, task: str) -> DataFacts:
    """What the plan needs to know of ``source`` and of ``task`` on it.

    Raises:
        SpecError: there is no such task, or the data has not what it needs.
    """
    asked = task_named(task)
    refuse_missing_fields(asked, source.fields, name=task)
    return DataFacts(
        head=asked.head(source.fields),
        measures=asked.measures(source.fields),
        in_channels=source.in_channels,
        resolution=source.resolution,
        num_train=examples_an_epoch(source),
        fingerprint=source.fingerprint,
        no_verdict_because=source.no_verdict_because,
        num_report=source.split_sizes["report"],
        num_select=source.split_sizes["select"],
        remarks=source.remarks,
    )


def run_study(
    spec: StudySpec,
    path: Path,
    *,
    num_workers: int = 1,
    device: str = "auto",
    retry_failed: bool = False,
    checkpoint_seconds: float = 30.0,
    seconds: float | None = None,
    cheapest_first: bool = False,
    on_progress: OnProgress = lambda progress: None,
    launch: Callable[..., Launcher] = start_launcher,
) -> Plan:
    """Run ``spec`` in directory ``path`` until every wanted trial has a result; the same call resumes.

    A spec that differs from the last one keeps every trial that it still wants. After ``seconds`` trials stop where
    their last checkpoint is. What the directory has lost is restored where it follows from the rest, else retrained. Of
    what is wanted the dearest starts first, since it holds up the most; where the time is too short for all,
    ``cheapest_first`` finishes low rungs. Results do not depend on it, nor on what ``launch`` makes to run trials.

    Raises:
        DamagedError: something is damaged that cannot be made again, such as a locked prediction.
        SpecError: ``spec`` changes what was fixed before the results that are known.
        StoreError: the directory is in use, cannot be written, or was run on other data.
        RefusedError: the protocol allows no cell.
        InputError: the data cannot be read, or a trial not be meant here; it names the image, or the trial.
        TrialError: trials failed, those that did not depend on them are done; or every trial diverged.
        UnfinishedError: ``seconds`` are over, and trials are left.
    """
    end = None if seconds is None else time.monotonic() + seconds
    study = StudyDirectory(path)
    facts = study_facts(spec)
    if not path.exists():  # none is made for a study that cannot be; what lies in one that is there comes first
        refuse_if_nothing_is_allowed(plan(spec, facts, {}))
    with study.locked():
        mend(study)
        held, looks = study.trials(), held_probes(study)
        results = {key: trial.result for key, trial in held.items() if trial.result is not None}
        probes = {key: probe.result for key, probe in looks.items() if probe.result is not None}
        refuse_other_study(study, spec, facts)
        locks = read_locks(study, data=facts.fingerprint)
        refuse_lost_locks(spec, held.values(), locks)
        planner = Planner(spec, facts, results, locks, probed=probes.keys())
        planned = planner.plan()
        refuse_if_nothing_is_allowed(planned)
        refuse_results_of_other_data(study, planned, results, probes, facts)
        _tell_other_versions(path, results)
        fix(study, spec, num_results=len(results) + len(probes))
        _tell_undecidable(spec, facts, planned)
        study.save_spec(spec)
        write_record(study.facts_path, facts)
        if planned.to_lock:
            planner.lock(_lock(study))
            planned = planner.plan()
        restore_specs(study, (each.spec for each in (*planned.trials, *planned.transfers)), {**held, **looks})
        if retry_failed:
            for each in (*held.values(), *looks.values()):
                each.directory.forget_failure()
        failed = {} if retry_failed else _failures({**held, **looks})
        if any(waiting.spec.fingerprint not in failed for waiting in planned.pending(results, probes)):
            launcher = launch(
                path,
                num_workers=num_workers,
                device=device,
                execution=spec.execution,
                checkpoint_seconds=checkpoint_seconds,
                keeps_weights=bool(spec.transfer),
            )
            try:
                cheapest = num_workers if cheapest_first else None
                failed = _run_wanted(planner, study, launcher, failed, on_progress, end, cheapest=cheapest)
            finally:
                launcher.close()
    if failed:
        reasons = "; ".join(sorted(set(failed.values())))
        raise TrialError(f"{len(failed)} trials failed ({reasons}); mend the cause and add --retry failed")
    planned = planner.plan()
    _refuse_all_diverged(planned, planner.results)
    return planned


def _run_wanted(
    planner: Planner,
    study: StudyDirectory,
    launcher: Launcher,
    failed: Mapping[str, str],
    on_progress: OnProgress,
    end: float | None,
    *,
    cheapest: int | None,
) -> dict[str, str]:
    """Submit what is wanted as soon as it is, until nothing runs and nothing is wanted, or the clock shows ``end``.

    What failed, before or now, is given back with the reason and not tried again. With ``cheapest`` at most so many are
    submitted at a time, low rungs first: what a finished one makes wanted there is then not behind dearer ones.
    Where one after the other fails, what is wrong is none of theirs, and the run stops.
    A locked rung is wanted once everything below it is done and its prediction lies in a file.
    """
    failed, in_a_row = dict(failed), 0
    running: set[str] = set()
    queue: list[Planned] = []
    while True:
        for trial in planner.newly_wanted():
            if trial.spec.fingerprint not in failed:
                bisect.insort(queue, trial, key=dearest_first)
        ready = len(queue) if cheapest is None else max(0, cheapest - len(running))
        for _ in range(min(ready, len(queue))):
            trial = queue.pop(0 if cheapest is None else -1)
            running.add(trial.spec.fingerprint)
            launcher.submit(trial)
        if not running:
            if not planner.to_lock or not (locked := _lock(study)):
                return failed
            planner.lock(locked)
            continue
        event = launcher.next_event(None if end is None else max(0.0, end - time.monotonic()))
        if event is None or (end is not None and time.monotonic() > end):
            left = planner.num_waiting
            raise UnfinishedError(f"the time is over with {left} trials left as far as is known: run it again to go on")
        key, result = event.trial.spec.fingerprint, None
        if event.kind == "finished":
            running.discard(key)
            in_a_row = 0
            result = _result(study, event.trial.spec)
            planner.learn(key, result)
        elif event.kind == "failed":
            if event.blame != "trial":
                raise failure(event)
            failed[key] = event.reason
            _fail(study, event.trial.spec, event.reason)
            running.discard(key)
            in_a_row += 1
            if in_a_row == MOST_FAILURES_IN_A_ROW:
                raise TrialError(
                    f"{in_a_row} trials failed one after the other, the last with: {event.reason}. The next would fail "
                    "alike, so the study has stopped; mend the cause and add --retry failed"
                )
        wanted = planner.num_wanted
        done = wanted - planner.num_waiting
        on_progress(RunProgress(event=event, done=done, wanted=wanted, result=result))


def _result(study: StudyDirectory, done: TrialSpec | ProbeSpec) -> TrialResult | None:
    """What a finished trial has left; a plan asks for nothing of a probe."""
    if isinstance(done, ProbeSpec):
        return None
    result = study.trial(done).result()
    assert result is not None
    return result


def _fail(study: StudyDirectory, tried: TrialSpec | ProbeSpec, reason: str) -> None:
    """Write down that it failed: it is not tried again unless asked for."""
    if isinstance(tried, ProbeSpec):
        probe_directory(study, tried).fail(tried, reason)
    else:
        study.trial(tried).fail(tried, reason)


def _failures(held: Mapping[str, HeldTrial | HeldProbe]) -> dict[str, str]:
    """Why trials and probes failed, by fingerprint."""
    return {key: each.failure for key, each in held.items() if each.failure is not None}


def _refuse_all_diverged(planned: Plan, results: Mapping[str, TrialResult]) -> None:
    """A study of which nothing came is no success, though each of its trials has an outcome."""
    found = [results.get(trial.spec.fingerprint) for trial in planned.trials]
    reasons = {result.reason for result in found if result is not None and result.status == "diverged"}
    if found and all(result is not None and result.status == "diverged" for result in found):
        raise TrialError(
            f"every one of {len(found)} trials diverged ({'; '.join(sorted(reasons)[:3])}), so there is nothing to "
            "compare; give its families lower rates (base_lr) and run it again"
        )


def _tell_other_versions(path: Path, results: Mapping[str, TrialResult]) -> None:
    """Say once that earlier results were made by other versions: they are kept, and equal bits are not promised."""
    from importlib.metadata import version

    here = (__version__, version("torch").partition("+")[0])
    made = Counter(
        (result.levelfield_version, result.execution.torch_version.partition("+")[0]) for result in results.values()
    )
    others = {by: num for by, num in made.items() if by != here}
    for (levelfield, torch), num in sorted(others.items()):
        logger.warning(
            "%s: %d of %d results were made by levelfield %s with torch %s, here are %s and %s; they are kept, and "
            "`levelfield verify` tells whether they still come out equal",
            path, num, len(results), levelfield, torch, *here,
        )  # fmt: skip


def _tell_undecidable(spec: StudySpec, facts: DataFacts, planned: Plan) -> None:
    """Say what this design leaves open whatever comes out; the run goes on, since its curves are of use."""
    found = undecidable(spec, facts, planned)
    for each in found:
        logger.warning("%s: %s", spec.name, told(each))
    if gives_no_verdict(found, spec):
        logger.warning("%s: %s", spec.name, NO_VERDICT_AT_ALL)


def _lock(study: StudyDirectory) -> dict[float, Lock]:
    """Write down the predictions that the results so far allow."""
    outcome = read_outcome(study.path)
    return lock_rungs(study, outcome, analyse_outcome(outcome, study.path))
