"""Which rows of a table count: those that hold to conditions on their cells, and those that state what is needed."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import InputError, SpecError, did_you_mean
from levelfield.scaling.tables.cells import CellError, is_absent, number_of
from levelfield.scaling.tables.rows import CodedColumn
from levelfield.scaling.tables.text import TextTable

_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*(.+?)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)


class Condition(NamedTuple):
    """``column`` stands in the relation ``sign`` (=, !=, <, <=, >, >=) to ``value``."""

    column: str
    value: str
    sign: str = "="


def condition_of(text: str) -> Condition:
    """``split=val``, ``params > 1e6``, ``arch != vit``.

    Raises:
        SpecError: there is no sign in it.
    """
    if not (found := _CONDITION.fullmatch(text)):
        raise SpecError(f"--where keeps rows by COLUMN=VALUE, or by !=, <, <=, > or >=, saw {text!r}")
    column, sign, value = found.groups()
    return Condition(column, value, "=" if sign == "==" else sign)


def rows_where(path: str | Path, table: TextTable, where: Sequence[tuple[str, ...]]) -> TextTable:
    """The rows that hold to every condition of ``where``; of equalities on one column any will do.

    Raises:
        InputError: a column is not there, no row that is kept has the value, or a cell to be compared is no number.
    """
    conditions = [Condition(*each) for each in where]
    for name in dict.fromkeys(each.column for each in conditions):
        if name not in table.names:
            raise InputError(f"{path}: no column {name!r} to keep rows by{did_you_mean(name, table.names)}")
        own = [each for each in conditions if each.column == name]
        if equal := [each.value for each in own if each.sign == "="]:
            table = _equal(path, table, name, equal)
        for each in own:
            if each.sign != "=":
                held = _held(path, table, each)
                if not held.any():
                    raise InputError(f"{path}: no row that is kept has {name} {each.sign} {each.value}")
                table = table.at(np.flatnonzero(held))
    return table


def without_absent(table: TextTable, names: Sequence[str]) -> tuple[TextTable, NDArray[np.intp]]:
    """The rows with a cell in each of the columns ``names``, and the places of the others."""
    absent = np.zeros(len(table.places), dtype=bool)
    for name in names:
        absent |= table.column(name).where(is_absent)
    return table.at(np.flatnonzero(~absent)), np.flatnonzero(absent)


def _equal(path: str | Path, table: TextTable, name: str, wanted: Sequence[str]) -> TextTable:
    cells = table.column(name)
    known = cells.present
    found: set[str] = set()
    for value in wanted:
        same = {cell for cell in known if _same(cell, value)}
        if not same:
            raise InputError(f"{path}: no row that is kept has {name}={value!r}{did_you_mean(value, set(known))}")
        found |= same
    return table.at(np.flatnonzero(cells.where(found.__contains__)))


def _same(cell: str, value: str) -> bool:
    """Whether both are one text, or say one number: 64 and 64.0."""
    try:
        return cell == value or number_of(cell) == number_of(value)
    except CellError:
        return False


def _held(path: str | Path, table: TextTable, condition: Condition) -> NDArray[np.bool_]:
    cells = table.column(condition.column)
    if condition.sign == "!=":
        return cells.where(lambda cell: not _same(cell, condition.value))
    try:
        limit = number_of(condition.value)
    except CellError as error:
        raise InputError(f"--where {condition.column} {condition.sign} compares numbers: {error}") from None
    compare = _COMPARED[condition.sign]
    numbers = _numbers(path, table, condition.column, cells)
    return cells.where(lambda cell: cell in numbers and compare(numbers[cell], limit))


def _numbers(path: str | Path, table: TextTable, name: str, cells: CodedColumn) -> dict[str, float]:
    """What the cells say that say anything."""
    found = {}
    for cell in cells.present:
        if is_absent(cell):
            continue
        try:
            found[cell] = number_of(cell)
        except CellError as error:
            place = table.places[int(np.flatnonzero(cells.where(cell.__eq__))[0])]
            raise InputError(f"{path}, {place}, column {name!r}: {error}, and it is to be compared") from None
    return found
