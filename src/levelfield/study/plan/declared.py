"""What a family's tables declare, read once before anything is trained: whatever a search may ask for can be meant."""

from __future__ import annotations

import dataclasses
import itertools

from levelfield.records.errors import SpecError
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.study.facts import DataFacts
from levelfield.study.plan.candidate import afford, default_value, recipe_of, trial_spec
from levelfield.study.plan.recipes import preset
from levelfield.study.planned import Candidate


def choices_along(spec: StudySpec, entry: FamilyEntry, candidate: Candidate, axis: str) -> list[tuple[bool, Candidate]]:
    """``candidate`` at every value of ``axis``, and whether that value is the default."""
    default = default_value(spec, entry, axis, candidate.architecture)
    return [
        (value == default, candidate.moved(axis, None if value == default else value))
        for value in entry.axes[axis].values
    ]


def refuse_meaningless(spec: StudySpec, facts: DataFacts, entry: FamilyEntry) -> None:
    """Make every recipe, every shape and the first trial of every value that ``entry`` declares.

    What axes make of a size is tried in every combination, since two values that are sound alone may not be together.

    Raises:
        SpecError: one of them cannot be meant; the message names the family and the value.
    """
    try:
        _make_all(spec, facts, entry)
    except SpecError as error:
        raise SpecError(f"family {entry.name!r}: {error}") from None


def _make_all(spec: StudySpec, facts: DataFacts, entry: FamilyEntry) -> None:
    if entry.swap is not None:
        preset(entry.swap.recipe, peak_lr=1.0)
    budget = spec.ladder.budgets[0]
    sizes = [Candidate(architecture=size, base_lr=entry.base_lr.start) for size in entry.sizes]
    for axis, declared in entry.axes.items():
        field = declared.field.partition(".")[2]
        why = recipe_of(entry, sizes[0], peak_lr=1.0).without_effect(field) if declared.section == "recipe" else ""
        if why:
            raise SpecError(f"axis {axis!r} searches {field}, which changes nothing: {why}")
    for size in sizes:
        alone = [size, *(moved for axis in entry.axes for _, moved in choices_along(spec, entry, size, axis))]
        for candidate in alone:
            bought = dataclasses.replace(afford(spec, facts, entry, candidate, budget), steps=1)
            trial_spec(spec, facts, entry, candidate, bought, budget)
        shaped = [axis for axis, declared in entry.axes.items() if declared.section == "model"]
        for values in itertools.product(*(entry.axes[axis].values for axis in shaped)):
            together = dataclasses.replace(size, axes=tuple(sorted(zip(shaped, values, strict=True))))
            afford(spec, facts, entry, together, budget)
