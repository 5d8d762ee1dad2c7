"""Predictions that are written down before their rung runs (protocol 8), and the trials that score them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from levelfield.families.registry import family_named
from levelfield.records.code_version import code_version
from levelfield.records.reason import Reason
from levelfield.records.sealed import write_record
from levelfield.records.store import StudyDirectory
from levelfield.records.study import FamilyEntry
from levelfield.records.writing import make_directory
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.reasons.predictions import NoDeclaredSize, NoLaw, NothingPredicted
from levelfield.study.outcome.locks import lock_name, losses_fingerprint
from levelfield.study.plan.candidate import afford, cost_of
from levelfield.study.planned import Lock, LockedRecipe

if TYPE_CHECKING:
    from levelfield.scaling.next.predict import Prediction
    from levelfield.study.outcome.outcome import Outcome


def lock_rungs(study: StudyDirectory, outcome: Outcome, analysis: Analysis) -> dict[float, Lock]:
    """Write down the predictions of every rung that is ready; nothing where no family has a law.

    Raises:
        StoreError: the directory cannot be written.
    """
    locks = {}
    for budget in outcome.planned.to_lock:
        lock = to_lock(outcome, budget, predicted_recipes(outcome, analysis, budget))
        if lock.recipes:
            make_directory(study.locks_path)
            write_record(study.locks_path / lock_name(budget), lock)
            locks[budget] = lock
    return locks


def to_lock(outcome: Outcome, budget: float, found: Mapping[str, LockedRecipe | Reason]) -> Lock:
    """What was ``found`` for ``budget`` by the results of ``outcome``, as it is written down now."""
    runs = runs_foretelling(outcome)
    return Lock(
        budget_flops=budget,
        recipes=tuple(recipe for recipe in found.values() if isinstance(recipe, LockedRecipe)),
        refused={family: why for family, why in found.items() if isinstance(why, Reason)},
        runs=runs,
        results=losses_fingerprint(outcome.results, runs),
        data=outcome.facts.fingerprint,
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
    ).sealed()


def predicted_recipes(
    outcome: Outcome, analysis: Analysis, budget: float, *, grown: bool = False
) -> dict[str, LockedRecipe | Reason]:
    """The recipe of every family for ``budget``, as the results so far predict it, or why there is none.

    Sizes are the declared ones; with ``grown`` the family's path of sizes goes on where they end.
    """
    from levelfield.scaling.next.predict import predict

    if not any(law.currency == "flops" for law in analysis.laws):
        return {entry.name: NoLaw() for entry in outcome.spec.families}
    predictions = {prediction.family: prediction for prediction in predict(analysis, budget=budget)}
    return {
        entry.name: _recipe(outcome, entry, predictions[entry.name], budget, grown=grown)
        for entry in outcome.spec.families
        if entry.name in predictions
    }


def runs_foretelling(outcome: Outcome) -> tuple[str, ...]:
    """The trials that a prediction is made from: all that have a loss, but for those that scored another prediction."""
    return tuple(sorted(row.run for row in outcome.table if row.role not in ("prediction", "imported")))


def _recipe(
    outcome: Outcome, entry: FamilyEntry, prediction: Prediction, budget: float, *, grown: bool
) -> LockedRecipe | Reason:
    """The offered recipe nearest to ``prediction``, or why there is none."""
    if prediction.loss is None or prediction.params is None or prediction.base_lr is None:
        return NothingPredicted(notes=prediction.notes)
    top = max((w for w in outcome.planned.winners if w.family == entry.name), key=lambda w: w.budget_flops)
    rate = _nearest(entry.base_lr.values, prediction.base_lr)
    sizes = (*entry.sizes, *_further_sizes(outcome, entry, prediction.params)) if grown else entry.sizes
    candidates = [dataclasses.replace(top.candidate, architecture=size, base_lr=rate) for size in sizes]
    bought = {each: afford(outcome.spec, outcome.facts, entry, each, budget) for each in candidates}
    allowed = {
        float(affordable.params): candidate for candidate, affordable in bought.items() if not affordable.refusal
    }
    if not allowed:
        last = list(bought.values())[-1]
        assert last.refusal is not None  # none is allowed
        return NoDeclaredSize(architecture=last.architecture, why=last.refusal)
    chosen = allowed[_nearest(allowed, prediction.params)]
    return LockedRecipe(
        family=entry.name,
        architecture=chosen.architecture,
        base_lr=chosen.base_lr,
        axes=dict(chosen.axes),
        loss=prediction.loss,
        notes=prediction.notes,
    )


def _further_sizes(outcome: Outcome, entry: FamilyEntry, params: float) -> tuple[str, ...]:
    """Sizes of the family's own path on the side where ``params`` lie beyond all declared ones; none between these."""
    facts = outcome.facts

    def of(size: str) -> int:
        return cost_of(size, facts.resolution, facts.head, facts.in_channels).params

    declared = [of(size) for size in entry.sizes]
    family = entry.sizes[0].partition(":")[0]
    path = family_named(family).path
    if path is None or min(declared) <= params <= max(declared):
        return ()
    above = params > max(declared)
    return tuple(
        size
        for size in path(facts.resolution)
        if size not in entry.sizes and (of(size) > max(declared) if above else of(size) < min(declared))
    )


def _nearest(values: Iterable[float], target: float) -> float:
    return min(values, key=lambda value: abs(math.log(value / target)))
