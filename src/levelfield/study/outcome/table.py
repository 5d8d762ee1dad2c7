"""From a plan and its results to the table that the statistics read."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.records.data import ImagesSpec, in_fold, num_folds
from levelfield.records.observation import Observation
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.stretches import few_stretches
from levelfield.records.trial import TrialResult, TrialSpec, TrialTiming
from levelfield.scaling.noise.stretches import stretch_means
from levelfield.study.planned import Plan, PlannedTrial

_WHOLE = 0.95
"""Of a budget: a trial spends all of it but less than a step, unless a shorter length was chosen."""


def observations(
    planned: Plan,
    results: Mapping[str, TrialResult],
    timings: Mapping[str, TrialTiming],
    *,
    measure: str | None = None,
) -> tuple[Observation, ...]:
    """One row a finished run, of ``measure``, else of the one that selected; diverged ones have none and are no row.

    A run is a trial, or one for every fold of the data: its loss is then that of all images, its cost the mean.

    Raises:
        InputError: the study's task has no such measure.
    """
    edges = {(winner.family, winner.budget_flops): winner.edges for winner in planned.winners}

    def row(trial: PlannedTrial) -> Observation:
        key = trial.spec.fingerprint
        return _row(trial, results[key], timings.get(key), edges, measure)

    return tuple(_joined([row(trial) for trial in run]) for run in finished_runs(planned, results))


def finished_runs(planned: Plan, results: Mapping[str, TrialResult]) -> Iterator[tuple[PlannedTrial, ...]]:
    """The trials of every run that has finished: one, or one for every fold of the data, in the order of folds."""
    runs: dict[str, dict[int, PlannedTrial]] = {}
    for trial in planned.trials:
        result = results.get(trial.spec.fingerprint)
        if result is not None and result.status == "finished":
            runs.setdefault(_run_of(trial.spec), {})[fold_of(trial.spec)] = trial
    for trials in runs.values():
        first = next(iter(trials.values()))
        if len(trials) == _num_trials(first.spec):
            yield tuple(trials[fold] for fold in sorted(trials))


def _num_trials(spec: TrialSpec) -> int:
    """Trials that make up one run: only what reports is judged in folds."""
    return num_folds(spec.data) if spec.held_out == "report" else 1


def fold_of(spec: TrialSpec) -> int:
    """The fold of the data that judges the trial; 0 where there is one part alone."""
    return spec.data.fold if isinstance(spec.data, ImagesSpec) else 0


def _run_of(spec: TrialSpec) -> str:
    """The run that a trial belongs to, named by that of its first fold."""
    if _num_trials(spec) == 1:
        return spec.fingerprint
    return dataclasses.replace(spec, data=in_fold(spec.data, 0)).fingerprint


def _joined(rows: Sequence[Observation]) -> Observation:
    """One row of the folds of a run: means, since every fold holds as many images."""
    if len(rows) == 1:
        return rows[0]
    seconds = [row.device_seconds for row in rows]
    return dataclasses.replace(
        rows[0],
        loss=_mean(row.loss for row in rows),
        train_flops=_mean(row.train_flops for row in rows),
        device_seconds=None if None in seconds else _mean(each for each in seconds if each is not None),
        device=rows[0].device if len({row.device for row in rows}) == 1 else None,
        values=tuple((name, _mean(dict(row.values)[name] for row in rows)) for name, _ in rows[0].values),
    )


def _mean(values: Iterable[float]) -> float:
    each = list(values)
    return sum(each) / len(each)


def report_losses(
    planned: Plan, results: Mapping[str, TrialResult], study: StudyDirectory, *, measure: str | None = None
) -> dict[str, NDArray[np.floating]]:
    """The same of every report example, better lower, by run, of the runs whose trials all kept them.

    Raises:
        DamagedError: a file of them is damaged or lost.
    """
    found = {}
    for run in finished_runs(planned, results):
        if run[0].role not in ("winner", "control", "swap"):
            continue
        kept = [kept_losses(study.trial(trial.spec), results[trial.spec.fingerprint], measure) for trial in run]
        known = [losses for losses in kept if losses is not None]
        if len(known) == len(run):
            found[run[0].spec.fingerprint] = np.concatenate(known)
    return found


def kept_losses(directory: TrialDirectory, result: TrialResult, name: str | None) -> NDArray[np.floating] | None:
    """What ``result`` kept of every report example under that name, better lower, or None where it kept none.

    Where examples err together in stretches it is one value a stretch, with the same mean, of whole examples alone;
    None where there are too few of them.

    Raises:
        InputError: the trial's task has no such measure.
        DamagedError: the file is damaged or lost.
    """
    measure = result.measure(name)
    content = directory.companion(directory.report_path(measure.name), result)
    if content is None:
        return None
    values = measure.shortfall(np.load(io.BytesIO(content), allow_pickle=False))
    films = directory.companion(directory.stretch_path, result)
    if films is None:
        return values
    whole = np.isfinite(values)
    means = stretch_means(values[whole], np.load(io.BytesIO(films), allow_pickle=False)[whole])
    return means if few_stretches(len(means)) is None else None


def _row(
    trial: PlannedTrial,
    result: TrialResult,
    timing: TrialTiming | None,
    edges: Mapping[tuple[str, float], tuple[str, ...]],
    measure: str | None,
) -> Observation:
    spec = trial.spec
    held_out, falling = result.held_out[spec.held_out], result.measure(measure).falling
    judged = trial.role in ("winner", "control")
    return Observation(
        run=result.fingerprint,
        family=trial.family,
        model=spec.architecture,
        role=trial.role,
        loss=result.loss(spec.held_out, measure),
        budget_flops=trial.budget_flops,
        train_flops=result.train_flops,
        params=float(result.params),
        examples=float(result.examples_seen),
        epochs=result.epochs,
        capped=result.train_flops < _WHOLE * trial.budget_flops,
        images=result.examples_seen / spec.recipe.multiplicity / result.epochs if result.epochs else None,
        global_batch_size=spec.global_batch_size,
        peak_lr=spec.recipe.peak_lr,
        base_lr=trial.base_lr,
        seed=spec.seed,
        device_seconds=timing.device_seconds if timing else None,
        device=_timed_on(timing, result) if timing else None,
        optimizer=spec.recipe.optimizer,
        values=tuple(held_out.values.items()),
        chance=falling.chance,
        floor=falling.floor,
        variant=trial.variant,
        traits=(("recipe", spec.recipe.preset),),
        edges=edges.get((trial.family, trial.budget_flops), ()) if judged else (),
    )


def _timed_on(timing: TrialTiming, result: TrialResult) -> str:
    """What seconds are comparable on: the device, and the engine that took the steps where it is not the plain one."""
    engines = sorted({each.engine for each in result.executions} - {"plain"})
    return " by engine ".join([timing.device, *engines])
