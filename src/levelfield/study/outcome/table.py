"""From a plan and its results to the table that the statistics read."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from levelfield.records.observation import Observation
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.stretches import few_stretches
from levelfield.records.trial import TrialResult, TrialTiming
from levelfield.scaling.noise.stretches import stretch_means
from levelfield.study.planned import Plan, PlannedTrial


def observations(
    planned: Plan,
    results: Mapping[str, TrialResult],
    timings: Mapping[str, TrialTiming],
    *,
    measure: str | None = None,
) -> tuple[Observation, ...]:
    """One row a finished trial, of ``measure``, else of the one that selected; diverged ones have none and are no row.

    Raises:
        InputError: the study's task has no such measure.
    """
    edges = {(winner.family, winner.budget_flops): winner.edges for winner in planned.winners}
    return tuple(
        _row(trial, results[trial.spec.fingerprint], timings.get(trial.spec.fingerprint), edges, measure)
        for trial in planned.trials
        if trial.spec.fingerprint in results and results[trial.spec.fingerprint].status == "finished"
    )


def report_losses(
    planned: Plan, results: Mapping[str, TrialResult], study: StudyDirectory, *, measure: str | None = None
) -> dict[str, NDArray[np.floating]]:
    """The same of every report example, better lower, by trial fingerprint, of the trials that kept them.

    Raises:
        DamagedError: a file of them is damaged or lost.
    """
    found = {}
    for trial in planned.trials:
        result = results.get(trial.spec.fingerprint)
        if result is not None and trial.role in ("winner", "control", "swap"):
            losses = kept_losses(study.trial(trial.spec), result, measure)
            if losses is not None:
                found[trial.spec.fingerprint] = losses
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
