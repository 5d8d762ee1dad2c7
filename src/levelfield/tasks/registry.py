"""The tasks, by name."""

from __future__ import annotations

from levelfield.records.errors import SpecError, did_you_mean
from levelfield.records.trial import RecipeSpec
from levelfield.tasks.base import Task
from levelfield.tasks.classification import Classification


def build_task(name: str, recipe: RecipeSpec) -> Task:
    """The task ``name`` under ``recipe``.

    Raises:
        SpecError: no such task.
    """
    builders = {"classification": lambda: Classification(label_smoothing=recipe.label_smoothing)}
    if name not in builders:
        raise SpecError(f"unknown task {name!r}{did_you_mean(name, builders)}")
    return builders[name]()
