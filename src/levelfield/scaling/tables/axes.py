"""Columns that vary inside a cell though nobody named them: seeds that are none.

Rows that agree in everything that was named are taken for one cell and averaged. Where another column tells them apart,
takes the same few values in cell after cell and moves the loss, it is a setting: its worse values would raise every
cell that has them. A column whose values hardly ever come again is an outcome or a name, and says nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from operator import attrgetter

import numpy as np

from levelfield.records.errors import InputError
from levelfield.records.observation import Observation
from levelfield.scaling.tables.rows import Rows, having
from levelfield.scaling.tables.rungs import replicates

_NO_EFFECT = 0.01
"""A column moves the loss where an F test says at this level that it does."""
_FEWEST_DEGREES = 3
"""Of freedom, with fewer no test could tell noise from an effect."""
_COMING_AGAIN, _MOST_VALUES = 0.5, 64
"""A setting has at most so many values for every row, and so many altogether."""
_MOST_ROWS = 5000
"""Rows of the first cells that are looked at: a setting of a search shows in them."""
_MEANT = {
    option: re.compile(pattern, re.IGNORECASE)
    for option, pattern in {
        "role": "role",
        "batch": "(global_?)?batch(_?size)?",
        "rate": "(base_|peak_|max_)?(rate|lr|learning_?rate)",
        "cluster": "cluster",
        "model": "model",
        "params": "(num_|n_)?param(eter)?s",
        "examples": "(num_|n_|train_)?(examples|tokens|images)(_seen)?",
    }.items()
}
"""Names that say which option a column is meant for."""
_SEED = re.compile(r"seed|repeat|replica|trial", re.IGNORECASE)


def refuse_unnamed_axes(rows: Sequence[Observation], where: object) -> None:
    """Refuse a table in which a column that nobody named varies inside of cells, and matters.

    Raises:
        InputError: there is one.
    """
    for name in unnamed_axes(rows):
        raise InputError(
            f"{where}: the column {name!r} varies among rows that agree in all columns that are named, and their loss "
            f"with it: they are no seeds of one cell; name it (--{_option(name)} {name}, or --axis, --batch, --rate, "
            f"--role, ... for what it is), or keep one value (--where {name}=...)"
        )


def _option(name: str) -> str:
    """The option that a column of this name is most likely meant for."""
    return next((option for option, pattern in _MEANT.items() if pattern.fullmatch(name)), "axis")


def unnamed_axes(rows: Sequence[Observation]) -> Iterator[str]:
    """The names of those columns."""
    cells = _cells(having(rows, "role", "search"))
    if not cells:
        return
    for place, (name, _) in enumerate(cells[0][0].traits):
        if _SEED.search(name):
            continue
        values = [[run.traits[place][1] for run in runs] for runs in cells]
        if _is_setting(values) and _matters(values, cells):
            yield name


def _cells(rows: Rows) -> list[list[Observation]]:
    """The first rows of which several are taken for one cell: those of one size, length and setting."""
    stated = [rows.coded(field).where(lambda value: value is not None) for field in ("params", "base_lr")]
    known = rows.at(np.flatnonzero(stated[0] | stated[1]))
    if not known:
        return []
    codes, _ = replicates(known, "family", "budget_flops", "model", "params", "examples", "epochs")
    counts = np.bincount(codes)
    several = np.flatnonzero(counts > 1)
    several = several[: 1 + int(np.searchsorted(np.cumsum(counts[several]), _MOST_ROWS))]
    members = np.flatnonzero(np.isin(codes, several))
    cells: dict[int, list[Observation]] = {}
    for code, row in zip(codes[members].tolist(), known.at(members), strict=True):
        cells.setdefault(code, []).append(row)
    return list(cells.values())


def _is_setting(values: Sequence[Sequence[str]]) -> bool:
    """Whether the column varies inside cells, and its values come again from cell to cell."""
    every = [value for cell in values for value in cell]
    return any(len(set(cell)) > 1 for cell in values) and len(set(every)) <= min(
        _MOST_VALUES, _COMING_AGAIN * len(every)
    )


def _matters(values: Sequence[Sequence[str]], cells: Sequence[Sequence[Observation]]) -> bool:
    """Whether the values explain ln loss inside the cells by an F test; True where too few rows could tell."""
    from scipy.special import fdtrc

    levels = sorted({value for cell in values for value in cell})
    left, design = [], []
    for cell, runs in zip(values, cells, strict=True):
        log_loss = np.log(list(map(attrgetter("loss"), runs)))
        dummies = np.array([[value == level for level in levels[1:]] for value in cell], dtype=float)
        left.append(log_loss - log_loss.mean())
        design.append(dummies - dummies.mean(axis=0))
    y, x = np.concatenate(left), np.concatenate(design)
    rank = int(np.linalg.matrix_rank(x))
    free = len(y) - len(cells) - rank
    if rank == 0:
        return False
    residual = y - x @ np.linalg.lstsq(x, y)[0]
    unexplained, explained = float(residual @ residual), float(y @ y) - float(residual @ residual)
    if free < _FEWEST_DEGREES:
        return explained > 0
    return bool(fdtrc(rank, free, explained / rank / max(unexplained / free, 1e-300)) < _NO_EFFECT)
