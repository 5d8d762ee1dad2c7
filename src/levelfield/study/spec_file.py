"""The TOML file of a study, read and checked."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

from levelfield.data.stores.remote import is_far
from levelfield.records.codec import from_plain, json_schema, to_plain
from levelfield.records.errors import InputError, SpecError
from levelfield.records.files import read_regular
from levelfield.records.study import StudySpec
from levelfield.study.overrides import with_values_set

MAX_SPEC_BYTES = 2**20
"""A study of a thousand ladders is smaller."""


def load_study(path: Path, changes: Sequence[str] = ()) -> StudySpec:
    """The study that the TOML file at ``path`` describes; data paths in it are relative to the file.

    ``changes`` are values set otherwise, "KEY=VALUE" each; paths in them are relative to the file, too.

    Raises:
        SpecError: the file is missing, is not TOML, or says something that cannot be meant.
    """
    try:
        plain = tomllib.loads(read_regular(path, at_most=MAX_SPEC_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        raise SpecError(
            f"{path} does not exist; expected a study in TOML (see `levelfield quickstart --spec`)"
        ) from None
    except ValueError as error:  # no TOML, no UTF-8, a NUL in the path, or a number of thousands of digits
        raise SpecError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise SpecError(f"{path} is nested deeper than any study; write its tables as [headings]") from None
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}") from None
    changed = with_values_set(plain, changes)
    return study_from_plain(_with_absolute_paths(changed, path.parent), where=str(path))


def study_from_plain(plain: dict[str, Any], *, where: str = "study") -> StudySpec:
    """The study that a parsed TOML table describes.

    Raises:
        SpecError: naming the place in the table.
    """
    try:
        return from_plain(StudySpec, plain, where=where)
    except InputError as error:
        if str(error).startswith(where):
            raise
        raise SpecError(f"{where}: {error}") from None


def relocated(spec: StudySpec, path: Path | None, report_path: Path | None) -> StudySpec:
    """``spec`` with its data elsewhere; where data lies is no part of a trial, so finished ones still apply.

    Raises:
        SpecError: the data of this study has no such path.
    """
    moved = {"path": path, "report_path": report_path}
    given = {field: str(place.absolute()) for field, place in moved.items() if place is not None}
    for field in given:
        if getattr(spec.data, field, None) is None:
            raise SpecError(f"data {spec.data.source!r} of this study has no {field} that could have moved")
    return dataclasses.replace(spec, data=dataclasses.replace(spec.data, **given)) if given else spec


def executed(
    spec: StudySpec, *, threads: int | None = None, prefetch: int | None = None, launcher: str | None = None
) -> StudySpec:
    """``spec`` with its trials executed otherwise, where something is given; finished ones stay as they are.

    Raises:
        SpecError: no trial can be executed so.
    """
    asked = {"threads": threads, "prefetch": prefetch, "launcher": launcher}
    given: dict[str, Any] = {field: value for field, value in asked.items() if value is not None}
    return dataclasses.replace(spec, execution=dataclasses.replace(spec.execution, **given))


def quickstart_text() -> str:
    """The study that ``levelfield quickstart`` runs, as TOML."""
    return resources.files("levelfield.study").joinpath("quickstart.toml").read_text()


def quickstart_study() -> StudySpec:
    """The study that ``levelfield quickstart`` runs."""
    return study_from_plain(tomllib.loads(quickstart_text()), where="quickstart.toml")


def study_text(spec: StudySpec) -> str:
    """``spec`` as the TOML file that :func:`load_study` reads: whatever is said, and no defaults of what is not."""
    return tomli_w.dumps(_said(to_plain(spec)), multiline_strings=True)


def _said(plain: Any) -> Any:
    """Without what is None or empty, which TOML has no words for, or nobody needs."""
    if isinstance(plain, dict):
        said = {key: _said(value) for key, value in plain.items()}
        return {key: value for key, value in said.items() if value not in (None, "", {}, [])}
    return [_said(value) for value in plain] if isinstance(plain, list | tuple) else plain


def study_schema() -> str:
    """The JSON Schema of a study, for editors."""
    return json.dumps(json_schema(StudySpec), indent=2, sort_keys=True) + "\n"


def _with_absolute_paths(plain: dict[str, Any], folder: Path) -> dict[str, Any]:
    """``plain`` with every path of its data, of its transfers' data and of its families' weights, from ``folder``."""
    moved = dict(plain)
    if isinstance(plain.get("families"), list):
        moved["families"] = [
            entry | {"weights": str((folder / entry["weights"]).absolute())}
            if isinstance(entry, dict) and isinstance(entry.get("weights"), str)
            else entry
            for entry in plain["families"]
        ]
    if isinstance(plain.get("data"), dict):
        moved["data"] = _absolute(plain["data"], folder)
    if isinstance(plain.get("transfer"), list):
        moved["transfer"] = [
            _with_absolute_paths(table, folder) if isinstance(table, dict) else table for table in plain["transfer"]
        ]
    return moved


def _absolute(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    places = {key: data[key] for key in ("path", "report_path") if isinstance(data.get(key), str)}
    moved = data | {key: str((folder / place).absolute()) for key, place in places.items() if not is_far(place)}
    if isinstance(data.get("parts"), list):  # of a mixture, each with data of its own
        moved["parts"] = [
            _with_absolute_paths(part, folder) if isinstance(part, dict) else part for part in data["parts"]
        ]
    return moved
