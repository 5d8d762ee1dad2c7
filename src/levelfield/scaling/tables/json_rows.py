"""JSON as tables: an object a line, a list of objects, columns by name, or what pandas writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from levelfield.records.errors import InputError
from levelfield.scaling.tables.text import TextTable, expect_each_once, table_of_texts


def looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def table_of_json(path: str | Path, text: str) -> TextTable:
    """The table of ``text``, which lies at ``path``.

    Every number is taken as it is written; objects within a row become columns of their own ("config.lr").

    Raises:
        InputError: it is no JSON, or JSON that is no table.
    """
    try:
        whole = _parsed(path, text)
    except json.JSONDecodeError as error:
        return _of_rows(path, *_lines(path, text, error))
    if isinstance(whole, dict):
        whole = _rows_of_columns(path, whole)
    if not isinstance(whole, list):
        raise InputError(f"{path}: is JSON, but no list of objects, of which each is a run")
    return _of_rows(path, whole, [f"row {place}" for place in range(1, len(whole) + 1)])


def _parsed(path: str | Path, text: str) -> Any:
    def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        expect_each_once(path, [name for name, _ in pairs])
        return dict(pairs)

    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=once)
    except RecursionError:
        raise InputError(f"{path}: is JSON nested beyond all reason; give a list of objects, each a run") from None


def _lines(path: str | Path, text: str, whole: json.JSONDecodeError) -> tuple[list[Any], list[str]]:
    """An object a line; ``whole`` is why the text is not one JSON value."""
    rows, places = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(_parsed(path, line))
        except json.JSONDecodeError as error:
            if not rows:
                raise InputError(f"{path}: is damaged JSON: {whole}") from None
            raise InputError(f"{path}, line {number}: is no JSON: {error.msg} at character {error.pos}") from None
        places.append(f"line {number}")
    return rows, places


def _rows_of_columns(path: str | Path, table: Mapping[str, Any]) -> list[Any]:
    """The rows of columns by name (lists, or values by index), or of ``columns`` and ``data``: as pandas has them."""
    if isinstance(names := table.get("columns"), list) and isinstance(data := table.get("data"), list):
        if any(not isinstance(row, list) or len(row) != len(names) for row in data):
            raise InputError(f"{path}: every row of 'data' must have a cell for each of the {len(names)} 'columns'")
        return [dict(zip(map(str, names), row, strict=True)) for row in data]
    columns = {name: list(own.values()) if isinstance(own, dict) else own for name, own in table.items()}
    if not columns or not all(isinstance(own, list) for own in columns.values()):
        return [table]
    lengths = {name: len(own) for name, own in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{path}: its columns must be equally long, saw {told}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _of_rows(path: str | Path, rows: Sequence[Any], places: Sequence[str]) -> TextTable:
    """The table of objects, whose columns are all the names that any has, in order of first appearance."""
    flat = []
    for place, row in zip(places, rows, strict=True):
        if not isinstance(row, dict):
            raise InputError(f"{path}, {place}: expected an object with the columns of a run, saw {str(row)[:40]!r}")
        flat.append(dict(_flat("", row)))
    names = list(dict.fromkeys(name for row in flat for name in row))
    columns = [[row.get(name, "") for row in flat] for name in names]
    return table_of_texts(names, columns, places)


def _flat(before: str, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(f"{before}{name}.", value)
        elif value is None:
            yield before + name, ""
        else:
            yield before + name, value.strip() if isinstance(value, str) else json.dumps(value)
