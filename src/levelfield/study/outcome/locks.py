"""The predictions that lie in a study's directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from levelfield.records.difference import refuse_other_data
from levelfield.records.errors import DamagedError
from levelfield.records.fingerprint import fingerprint
from levelfield.records.sealed import read_record
from levelfield.records.store import HeldTrial, StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult
from levelfield.study.planned import Lock

RESTORE = "restore it from a copy: a prediction is not edited, nor made again once its rung has run"


def lock_name(budget: float) -> str:
    """The file of the prediction for ``budget``."""
    return f"{budget:.4g}.json"


def read_locks(study: StudyDirectory, *, data: str) -> dict[float, Lock]:
    """The locks of ``study``, which is one on ``data``, by budget.

    Raises:
        DamagedError: a lock was changed after it was written, or lies under the name of another.
        StoreError: one predicts for other data.
    """
    locks = {}
    for path in sorted(study.locks_path.glob("*.json")):
        lock = read_record(Lock, path, remedy=RESTORE)
        if path.name != lock_name(lock.budget_flops):
            raise DamagedError(f"{path} holds the prediction for {lock.budget_flops:.4g} FLOPs", RESTORE)
        refuse_other_data(lock.data, data, where=path)
        locks[lock.budget_flops] = lock
    return locks


def losses_fingerprint(results: Mapping[str, TrialResult], runs: Iterable[str]) -> str:
    """The identity of what a prediction is made from: the held-out losses of its ``runs``, all of which are there."""
    return fingerprint("results", [(run, _loss(results[run])) for run in sorted(runs)])


def _loss(result: TrialResult) -> float | None:
    return next((result.loss(split) for split in result.held_out), None)


def refuse_lost_locks(spec: StudySpec, held: Iterable[HeldTrial], locks: Mapping[float, Lock]) -> None:
    """A rung that has been run cannot be foretold: its prediction is there, or was lost.

    Raises:
        DamagedError: trials of a locked rung were begun, and no prediction for it lies in the directory.
    """
    for trial in held:
        budget = None if trial.spec is None else trial.spec.budget_flops
        if budget in spec.ladder.locked and budget not in locks:
            raise DamagedError(
                f"locked/{lock_name(budget)} is missing, and the rung of {budget:.4g} FLOPs that it foretold was begun "
                f"({trial.directory.path.name})",
                "restore it from a copy: a prediction is not made again once its rung has run",
            )
