"""The tasks, by name: our own from a table, anybody's by where they are to be imported from."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from levelfield.records.errors import SpecError, did_you_mean, first_line, lacks_memory
from levelfield.tasks.base import Task
from levelfield.tasks.classification import Classification
from levelfield.tasks.image_text import ImageText
from levelfield.tasks.policy import Policy
from levelfield.tasks.segmentation import Segmentation

TASKS: dict[str, Callable[[], Task]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "policy": Policy,
    "image_text": ImageText,
    "image_text_softmax": functools.partial(ImageText, objective="softmax"),
}

_ASKED = ("fields", "additive", "head", "measures", "weight", "loss", "scores")


@functools.cache
def task_named(name: str) -> Task:
    """The task called ``name`` in the table, or the one that "package.module:Name" makes when it is called.

    Raises:
        SpecError: there is none of that name, it cannot be imported, or it is no :class:`levelfield.tasks.base.Task`.
    """
    if name in TASKS:
        return TASKS[name]()
    module, colon, attribute = name.partition(":")
    if not colon:
        raise SpecError(
            f"there is no task {name!r}{did_you_mean(name, TASKS)}; others' are named 'package.module:Name'"
        )
    made = _imported(name, module, attribute)
    lacking = [each for each in _ASKED if not hasattr(made, each)]
    if lacking:
        raise SpecError(f"{name} is no task: it lacks {', '.join(lacking)} (levelfield.tasks.base.Task lists them all)")
    return made


def _imported(name: str, module: str, attribute: str) -> Any:
    try:
        return getattr(importlib.import_module(module), attribute)()
    except Exception as error:  # whatever others' code raises where it is imported or made
        if lacks_memory(error):  # which is no fault of the task
            raise
        raise SpecError(
            f"task {name!r} cannot be made here ({type(error).__name__}: {first_line(error)}); expected a module that "
            f"this Python finds (install it, or name its folder in PYTHONPATH) with {attribute}() in it"
        ) from None
