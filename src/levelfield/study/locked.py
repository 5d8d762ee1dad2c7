"""Predictions that are written down before their rung runs (protocol 8), and the trials that score them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from levelfield.records.code_version import code_version
from levelfield.records.codec import later, record
from levelfield.records.difference import refuse_other_data
from levelfield.records.errors import DamagedError
from levelfield.records.fingerprint import fingerprint
from levelfield.records.sealed import read_record, write_record
from levelfield.records.store import HeldTrial, StudyDirectory
from levelfield.records.study import AxisValue, FamilyEntry, StudySpec
from levelfield.records.writing import make_directory
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval
from levelfield.study.candidate import Candidate
from levelfield.study.wants import Wants

if TYPE_CHECKING:
    from levelfield.scaling.next.predict import Prediction
    from levelfield.study.outcome import Outcome

_RESTORE = "restore it from a copy: a prediction is not edited, nor made again once its rung has run"


@record
class LockedRecipe:
    """What was predicted for one family: the declared size and rate nearest to the optimum, and the loss they reach.

    ``axes`` are the other searched values, taken over from the winner of the top searched rung.
    """

    family: str
    architecture: str
    base_lr: float
    axes: dict[str, AxisValue]
    loss: Interval
    sentence: str


@record
class Lock:
    """A prediction as it was written down: from which results on which ``data``, when (UTC), and by which version.

    ``refused`` says, by family, why nothing could be predicted. ``results`` is the fingerprint of all losses known
    then; ``fingerprint`` names everything else in the record.
    """

    budget_flops: float
    recipes: tuple[LockedRecipe, ...]
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    results: str
    data: str | None = later(default=None)
    written: str
    code_version: str
    fingerprint: str = ""

    def sealed(self) -> Lock:
        return dataclasses.replace(self, fingerprint=fingerprint("lock", dataclasses.replace(self, fingerprint="")))


def want_locked(wants: Wants, lock: Lock) -> None:
    """Want every locked recipe on fresh seeds."""
    entries = {entry.name: entry for entry in wants.spec.families}
    for locked in lock.recipes:
        if locked.family in entries:
            candidate = Candidate(
                architecture=locked.architecture, base_lr=locked.base_lr, axes=tuple(sorted(locked.axes.items()))
            )
            entry = entries[locked.family]
            wants.judge(entry, candidate, lock.budget_flops, wants.fresh_seeds, role="prediction")


def lock_rungs(study: StudyDirectory, outcome: Outcome, analysis: Analysis) -> dict[float, Lock]:
    """Write down the predictions of every rung that is ready; nothing where no family has a law.

    Raises:
        StoreError: the directory cannot be written.
    """
    locks = {}
    for budget in outcome.planned.to_lock:
        found = predicted_recipes(outcome, analysis, budget)
        recipes = tuple(recipe for recipe in found.values() if isinstance(recipe, LockedRecipe))
        if recipes:
            lock = Lock(
                budget_flops=budget,
                recipes=recipes,
                refused={family: why for family, why in found.items() if isinstance(why, str)},
                results=results_fingerprint(outcome),
                data=outcome.facts.fingerprint,
                written=datetime.now(UTC).isoformat(timespec="seconds"),
                code_version=code_version(),
            ).sealed()
            make_directory(study.locks_path)
            write_record(study.locks_path / lock_name(budget), lock)
            locks[budget] = lock
    return locks


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
        lock = read_record(Lock, path, remedy=_RESTORE)
        if path.name != lock_name(lock.budget_flops):
            raise DamagedError(f"{path} holds the prediction for {lock.budget_flops:.4g} FLOPs", _RESTORE)
        refuse_other_data(lock.data, data, where=path)
        locks[lock.budget_flops] = lock
    return locks


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


def predicted_recipes(outcome: Outcome, analysis: Analysis, budget: float) -> dict[str, LockedRecipe | str]:
    """The recipe of every family for ``budget``, as the results so far predict it, or why there is none."""
    from levelfield.scaling.next.predict import predict

    if not any(law.currency == "flops" for law in analysis.laws):
        return {entry.name: "no law" for entry in outcome.spec.families}
    predictions = {prediction.family: prediction for prediction in predict(analysis, budget=budget)}
    return {
        entry.name: _recipe(outcome, entry, predictions[entry.name], budget)
        for entry in outcome.spec.families
        if entry.name in predictions
    }


_NO_EVIDENCE = ("prediction", "imported")


def results_fingerprint(outcome: Outcome) -> str:
    """The identity of everything that a prediction is made from: the searched and judged losses below it."""
    return fingerprint("results", sorted((row.run, row.loss) for row in outcome.table if row.role not in _NO_EVIDENCE))


def _recipe(outcome: Outcome, entry: FamilyEntry, prediction: Prediction, budget: float) -> LockedRecipe | str:
    """The declared recipe nearest to ``prediction``, or why there is none."""
    if prediction.loss is None or prediction.params is None or prediction.base_lr is None:
        return "; ".join(prediction.notes)
    wants = Wants(outcome.spec, outcome.facts, outcome.results)
    top = max((w for w in outcome.planned.winners if w.family == entry.name), key=lambda w: w.budget_flops)
    rate = _nearest(entry.base_lr.values, prediction.base_lr)
    candidates = [dataclasses.replace(top.candidate, architecture=size, base_lr=rate) for size in entry.sizes]
    bought = {candidate: wants.afford(entry, candidate, budget) for candidate in candidates}
    allowed = {
        float(affordable.params): candidate for candidate, affordable in bought.items() if not affordable.refusal
    }
    if not allowed:
        last = list(bought.values())[-1]
        return f"no declared size is allowed there ({last.architecture}: {last.refusal})"
    chosen = allowed[_nearest(allowed, prediction.params)]
    return LockedRecipe(
        family=entry.name,
        architecture=chosen.architecture,
        base_lr=chosen.base_lr,
        axes=dict(chosen.axes),
        loss=prediction.loss,
        sentence=prediction.sentence,
    )


def _nearest(values: Iterable[float], target: float) -> float:
    return min(values, key=lambda value: abs(math.log(value / target)))
