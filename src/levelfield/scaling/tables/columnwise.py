"""A table whose every cell is plainly what it should be, read column by column: that of a million runs in seconds.

What needs a closer look at any cell (a grouped number, an empty one that is needed, a word where a number should be) is
left to the reader that goes row by row and can say where it found it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import get_args

import numpy as np

from levelfield.records.observation import Role
from levelfield.scaling.tables.file import TextTable
from levelfield.scaling.tables.rows import Column, Rows, combined
from levelfield.units import LARGEST, LARGEST_LOSS, SMALLEST, SMALLEST_LOSS

POSITIVE = (
    "compute", "budget", "loss", "params", "examples", "unique", "epochs", "base_lr", "device_seconds", "chance",
)  # fmt: skip
"""Meanings of a column of positive numbers."""
DIVERGED = ("", "nan", "inf", "infinity")
"""What stands for the loss of a run that diverged, in small letters and without a sign."""
_OPTIONAL = tuple(meaning for meaning in POSITIVE if meaning not in ("compute", "budget", "loss"))


class _CloserLookError(Exception):
    """Some cell is not plainly what it should be."""


def observations_by_column(
    table: TextTable, columns_of: Mapping[str, tuple[str, ...]], *, drop_diverged: bool
) -> Rows | None:
    """The rows of ``table``, where every cell is plain, or None; with ``drop_diverged`` a loss may be inf."""
    try:
        return Rows.of_columns(_Cells(table, columns_of).columns(drop_diverged=drop_diverged))
    except _CloserLookError:
        return None


def model_unnamed(family: str, params: float | None) -> str:
    """What a run of ``family`` is called where no column names its model."""
    return f"{family}, {params:.4g} parameters" if params else family


class _Cells:
    """The columns of a table, by meaning."""

    def __init__(self, table: TextTable, columns_of: Mapping[str, tuple[str, ...]]) -> None:
        self._table = table
        self._columns_of = columns_of
        self._num_rows = len(table.places)

    def columns(self, *, drop_diverged: bool) -> dict[str, Column]:
        """A column a field of observations."""
        numbers = {meaning: self._numbers(meaning) for meaning in _OPTIONAL}
        family = self._words("family").mapped(lambda family: family or "all")
        flops, params, examples = self._flops(numbers), numbers["params"], numbers["examples"]
        return {
            "run": self._runs(),
            "family": family,
            "model": _joined(lambda model, *of: model or model_unnamed(*of), self._words("model"), family, params),
            "role": self._roles(),
            "loss": self._losses(drop_diverged=drop_diverged),
            "budget_flops": self._needed("budget") if "budget" in self._columns_of else flops,
            "train_flops": flops,
            "params": params,
            "examples": examples,
            "epochs": _joined(_epochs, examples, numbers["unique"], numbers["epochs"]),
            "base_lr": numbers["base_lr"],
            "seed": self._seeds(),
            "device_seconds": numbers["device_seconds"],
            "device": self._words("device").mapped(lambda device: device or None),
            "chance": numbers["chance"],
            "variant": self._words("variant"),
            "optimizer": self._words("optimizer"),
            "cluster": self._words("cluster"),
            "traits": self._traits(),
        }

    def _words(self, meaning: str) -> Column:
        found = [self._table.column(name) for name in self._columns_of.get(meaning, ())]
        if not found:
            return Column.one("", self._num_rows)
        return found[0] if len(found) == 1 else _joined(lambda *words: "/".join(words), *found)

    def _runs(self) -> Column:
        if "run" not in self._columns_of:
            return Column(np.arange(self._num_rows), self._table.places)
        named = zip(self._words("run").cells, self._table.places, strict=True)
        return Column.of([run or place for run, place in named])

    def _numbers(self, meaning: str) -> Column:
        """Positive numbers, None where a cell is empty or no column has that meaning."""
        if meaning not in self._columns_of:
            return Column.one(None, self._num_rows)
        return self._floats(meaning, absent={""})

    def _needed(self, meaning: str) -> Column:
        return self._floats(meaning)

    def _floats(
        self,
        meaning: str,
        *,
        absent: Collection[str] = (),
        instead: float | None = None,
        least: float = SMALLEST,
        most: float = LARGEST,
    ) -> Column:
        """The numbers from ``least`` to ``most`` of a column, and what stands ``instead`` of the ``absent`` ones."""
        (name,) = self._columns_of[meaning]
        cells = self._table.column(name)
        try:
            values = [instead if cell in absent else float(cell) for cell in cells.values]
        except ValueError:
            raise _CloserLookError from None
        stated = [value for cell, value in zip(cells.values, values, strict=True) if cell not in absent]
        numbers = np.asarray(stated, dtype=float)
        if not np.all((numbers >= least) & (numbers <= most)):
            raise _CloserLookError
        return Column.merged(cells.codes, values)

    def _flops(self, numbers: Mapping[str, Column]) -> Column:
        if self._columns_of["compute"]:
            return self._needed("compute")
        return _joined(_six_n_d, numbers["params"], numbers["examples"])

    def _losses(self, *, drop_diverged: bool) -> Column:
        (name,) = self._columns_of["loss"]
        gone = {cell for cell in self._table.column(name).values if cell.lower().lstrip("+-") in DIVERGED}
        if gone and not drop_diverged:
            raise _CloserLookError
        return self._floats("loss", absent=gone, instead=math.inf, least=SMALLEST_LOSS, most=LARGEST_LOSS)

    def _roles(self) -> Column:
        roles = self._words("role").mapped(lambda role: role or "search")
        if not set(roles.values) <= set(get_args(Role)):
            raise _CloserLookError
        return roles

    def _seeds(self) -> Column:
        try:
            return self._words("seed").mapped(lambda seed: int(seed) if seed else 0)
        except ValueError:
            raise _CloserLookError from None

    def _traits(self) -> Column:
        used = {name for names in self._columns_of.values() for name in names}
        others = [name for name in self._table.names if name and name not in used]
        if not others:
            return Column.one((), self._num_rows)
        return _joined(lambda *cells: tuple(zip(others, cells, strict=True)), *map(self._table.column, others))


def _joined(meant: Callable[..., Hashable], *columns: Column) -> Column:
    """What every combination of values that is there is taken for."""
    codes, first = combined(columns)
    return Column.merged(codes, list(map(meant, *(column.at(first).cells for column in columns))))


def _epochs(examples: float | None, unique: float | None, epochs: float | None) -> float | None:
    return examples / unique if examples and unique else epochs


def _six_n_d(params: float | None, examples: float | None) -> float:
    if not (params and examples):
        raise _CloserLookError
    return 6.0 * params * examples
