"""What tells two records apart, in the reader's words: every refusal of other content says so by these."""

from __future__ import annotations

import dataclasses
from typing import Any

from levelfield.records.data import DataSpec, data_identity
from levelfield.records.errors import StoreError

_SHOWN = 4


def changed_data(held: str | None, now: str | None) -> str:
    """Two contents of data, by their fingerprints, as half a sentence."""
    return f"its data was changed: it was run on {_said(held)}, now there is {_said(now)}"


def refuse_other_data(held: str | None, now: str, *, where: object) -> None:
    """Compare the content that ``where`` was made of with what lies there now; None was made of whatever its spec says.

    Raises:
        StoreError: they differ.
    """
    if held not in (None, now):
        raise StoreError(f"{where}: {changed_data(held, now)}; restore the data, or run in another directory")


def refuse_other_start(held: str | None, now: str | None, *, where: object) -> None:
    """Compare the weights that ``where`` started from, by their digest, with those that its start has now.

    A trial that was trained again, on another device or by another version, is the same trial with other weights.

    Raises:
        StoreError: they differ.
    """
    if held != now:
        raise StoreError(
            f"{where}: what it starts from was changed: it began with weights {_said(held)}, now there are "
            f"{_said(now)}; restore them, or run in another directory"
        )


def difference(held: Any, now: Any, *, name: str = "") -> str:
    """What differs between two specs of a class, field by field; empty where nothing does.

    The content of data comes first, and says that it is the data: "its data was changed: it was run on 1a2b…, now there
    is 3c4d…; recipe.peak_lr was 0.1, is 0.2". ``name`` is what the specs are called where they are part of others.
    """
    before, after = (leaves(spec, name) for spec in (held, now))
    told = []
    contents = before.pop("data_content", None), after.pop("data_content", None)
    if before.get("data.source") != after.get("data.source"):
        told.append(f"its data was {before.get('data.source')}, is {after.get('data.source')}")
        before, after = ({leaf: each[leaf] for leaf in each if leaf[:5] != "data."} for each in (before, after))
    elif contents[0] != contents[1]:
        told.append(changed_data(*contents))
    told.extend(
        f"{leaf} was {_said(before.get(leaf))}, is {_said(after.get(leaf))}"
        for leaf in dict.fromkeys((*before, *after))
        if before.get(leaf) != after.get(leaf)
    )
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return "; ".join(told[:_SHOWN]) + more


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Every plain value of a record by its dotted name; of data, what its identity holds: not where it lies."""
    if isinstance(value, DataSpec):
        value = data_identity(value)
    elif dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= leaves(item, f"{name}.{key}" if name else str(key))
    return found


def _said(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else repr(value)
