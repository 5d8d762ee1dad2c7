"""A table whose every cell is plainly what it should be, read column by column: that of a million runs in seconds.

What needs a closer look at any cell (a grouped number, an empty one that is needed, a word where a number should be) is
left to the reader that goes row by row and can say where it found it.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import numpy as np

from levelfield.records.observation import Observation, Role
from levelfield.scaling.tables.file import TextTable
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
) -> list[Observation] | None:
    """The rows of ``table``, where every cell is plain, or None; with ``drop_diverged`` a loss may be inf."""
    try:
        return _Columns(table, columns_of).observations(drop_diverged=drop_diverged)
    except _CloserLookError:
        return None


def axis_columns(columns_of: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The columns of what a search varies beside the rate."""
    return (*columns_of.get("batch", ()), *columns_of.get("axes", ()))


def model_unnamed(family: str, params: float | None) -> str:
    """What a run of ``family`` is called where no column names its model."""
    return f"{family}, {params:.4g} parameters" if params else family


class _Columns:
    """The columns of a table, by meaning."""

    def __init__(self, table: TextTable, columns_of: Mapping[str, tuple[str, ...]]) -> None:
        self._table = table
        self._columns_of = columns_of
        self._cells = dict(zip(table.names, zip(*table.rows, strict=True), strict=True))
        self._num_rows = len(table.rows)

    def observations(self, *, drop_diverged: bool) -> list[Observation]:
        numbers = {meaning: self._numbers(meaning) for meaning in _OPTIONAL}
        families = [family or "all" for family in self._words("family")]
        flops = self._flops(numbers)
        budgets = self._needed("budget") if "budget" in self._columns_of else flops
        columns = (
            [run or place for run, place in zip(self._words("run"), self._table.places, strict=True)],
            families,
            self._models(families, numbers["params"]),
            self._roles(),
            self._losses(drop_diverged=drop_diverged),
            budgets,
            flops,
            numbers["params"],
            numbers["examples"],
            self._epochs(numbers),
            numbers["base_lr"],
            self._seeds(),
            numbers["device_seconds"],
            [device or None for device in self._words("device")],
            numbers["chance"],
            self._words("variant"),
            self._words("optimizer"),
            self._words("cluster"),
            self._traits(),
            self._axes(),
        )
        return [_observation(*row) for row in zip(*columns, strict=True)]

    def _words(self, meaning: str) -> Sequence[str]:
        found = [self._cells[name] for name in self._columns_of.get(meaning, ())]
        if not found:
            return [""] * self._num_rows
        # One text a word, not one a cell: what is grouped later is told apart at a glance.
        return list(map(sys.intern, found[0] if len(found) == 1 else map("/".join, zip(*found, strict=True))))

    def _numbers(self, meaning: str) -> Sequence[float | None]:
        """Positive numbers, None where a cell is empty or no column has that meaning."""
        if meaning not in self._columns_of:
            return [None] * self._num_rows
        (name,) = self._columns_of[meaning]
        cells = self._cells[name]
        if "" not in cells:
            return self._needed(meaning)
        _floats([cell for cell in cells if cell], SMALLEST, LARGEST)
        return [float(cell) if cell else None for cell in cells]

    def _needed(self, meaning: str) -> list[float]:
        (name,) = self._columns_of[meaning]
        return _floats(self._cells[name], SMALLEST, LARGEST)

    def _flops(self, numbers: Mapping[str, Sequence[float | None]]) -> list[float]:
        if self._columns_of["compute"]:
            return self._needed("compute")
        pairs = zip(numbers["params"], numbers["examples"], strict=True)
        found = [6.0 * params * examples if params and examples else math.nan for params, examples in pairs]
        if any(map(math.isnan, found)):
            raise _CloserLookError
        return found

    def _losses(self, *, drop_diverged: bool) -> list[float]:
        (name,) = self._columns_of["loss"]
        cells = self._cells[name]
        gone = {cell for cell in set(cells) if cell.lower().lstrip("+-") in DIVERGED}
        if gone and not drop_diverged:
            raise _CloserLookError
        if not gone:
            return _floats(cells, SMALLEST_LOSS, LARGEST_LOSS)
        _floats([cell for cell in cells if cell not in gone], SMALLEST_LOSS, LARGEST_LOSS)
        return [math.inf if cell in gone else float(cell) for cell in cells]

    def _roles(self) -> list[str]:
        roles = [role or "search" for role in self._words("role")]
        if not set(roles) <= set(get_args(Role)):
            raise _CloserLookError
        return roles

    def _seeds(self) -> list[int]:
        try:
            return [int(seed) if seed else 0 for seed in self._words("seed")]
        except ValueError:
            raise _CloserLookError from None

    def _models(self, families: Sequence[str], params: Sequence[float | None]) -> list[str]:
        unnamed = {pair: sys.intern(model_unnamed(*pair)) for pair in set(zip(families, params, strict=True))}
        rows = zip(self._words("model"), families, params, strict=True)
        return [model or unnamed[family, size] for model, family, size in rows]

    def _epochs(self, numbers: Mapping[str, Sequence[float | None]]) -> Sequence[float | None]:
        rows = zip(numbers["examples"], numbers["unique"], numbers["epochs"], strict=True)
        return [examples / unique if examples and unique else epochs for examples, unique, epochs in rows]

    def _traits(self) -> Iterable[tuple[tuple[str, str], ...]]:
        used = {name for names in self._columns_of.values() for name in names}
        others = [name for name in self._table.names if name and name not in used]
        return self._pairs(others)

    def _axes(self) -> Iterable[tuple[tuple[str, str], ...]]:
        return self._pairs(axis_columns(self._columns_of))

    def _pairs(self, names: Sequence[str]) -> Iterable[tuple[tuple[str, str], ...]]:
        """The cells of the columns ``names`` of every row, each with its column's name."""
        if not names:
            return itertools.repeat((), self._num_rows)
        return zip(*(_named(name, self._cells[name]) for name in names), strict=True)


def _named(name: str, cells: Sequence[str]) -> Iterable[tuple[str, str]]:
    """The cells with their column's name, one pair a value."""
    pairs = {cell: (name, cell) for cell in set(cells)}
    return map(pairs.__getitem__, cells)


def _floats(cells: Sequence[str], least: float, most: float) -> list[float]:
    try:
        found = list(map(float, cells))
    except ValueError:
        raise _CloserLookError from None
    values = np.asarray(found)
    if not np.all((values >= least) & (values <= most)):
        raise _CloserLookError
    return found


def _observation(
    run: str, family: str, model: str, role: Role, loss: float, budget: float, flops: float, params: float | None,
    examples: float | None, epochs: float | None, base_lr: float | None, seed: int, device_seconds: float | None,
    device: str | None, chance: float | None, variant: str, optimizer: str, cluster: str,
    traits: tuple[tuple[str, str], ...], axes: tuple[tuple[str, str], ...],
) -> Observation:  # fmt: skip
    return Observation(
        run=run,
        family=family,
        model=model,
        role=role,
        loss=loss,
        budget_flops=budget,
        train_flops=flops,
        params=params,
        examples=examples,
        epochs=epochs,
        base_lr=base_lr,
        seed=seed,
        device_seconds=device_seconds,
        device=device,
        chance=chance,
        variant=variant,
        optimizer=optimizer,
        cluster=cluster,
        traits=traits,
        axes=axes,
    )
