"""From a plan and its results to the table that the statistics read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levelfield.records.observation import Observation
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import TrialResult, TrialTiming
from levelfield.study.planned import Plan, PlannedTrial


def observations(
    planned: Plan, results: Mapping[str, TrialResult], timings: Mapping[str, TrialTiming]
) -> tuple[Observation, ...]:
    """One row a finished trial; diverged ones have no loss and are no row."""
    edges = {(winner.family, winner.budget_flops): winner.edges for winner in planned.winners}
    return tuple(
        _row(trial, results[trial.spec.fingerprint], timings.get(trial.spec.fingerprint), edges)
        for trial in planned.trials
        if trial.spec.fingerprint in results and results[trial.spec.fingerprint].status == "finished"
    )


def report_losses(
    planned: Plan, results: Mapping[str, TrialResult], study: StudyDirectory
) -> dict[str, NDArray[np.float32]]:
    """The loss of every report example, by trial fingerprint, of the trials in ``results`` that kept them.

    Raises:
        DamagedError: a file of them is damaged or lost.
    """
    found = {}
    for trial in planned.trials:
        result = results.get(trial.spec.fingerprint)
        if result is not None and trial.role in ("winner", "control", "swap"):
            directory = study.trial(trial.spec)
            losses = kept_array(directory, directory.report_losses_path, result)
            if losses is not None:
                found[trial.spec.fingerprint] = losses
    return found


def kept_array(directory: TrialDirectory, path: Path, result: TrialResult) -> NDArray[np.float32] | None:
    """The array at ``path``, of which ``result`` knows the digest, or None where it kept none.

    Raises:
        DamagedError: it is damaged or lost.
    """
    content = directory.companion(path, result)
    return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)


def _row(
    trial: PlannedTrial,
    result: TrialResult,
    timing: TrialTiming | None,
    edges: Mapping[tuple[str, float], tuple[str, ...]],
) -> Observation:
    spec = trial.spec
    held_out = result.held_out[spec.held_out]
    judged = trial.role in ("winner", "control")
    return Observation(
        run=result.fingerprint,
        family=trial.family,
        model=spec.architecture,
        role=trial.role,
        loss=held_out.loss,
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
        device=timing.device if timing else None,
        optimizer=spec.recipe.optimizer,
        values=(("loss", held_out.loss), ("error", 1 - held_out.top1)),
        chance=result.chance_loss,
        floor=result.floor_loss,
        variant=trial.variant,
        traits=(("recipe", spec.recipe.preset),),
        edges=edges.get((trial.family, trial.budget_flops), ()) if judged else (),
    )
