"""The runs that a study was made for: foretold, locked, trained once at a budget of one's own, and scored.

::

    <study>/trained/1e+17/locked.json     the prediction for that budget, written down before the run began
    <study>/trained/1e+17/trial/          the run: a trial like any other, which keeps its weights
    <study>/trained/1e+17/backbone/       its weights, card and preprocessing, as timm and the hub lay them out
    <study>/trained/1e+17-vit/            the same for a family that was asked for by name
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from levelfield.records.difference import refuse_other_data
from levelfield.records.errors import DamagedError, StoreError
from levelfield.records.sealed import read_record, read_record_if_there, write_record
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import TrialResult
from levelfield.records.writing import is_there, make_directory
from levelfield.study.outcome.locks import RESTORE, lock_name
from levelfield.study.planned import Lock, LockedRecipe

_FOLDER = "trained"


class TrainedDirectory:
    """The files of one such run; ``family`` is the one that was asked for, None where it is the foretold best."""

    def __init__(self, path: Path, family: str | None = None) -> None:
        self.path, self.family = path, family

    @property
    def lock_path(self) -> Path:
        return self.path / "locked.json"

    @property
    def trial(self) -> TrialDirectory:
        return TrialDirectory(self.path / "trial")

    @property
    def backbone_path(self) -> Path:
        return self.path / "backbone"

    def write_lock(self, lock: Lock) -> None:
        """Write the prediction down, before its run begins.

        Raises:
            StoreError: the directory cannot be written.
        """
        make_directory(self.path)
        write_record(self.lock_path, lock)

    def lock(self, budget: float, *, data: str) -> Lock | None:
        """The prediction for ``budget`` that was locked here before; None where none was.

        Raises:
            DamagedError: it was changed, or is lost while its run has begun.
            StoreError: it is of another budget, or of other ``data``.
        """
        lock = read_record_if_there(Lock, self.lock_path, remedy=RESTORE)
        if lock is None:
            if is_there(self.trial.path):
                raise DamagedError(f"{self.lock_path} is missing, and the run that it foretold was begun", RESTORE)
            return None
        if lock.budget_flops != budget:
            raise StoreError(
                f"{self.path} holds a run of {lock.budget_flops!r} FLOPs, asked was one of {budget!r}: give one budget "
                "or the other, or move the directory away"
            )
        refuse_other_data(lock.data, data, where=self.lock_path)
        return lock


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run that was locked, its recipe, and its ``result`` once it is done."""

    directory: TrainedDirectory
    lock: Lock
    recipe: LockedRecipe
    result: TrialResult | None

    @property
    def came(self) -> float | None:
        """Its held-out loss; None where it is not done, or has diverged."""
        return self.result.loss("report") if self.result is not None and "report" in self.result.held_out else None

    @property
    def diverged(self) -> bool:
        return self.result is not None and self.result.status == "diverged"


def trained_directory(study: StudyDirectory, budget: float, family: str | None) -> TrainedDirectory:
    """Where the run of ``budget`` lies in ``study``."""
    name = _name(budget)
    return TrainedDirectory(study.path / _FOLDER / (f"{name}-{family}" if family else name), family)


def trained_runs(study: StudyDirectory) -> Iterator[TrainedRun]:
    """Every such run of ``study`` that was locked, by name.

    Raises:
        DamagedError: a file of it is damaged or lost.
    """
    for path in sorted((study.path / _FOLDER).glob("*/locked.json")):
        lock = read_record(Lock, path, remedy=RESTORE)
        named = path.parent.name.removeprefix(_name(lock.budget_flops))
        directory = TrainedDirectory(path.parent, named.removeprefix("-") or None)
        recipe, result = chosen(lock, directory.family), directory.trial.result()
        yield TrainedRun(directory=directory, lock=lock, recipe=recipe, result=result)


def chosen(lock: Lock, family: str | None) -> LockedRecipe:
    """The recipe of ``family``, or the one of the lowest foretold loss.

    Raises:
        DamagedError: ``lock`` holds none.
    """
    held = [recipe for recipe in lock.recipes if family in (None, recipe.family)]
    if not held:
        raise DamagedError(f"the prediction for {lock.budget_flops:.4g} FLOPs holds no recipe of {family}", RESTORE)
    return min(held, key=lambda recipe: recipe.loss.estimate)


def _name(budget: float) -> str:
    return lock_name(budget).removesuffix(".json")
