"""Rows by their columns: those that are asked for become observations, a million others stay numbers.

A column holds every value once and of every row which one it has. So rows are chosen, ordered, grouped and summed as
arrays, in the order and to the bit in which a loop over them would do it: sums run along the rows, one after another.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from levelfield.records.observation import Observation
from levelfield.scaling.laws import Floats

T = TypeVar("T")
Places = NDArray[np.intp]


class Column(NamedTuple):
    """``values``, each there once, and of every row the place of its own among them."""

    codes: Places
    values: Sequence[Any]

    @classmethod
    def of(cls, cells: Sequence[Hashable]) -> Column:
        """The column of these ``cells``, its values in the order of their first appearance."""
        known: dict[Hashable, int] = {}
        found = (known.setdefault(cell, len(known)) for cell in cells)
        return cls(np.fromiter(found, dtype=np.intp, count=len(cells)), list(known))

    @classmethod
    def one(cls, value: Hashable, num_rows: int) -> Column:
        return cls(np.zeros(num_rows, dtype=np.intp), [value])

    def mapped(self, meant: Callable[[Any], Hashable]) -> Column:
        """The column of what its values are taken for; several may be taken for the same."""
        return Column.merged(self.codes, list(map(meant, self.values)))

    @classmethod
    def merged(cls, codes: Places, values: Sequence[Hashable]) -> Column:
        """The column of ``values`` some of which may be equal."""
        own = cls.of(values)
        return cls(codes, values) if len(own.values) == len(values) else cls(own.codes[codes], own.values)

    def at(self, places: Places) -> Column:
        return Column(self.codes[places], self.values)

    @property
    def cells(self) -> list[Any]:
        """The value of every row."""
        return list(map(self.values.__getitem__, self.codes.tolist()))

    @property
    def trimmed(self) -> Column:
        """The column of the values that some row has."""
        used = np.flatnonzero(np.bincount(self.codes, minlength=len(self.values)))
        renamed = np.zeros(len(self.values), dtype=np.intp)
        renamed[used] = np.arange(len(used))
        return Column(renamed[self.codes], [self.values[place] for place in used.tolist()])

    @property
    def present(self) -> list[Any]:
        """The values that some row has."""
        return list(compress(self.values, np.bincount(self.codes, minlength=len(self.values)).tolist()))

    def where(self, holds: Callable[[Any], bool]) -> NDArray[np.bool_]:
        """Of every row whether its value ``holds``."""
        return np.fromiter(map(holds, self.values), dtype=bool, count=len(self.values))[self.codes]

    @property
    def ranks(self) -> Places:
        """Numbers of the rows that rise as their values do."""
        order = sorted(range(len(self.values)), key=self.values.__getitem__)
        ranks = np.empty(len(order), dtype=np.intp)
        ranks[order] = np.arange(len(order))
        return ranks[self.codes]


def combined(columns: Sequence[Column]) -> tuple[Places, Places]:
    """Of every row the number of its combination of values, in order of first appearance, and where each is first."""
    codes, most = columns[0].codes, len(columns[0].values)
    for column in columns[1:]:
        if (size := len(column.values)) > 1:
            if most * size >= 2**62:
                found, codes = np.unique(codes, return_inverse=True)
                most = len(found)
            codes, most = codes * size + column.codes, most * size
    return numbered(codes)


def numbered(codes: Places) -> tuple[Places, Places]:
    """``codes`` counted up in order of first appearance, and the place of each code's first."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    numbers = np.empty(len(order), dtype=np.intp)
    numbers[order] = np.arange(len(order))
    return numbers[inverse], first[order]


class _Held(Protocol):
    """Where rows come from: objects, or columns."""

    def __len__(self) -> int: ...
    def coded(self, field: str) -> Column: ...
    def cells(self, field: str, places: Places) -> list[Any]: ...
    def row(self, place: int) -> Observation: ...


class _Objects:
    """Observations that exist."""

    def __init__(self, rows: tuple[Observation, ...]) -> None:
        self._rows = rows
        self._coded: dict[str, Column] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def coded(self, field: str) -> Column:
        if field not in self._coded:
            self._coded[field] = Column.of(list(map(attrgetter(field), self._rows)))
        return self._coded[field]

    def cells(self, field: str, places: Places) -> list[Any]:
        """As each row says it: 1 and 1.0 are one value of a column."""
        return [getattr(self._rows[place], field) for place in places.tolist()]

    def row(self, place: int) -> Observation:
        return self._rows[place]


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Observation)}


class _Columns:
    """Fields of observations that are made when they are asked for; what is not among them has its default."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._made: dict[int, Observation] = {}

    def __len__(self) -> int:
        return len(self._columns["run"].codes)

    def coded(self, field: str) -> Column:
        return self._columns.get(field) or Column.one(_DEFAULTS[field], len(self))

    def cells(self, field: str, places: Places) -> list[Any]:
        return self.coded(field).at(places).cells

    def row(self, place: int) -> Observation:
        if place not in self._made:
            told = {name: column.values[column.codes[place]] for name, column in self._columns.items()}
            self._made[place] = Observation(**told)
        return self._made[place]


class Rows(Sequence[Observation]):
    """Rows that remember what they were asked for: a million are walked through once."""

    def __init__(self, held: _Held, places: Places | None = None) -> None:
        self._held = held
        self._places: Places = np.arange(len(held)) if places is None else places
        self._known: dict[Hashable, Any] = {}

    @classmethod
    def of(cls, rows: Iterable[Observation]) -> Rows:
        """The same rows, such that they remember."""
        return rows if isinstance(rows, cls) else cls(_Objects(tuple(rows)))

    @classmethod
    def of_columns(cls, columns: Mapping[str, Column]) -> Rows:
        """The rows of equally long ``columns``, one a field of observations, "run" among them."""
        return cls(_Columns(columns))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Observation: ...
    @overload
    def __getitem__(self, place: slice) -> Rows: ...
    def __getitem__(self, place: int | slice) -> Observation | Rows:
        if isinstance(place, slice):
            return Rows(self._held, self._places[place])
        return self._held.row(int(self._places[place]))

    def __iter__(self) -> Iterator[Observation]:
        return map(self._held.row, self._places.tolist())

    def __eq__(self, other: object) -> bool:
        return len(self) == len(other) and tuple(self) == tuple(other) if isinstance(other, Sequence) else False

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def at(self, places: Places) -> Rows:
        """The rows at ``places`` of these."""
        return Rows(self._held, self._places[places])

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives, made the first time that it is asked for."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def coded(self, field: str) -> Column:
        """``field`` of every row; its values may hold some that no row has."""
        return self.once(("coded", field), lambda: self._held.coded(field).at(self._places))

    def column(self, field: str) -> list[Any]:
        """``field`` of every row."""
        return self.once(("column", field), lambda: self._held.cells(field, self._places))

    def numbers(self, field: str) -> Floats:
        """The same of a field of numbers, as an array."""
        return np.asarray(self.column(field), dtype=float)

    @property
    def log_losses(self) -> Floats:
        """ln loss of every row, as :func:`math.log` has it: NumPy's own differs in the last bit here and there."""
        return self.once("log losses", lambda: np.asarray(list(map(math.log, self.column("loss")))))

    def having(self, field: str, wanted: frozenset[str]) -> Rows:
        """The rows whose ``field`` is among the ``wanted``, in their order."""
        column = self.coded(field)
        if wanted.issuperset(column.present):
            return self
        return self.once((field, wanted), lambda: self.at(np.flatnonzero(column.where(wanted.__contains__))))

    def groups(self, *fields: str) -> tuple[Places, Places]:
        """Of every row the number of its group by ``fields``, in order of first appearance, and each group's first."""
        return self.once(("groups", fields), lambda: combined([self.coded(field) for field in fields]))

    def grouped_by(self, *fields: str) -> dict[Any, Rows]:
        """The rows by their ``fields``, in order of first appearance."""
        codes, first = self.groups(*fields)
        members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]) if len(codes) else []
        columns = [self.at(first).column(field) for field in fields]
        keys = columns[0] if len(fields) == 1 else list(zip(*columns, strict=True))
        return {key: self.at(places) for key, places in zip(keys, members, strict=True)}

    def means(self, codes: Places) -> Floats:
        """The mean ln loss of the rows of every code, summed along the rows."""
        return np.bincount(codes, weights=self.log_losses) / np.bincount(codes)


def having(rows: Sequence[Observation], field: str, *values: str) -> Rows:
    """The rows whose ``field`` is one of ``values``, in their order."""
    return Rows.of(rows).having(field, frozenset(values))
