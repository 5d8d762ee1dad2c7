"""``--set ladder.budgets=[1e9]``: a study with single values changed on the command line."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Sequence
from typing import Any

from levelfield.records.errors import SpecError, did_you_mean


def with_values_set(plain: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The table ``plain`` of a study with every ``KEY=VALUE`` of ``changes`` set, in their order.

    A key goes from table to table by dots, into a list by the name of an entry or its number
    ("families.vit.recipe", "transfer.0.seeds"). A value is TOML, or the word that stands there.

    Raises:
        SpecError: no value can stand there. Whether it can be meant is told where the study is read.
    """
    changed = copy.deepcopy(plain)
    for change in changes:
        key, equals, value = change.partition("=")
        steps = key.strip().split(".")
        if not equals or not all(steps):
            raise SpecError(f"--set takes KEY=VALUE, such as ladder.budgets=[1e9, 3e9], saw {change!r}")
        place: Any = changed
        for number, step in enumerate(steps[:-1]):
            place = _within(place, step, key=".".join(steps[: number + 1]))
        last: Any = _place_in(place, steps[-1], key=key) if isinstance(place, list) else steps[-1]
        place[last] = _value(value.strip())
    return changed


def _within(place: Any, step: str, *, key: str) -> Any:
    found = place[_place_in(place, step, key=key)] if isinstance(place, list) else place.setdefault(step, {})
    if not isinstance(found, dict | list):
        raise SpecError(f"--set {key}: holds {found!r}, expected a table or a list to go into")
    return found


def _place_in(entries: list[Any], step: str, *, key: str) -> int:
    names = [str(entry.get("name", number)) if isinstance(entry, dict) else "" for number, entry in enumerate(entries)]
    if step in names:
        return names.index(step)
    if step.isdecimal() and int(step) < len(entries):
        return int(step)
    known = ", ".join(filter(None, names)) or f"0 to {len(entries) - 1}"
    raise SpecError(f"--set {key}: no entry {step!r}{did_you_mean(step, names)}; there are {known}")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, ValueError):  # a word without quotes, as a shell hands it on
        return text
