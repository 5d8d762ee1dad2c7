"""Planted faults: tables whose numbers cannot be what they are said to be, of which none may be read.

    python -m benchmarks.planted_faults                     # every fault in 300 tables, and the same tables untouched
    python -m benchmarks.planted_faults --tables 30

The tables are those of planted_tables.py. A fault is planted where a table can have it: units need parameters and
examples beside the compute, copies need seeds. They are read by the core that every verb reads a file with.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.planted_layouts import Table, draw_table
from benchmarks.planted_tables import SETS
from levelfield.records.errors import InputError
from levelfield.scaling import face

Columns = dict[str, list[float | str]]
NOTHING = "nothing"
_FEWEST = 8


def _scaled(meaning: str, unit: float, *, rows: slice = slice(None)) -> Callable[[Table], Columns | None]:
    """A column in another unit, or some of its rows."""

    def fault(table: Table) -> Columns | None:
        names = {name: str(table.reading.get(name, "")) for name in ("compute", "params", "examples")}
        if not all(names[name] in table.columns for name in names):
            return None
        own = table.columns[names[meaning]]
        places = set(range(len(own))[rows])
        changed = [float(cell) * unit if place in places and cell != "" else cell for place, cell in enumerate(own)]
        return table.columns | {names[meaning]: changed}

    return fault


def _accuracy(table: Table) -> Columns | None:
    """A measure that is better the higher it is, in a column that does not say so."""
    losses = table.columns[_loss(table)]
    top = max(float(cell) for cell in losses if cell != "" and math.isfinite(float(cell)))
    return table.columns | {_loss(table): [cell if cell == "" else 1.01 - float(cell) / top for cell in losses]}


def _copied_seeds(table: Table) -> Columns | None:
    """Every seed has the loss of the first one of its cell."""
    seed = str(table.reading.get("seed", ""))
    if seed not in table.columns:
        return None
    others = [column for name, column in table.columns.items() if name not in (seed, _loss(table))]
    first: dict[tuple[Any, ...], float | str] = {}
    losses, copied = table.columns[_loss(table)], 0
    found: list[float | str] = []
    for place, loss in enumerate(losses):
        key = tuple(column[place] for column in others)
        copied += key in first and loss != ""
        found.append(first.setdefault(key, loss))
    return table.columns | {_loss(table): found} if copied > 1 else None


def _two_data_sets(table: Table) -> Columns | None:
    """Every run once more on other data, whose column nobody names: its loss lies 6 % higher."""
    if len(table.columns[_loss(table)]) < _FEWEST:
        return None
    twice: Columns = {name: [*cells, *cells] for name, cells in table.columns.items()}
    num = len(table.columns[_loss(table)])
    lifted: list[float | str] = [cell if cell == "" else 1.06 * float(cell) for cell in table.columns[_loss(table)]]
    twice[_loss(table)] = [*table.columns[_loss(table)], *lifted]
    data: list[float | str] = [*["web"] * num, *["books"] * num]
    return twice | {"data": data}


def _crashed(table: Table) -> Columns:
    """One run that crashed, as a column says."""
    states: list[float | str] = ["finished" for _ in table.columns[_loss(table)]]
    states[2] = "crashed"
    return table.columns | {"State": states}


def _loss(table: Table) -> str:
    return str(table.reading.get("loss", "loss"))


FAULTS: Mapping[str, Callable[[Table], Columns | None]] = {
    NOTHING: lambda table: table.columns,
    "compute in GFLOPs": _scaled("compute", 1e-9),
    "compute in ZFLOPs": _scaled("compute", 1e-21),
    "parameters in millions": _scaled("params", 1e-6),
    "examples in billions": _scaled("examples", 1e-9),
    "a third of the compute in TFLOPs": _scaled("compute", 1e-12, rows=slice(None, None, 3)),
    "one row's examples in millions": _scaled("examples", 1e-6, rows=slice(3, 4)),
    "an accuracy": _accuracy,
    "copied seeds": _copied_seeds,
    "two data sets that nobody told apart": _two_data_sets,
    "a run that crashed": _crashed,
}


def refused(table: Table, columns: Columns) -> bool:
    """Whether the table with these ``columns`` is not read."""
    known = face.TableReading.__annotations__
    reading: dict[str, Any] = {name: column for name, column in table.reading.items() if name in known}
    try:
        face.told_apart(face.rows_of(columns, **reading))
    except InputError:
        return True
    return False


def planted(tables: int, key: int) -> dict[str, list[bool]]:
    """Of every fault, whether each table that can have it is refused."""
    found: dict[str, list[bool]] = {name: [] for name in FAULTS}
    for place in range(tables):
        table = draw_table([key, place])
        for name, fault in FAULTS.items():
            if (columns := fault(table)) is not None:
                found[name].append(refused(table, columns))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--set", choices=SETS, default="development")
    given = parser.parse_args()
    print("| fault | tables | refused |")
    print("|---|---|---|")
    for name, own in planted(given.tables, SETS[given.set]).items():
        print(f"| {name} | {len(own)} | {100 * np.mean(own) if own else math.nan:.1f} % |")


if __name__ == "__main__":
    main()
