"""A table of texts as observations, column by column: a million runs in seconds, a wrong cell named by its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np

from levelfield.records.errors import InputError
from levelfield.records.observation import Role
from levelfield.scaling.tables.cells import CellError, all_positive, has_diverged, is_absent, positive, whole_number
from levelfield.scaling.tables.header_units import scale_of
from levelfield.scaling.tables.rows import CodedColumn, Rows, combined
from levelfield.scaling.tables.text import TextTable
from levelfield.units import LARGEST, LARGEST_LOSS, SMALLEST, SMALLEST_LOSS

POSITIVE = (
    "compute", "budget", "loss", "params", "examples", "unique", "epochs", "base_lr", "device_seconds", "chance",
)  # fmt: skip
"""Meanings of a column of positive numbers."""
SIX_N_D = "6ND"
"""Stands for a column of compute: six FLOPs a parameter and example (Kaplan et al., 2001.08361, section 2.1), right for
dense transformers whose examples are tokens; or for parameters or examples, which follow from the other two. A
convolution or a patch uses its parameters many times: count those."""
_RELATED = ("compute", "params", "examples")
LAST_DIGITS = 1e-9
"""Share of compute by which runs of one budget may differ: the last digits of a product."""


def observations_by_column(
    path: str | Path, table: TextTable, columns_of: Mapping[str, tuple[str, ...]], *, drop_diverged: bool
) -> Rows:
    """The rows of the ``table`` at ``path``; with ``drop_diverged`` a loss may be inf.

    ``columns_of`` holds the columns of every meaning that has any; none of them is 6ND.

    Raises:
        InputError: a cell is not what it should be; its place and column are named.
    """
    return Rows.of_columns(_Cells(path, table, columns_of).columns(drop_diverged=drop_diverged))


def axis_columns(columns_of: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The columns of what a search varies beside the rate."""
    return (*columns_of.get("batch", ()), *columns_of.get("axes", ()))


class _Cells:
    """The columns of a table, by meaning."""

    def __init__(self, path: str | Path, table: TextTable, columns_of: Mapping[str, tuple[str, ...]]) -> None:
        self._path = path
        self._table = table
        self._columns_of = columns_of
        self._num_rows = len(table.places)

    def columns(self, *, drop_diverged: bool) -> dict[str, CodedColumn]:
        """A column a field of observations."""
        family = self._words("family").mapped(lambda family: family or "all")
        flops, params, examples = self._related()
        return {
            "run": self._runs(),
            "family": family,
            "model": _joined(_model, self._words("model"), family, params),
            "role": self._checked("role", _role),
            "loss": self._losses(drop_diverged=drop_diverged),
            "budget_flops": self._needed("budget") if "budget" in self._columns_of else _one_budget(flops),
            "train_flops": flops,
            "params": params,
            "examples": examples,
            "epochs": _joined(_epochs, examples, self._numbers("unique"), self._numbers("epochs")),
            "base_lr": self._numbers("base_lr"),
            "seed": self._checked("seed", lambda seed: 0 if is_absent(seed) else whole_number(seed)),
            "device_seconds": self._numbers("device_seconds"),
            "device": self._words("device").mapped(lambda device: device or None),
            "chance": self._numbers("chance"),
            "variant": self._words("variant"),
            "optimizer": self._words("optimizer"),
            "cluster": self._words("cluster"),
            "traits": self._traits(),
            "axes": self._pairs(axis_columns(self._columns_of)),
        }

    def _words(self, meaning: str) -> CodedColumn:
        found = [self._table.column(name) for name in self._columns_of.get(meaning, ())]
        if not found:
            return CodedColumn.one("", self._num_rows)
        return found[0] if len(found) == 1 else _joined(lambda *words: "/".join(words), *found)

    def _runs(self) -> CodedColumn:
        if "run" not in self._columns_of:
            return CodedColumn(np.arange(self._num_rows), self._table.places)
        named = zip(self._words("run").cells, self._table.places, strict=True)
        return CodedColumn.of([run or place for run, place in named])

    def _related(self) -> tuple[CodedColumn, CodedColumn, CodedColumn]:
        """Compute, parameters and examples, of which one may follow from the other two by C = 6 N D."""
        stand_in = next((each for each in _RELATED if self._columns_of.get(each) == ()), None)
        compute = None if stand_in == "compute" else self._needed("compute")
        params = None if stand_in == "params" else self._numbers("params")
        examples = None if stand_in == "examples" else self._numbers("examples")
        if compute is None:
            assert params is not None
            assert examples is not None
            self._expect_all("params", params)
            self._expect_all("examples", examples)
            return _joined(lambda n, d: 6.0 * n * d, params, examples), params, examples
        if params is None:
            assert examples is not None
            return compute, _joined(_over_six, compute, examples), examples
        if examples is None:
            return compute, params, _joined(_over_six, compute, params)
        return compute, params, examples

    def _expect_all(self, meaning: str, column: CodedColumn) -> None:
        """Compute follows from it: no cell may be empty."""
        missing = np.flatnonzero(column.where(lambda value: value is None))
        if missing.size:
            place = self._table.places[missing[0]]
            raise InputError(f"{self._path}, {place}: compute {SIX_N_D} needs {meaning}, saw an empty cell")

    def _numbers(self, meaning: str) -> CodedColumn:
        """Positive numbers, None where a cell is empty or no column has that meaning."""
        if not self._columns_of.get(meaning):
            return CodedColumn.one(None, self._num_rows)
        cells = self._table.column(self._columns_of[meaning][0])
        return self._floats(meaning, absent={cell for cell in cells.values if is_absent(cell)})

    def _needed(self, meaning: str) -> CodedColumn:
        cells = self._table.column(self._columns_of[meaning][0])
        missing = np.flatnonzero(cells.where(is_absent))
        if missing.size:
            seen = cells.at(missing[:1]).cells[0]
            told = f"{meaning} must be positive and finite, saw {seen!r}; --drop-incomplete leaves such rows out"
            self._complain(meaning, int(missing[0]), f"{told} and says how many")
        return self._floats(meaning)

    def _losses(self, *, drop_diverged: bool) -> CodedColumn:
        cells = self._table.column(self._columns_of["loss"][0])
        gone = {cell for cell in cells.values if has_diverged(cell)}
        if gone and not drop_diverged:
            rows = np.flatnonzero(cells.where(gone.__contains__))
            told = "if the run diverged, --drop-diverged leaves such rows out and says how many"
            seen = cells.at(rows[:1]).cells[0]
            self._complain("loss", int(rows[0]), f"loss must be positive and finite, saw {seen!r}; {told}")
        return self._floats("loss", absent=gone, instead=math.inf)

    def _floats(self, meaning: str, *, absent: Collection[str] = (), instead: float | None = None) -> CodedColumn:
        """The numbers of a column, and what stands ``instead`` of the ``absent`` ones."""
        limits = {"least": SMALLEST_LOSS, "most": LARGEST_LOSS} if meaning == "loss" else _LIMITS
        cells = self._table.column(self._columns_of[meaning][0])
        stated = cells.values if not absent else [cell for cell in cells.values if cell not in absent]
        values = all_positive(stated, **limits)
        if values is None:
            found = self._checked(
                meaning, lambda cell: instead if cell in absent else positive(cell, named=meaning, **limits)
            )
            known = [value for value in found.values if isinstance(value, float)]
            scale = self._scale(meaning, known)
            return found.mapped(lambda value: value * scale if isinstance(value, float) else value)
        scale = self._scale(meaning, values)
        if scale != 1:
            values = [value * scale for value in values]
        if absent:
            told = iter(values)
            values = [instead if cell in absent else next(told) for cell in cells.values]
        return CodedColumn.merged(cells.codes, values)

    def _scale(self, meaning: str, values: Sequence[float]) -> float:
        try:
            return scale_of(meaning, self._columns_of[meaning][0], np.asarray(values, dtype=float))
        except InputError as error:
            raise InputError(f"{self._path}: {error}") from None

    def _checked(self, meaning: str, meant: Callable[[str], Hashable]) -> CodedColumn:
        """What each cell of the columns of ``meaning`` is taken for; the first row with one that cannot be is named."""
        cells, found = self._words(meaning), []
        wrong: dict[int, str] = {}
        for code, cell in enumerate(cells.values):
            try:
                found.append(meant(cell))
            except CellError as error:
                wrong[code] = str(error)
        if wrong:
            row = int(np.flatnonzero(np.isin(cells.codes, list(wrong)))[0])
            self._complain(meaning, row, wrong[int(cells.codes[row])])
        return CodedColumn.merged(cells.codes, found)

    def _complain(self, meaning: str, row: int, why: str) -> NoReturn:
        where = f"{self._path}, {self._table.places[row]}, column {self._columns_of[meaning][0]!r}"
        raise InputError(f"{where}: {why}")

    def _traits(self) -> CodedColumn:
        used = {name for names in self._columns_of.values() for name in names}
        return self._pairs([name for name in self._table.names if name and name not in used])

    def _pairs(self, names: Sequence[str]) -> CodedColumn:
        """The cells of the columns ``names`` of every row, each with its column's name."""
        if not names:
            return CodedColumn.one((), self._num_rows)
        return _joined(lambda *cells: tuple(zip(names, cells, strict=True)), *map(self._table.column, names))


_LIMITS = {"least": SMALLEST, "most": LARGEST}


def _joined(meant: Callable[..., Hashable], *columns: CodedColumn) -> CodedColumn:
    """What every combination of values that is there is taken for."""
    codes, first = combined(columns)
    return CodedColumn.merged(codes, list(map(meant, *(column.at(first).cells for column in columns))))


def _one_budget(flops: CodedColumn) -> CodedColumn:
    """Compute as budgets: what differs by rounding alone, as six times two numbers do, is one budget."""
    values = np.asarray(flops.values, dtype=float)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    apart = np.diff(ordered) > LAST_DIGITS * ordered[1:]
    if apart.all():
        return flops
    starts = np.flatnonzero(np.concatenate([[True], apart]))
    merged = np.empty_like(values)
    merged[order] = np.repeat(ordered[starts], np.diff(np.append(starts, len(ordered))))
    return CodedColumn.merged(flops.codes, merged.tolist())


def _model(model: str, family: str, params: float | None) -> str:
    """What a run is called, also where no column names its model."""
    return model or (f"{family}, {params:.4g} parameters" if params else family)


def _role(text: str) -> str:
    role = text or "search"
    if role not in get_args(Role):
        raise CellError(f"role must be one of {', '.join(get_args(Role))}, saw {role!r}")
    return role


def _epochs(examples: float | None, unique: float | None, epochs: float | None) -> float | None:
    return examples / unique if examples and unique else epochs


def _over_six(compute: float, other: float | None) -> Any:
    return compute / (6.0 * other) if other else None
