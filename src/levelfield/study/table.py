"""From a plan and its results to the table that the statistics read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from levelfield.records.observation import Observation
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialResult, TrialTiming
from levelfield.study.plan import Plan
from levelfield.study.wants import PlannedTrial


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


def report_losses(planned: Plan, study: StudyDirectory) -> dict[str, NDArray[np.float32]]:
    """The loss of every report example, by trial fingerprint, of the trials that kept them."""
    paths = {
        trial.spec.fingerprint: study.trial(trial.spec).report_losses_path
        for trial in planned.trials
        if trial.role in ("winner", "control", "swap")
    }
    return {key: np.load(path) for key, path in paths.items() if path.exists()}


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
        top1=held_out.top1,
        chance_loss=result.chance_loss,
        floor_loss=result.floor_loss,
        variant=trial.variant,
        traits=(("recipe", spec.recipe.preset),),
        edges=edges.get((trial.family, trial.budget_flops), ()) if judged else (),
    )
