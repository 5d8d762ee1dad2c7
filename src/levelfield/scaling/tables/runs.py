"""Anybody's table of training runs, as observations."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import InputError, did_you_mean
from levelfield.records.measure import LOSS, Measure
from levelfield.records.observation import Observation
from levelfield.scaling.tables.checkpoints import places_of_ends, told_checkpoints, told_ends
from levelfield.scaling.tables.columnwise import POSITIVE, SIX_N_D, observations_by_column
from levelfield.scaling.tables.copies import without_copies
from levelfield.scaling.tables.file import IN_MEMORY, read_table_file, table_of_columns
from levelfield.scaling.tables.header_units import SCALED, unit_of
from levelfield.scaling.tables.kept import rows_where, without_absent
from levelfield.scaling.tables.measured import measure_of
from levelfield.scaling.tables.plausible import implausible
from levelfield.scaling.tables.rows import CodedColumn, Rows, having
from levelfield.scaling.tables.text import TextTable
from levelfield.units import LARGEST, SMALLEST

DEFAULT_COLUMNS: Mapping[str, str] = {"compute": "flops", "loss": "loss"}
_TEXT = ("family", "model", "run", "role", "variant", "device", "cluster", "optimizer", "batch", "axes")
KNOWN_COLUMNS = (*POSITIVE, *_TEXT, "seed")
"""What a column may mean. Only compute (training FLOPs) and loss are needed."""
_JUDGED = ("winner", "control")
_RELATED = ("compute", "params", "examples")
_SAYS_LOG = re.compile(r"(?<![A-Za-z])([Ll]og|LOG|ln)(10|2|e)?(?![a-z])")
_SAYS_TRAINING = re.compile(r"(^|[^a-z])train(ing)?($|[^a-z])", re.IGNORECASE)
_SAYS_COMPUTE = re.compile(r"flop|compute|6nd|^c$", re.IGNORECASE)


class Runs(NamedTuple):
    """The rows of a table, ``notices`` of what was left out of them or taken for something else, and where it lies.

    ``measure`` is what its losses are, as far as the name of their column says.
    """

    rows: Rows
    notices: tuple[str, ...]
    where: str | Path
    measure: Measure = LOSS


def read_runs_csv(path: str | Path, *, columns: Mapping[str, str] | None = None) -> Rows:
    """The rows of the table at ``path``: those of :func:`read_runs`, which says more."""
    return read_runs(path, columns=columns).rows


def read_runs(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    where: Sequence[tuple[str, ...]] = (),
    drop_diverged: bool = False,
    drop_incomplete: bool = False,
    ends: str | None = None,
) -> Runs:
    """The rows of a table, one finished run each.

    ``source`` is the path of a file (CSV, JSON or a JSON object a line, gzipped or not, or Parquet), a mapping of
    columns, a table of Arrow, or a frame that gives one, as those of pandas and Polars do.

    ``columns`` maps a meaning ("compute", "loss", "family", "params", "seed", ...; see ``KNOWN_COLUMNS``) to the name
    of a column, where it differs from ``DEFAULT_COLUMNS``. A table without a family column is one family, "all"; where
    no column has that very name, "a,b" joins two. Without a role column rows are taken as search results: laws are
    fitted to the best of them, verdicts are refused. "budget" is the nominal compute of a run, its rung, where what was
    measured ("compute") differs a little from run to run. "unique" is the number of distinct examples, which gives the
    epochs. Rows of one "cluster" (variants of a run, branches of a trunk) err together. "batch" and "axes" ("a,b" names
    two) are what a search varies beside the rate: rows that differ in them are other settings of a cell, not seeds.
    Columns without a meaning become traits, which may be confounded with the family. Empty cells of columns other than
    compute, budget and loss are absent; so are NA, None, NaN and null. One of compute, params and examples may be
    "6ND": it follows from the other two. A winner whose size or rate lies at the end of what the table's search rows
    tried gets that edge.

    The name of a column may say the unit of compute, params and examples ("params (M)", "tokens_B"). Rows that are
    copies of others count once, with a notice.

    ``where`` keeps rows by conditions (column, value), or (column, value, sign) with =, !=, <, <=, > or >=; of
    equalities on one column any will do. With ``drop_diverged`` rows whose loss is empty, nan or inf are left out, with
    a notice; as part of what was tried they still bracket a winner. With ``drop_incomplete`` so are rows that do not
    state their compute. ``ends`` names a column whose values tell runs apart, of each of which the row of the most
    compute counts.

    Raises:
        InputError: no such file, no rows, a column or value that is not there, a cell that is no number or not
            positive, a run that diverged, or numbers that no runs can have (``implausible``).
    """
    meant = {**DEFAULT_COLUMNS, **(columns or {})}
    unknown = [meaning for meaning in meant if meaning not in KNOWN_COLUMNS]
    if unknown:
        raise InputError(f"columns: no column can mean {unknown[0]!r}{did_you_mean(unknown[0], KNOWN_COLUMNS)}")
    if {"unique", "epochs"} <= meant.keys():
        raise InputError("columns: epochs are examples over unique ones; name the column of one of them, not of both")
    path = Path(source) if isinstance(source, (str, Path)) else IN_MEMORY
    table = read_table_file(source) if isinstance(source, (str, Path)) else table_of_columns(source)
    columns_of = {meaning: _columns_of(path, meaning, name, table.names, meant) for meaning, name in meant.items()}
    _expect_the_others(path, columns_of)
    _expect_one_meaning(path, columns_of)
    table = rows_where(path, table, where)
    if not table.places:
        raise InputError(f"{path}: has a header but no rows")
    table, copied = without_copies(table)
    table, incomplete = _complete(path, table, columns_of, drop_incomplete=drop_incomplete)
    rows = observations_by_column(path, table, columns_of, drop_diverged=drop_diverged)
    _refuse_another_scale(rows, path, table, meant["loss"])
    checkpoints: tuple[str, ...]
    if ends is None:
        checkpoints = told_checkpoints(rows, table, columns_of)
    else:
        kept = places_of_ends(rows, _named(path, table, ends))
        checkpoints = told_ends(len(rows), len(kept), ends)
        rows, table = rows.at(kept), table.at(kept)
    ended = rows.coded("loss").where(math.isfinite)
    if not ended.any():
        raise InputError(f"{path}: every run has diverged: the loss of all {len(rows)} rows is empty, nan or inf")
    finished = rows if ended.all() else rows.at(np.flatnonzero(ended))
    places = np.flatnonzero(ended)
    try:
        measure = measure_of(meant["loss"], largest=float(finished.numbers("loss").max()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    doubts = implausible(finished, where=path, loss=meant["loss"], place_of=lambda row: table.places[places[row]])
    return Runs(
        _with_edges(finished, rows),
        (*copied, *incomplete, *_notices(rows, ended, table, columns_of, meant["compute"]), *checkpoints, *doubts),
        path,
        measure,
    )


def _columns_of(
    path: str | Path, meaning: str, name: str, names: Sequence[str], meant: Mapping[str, str]
) -> tuple[str, ...]:
    """The columns that ``name`` stands for: one, several that make the family, or none where it is 6ND."""
    if name in names:
        return (name,)
    if meaning in _RELATED and name == SIX_N_D:
        return ()
    found = tuple(part.strip() for part in name.split(",")) if meaning in ("family", "axes") else (name,)
    for part in found:
        if part not in names:
            raise InputError(f"{path}: no column {part!r} for {meaning}{_hint(meaning, part, names, meant)}")
    return found


def _hint(meaning: str, name: str, names: Sequence[str], meant: Mapping[str, str]) -> str:
    if not names:
        return " (the file is empty)"
    others = [other for other in names if other not in meant.values()]
    instead = f"; {SIX_N_D} would be six FLOPs a parameter and token" if meaning == "compute" else ""
    return f"{did_you_mean(name, others)}{instead}"


def _expect_one_meaning(path: str | Path, columns_of: Mapping[str, tuple[str, ...]]) -> None:
    """A column of numbers is one thing; only measured compute may be the nominal budget, too."""
    known: dict[str, str] = {}
    for meaning in (*POSITIVE, "seed", "batch", "axes"):
        for name in columns_of.get(meaning, ()):
            other = known.setdefault(name, meaning)
            if other != meaning and {other, meaning} != {"compute", "budget"}:
                raise InputError(f"{path}: column {name!r} cannot be both {other} and {meaning}; name another for one")
    for name in columns_of["compute"]:
        if _SAYS_LOG.search(name):
            raise InputError(f"{path}: compute is the column {name!r}, which says a logarithm: give FLOPs themselves")


def _expect_the_others(path: str | Path, columns_of: Mapping[str, tuple[str, ...]]) -> None:
    """What follows by C = 6 N D follows from the two others."""
    stand_ins = [meaning for meaning in _RELATED if columns_of.get(meaning) == ()]
    for meaning in stand_ins:
        others = [other for other in _RELATED if other != meaning]
        if any(not columns_of.get(other) for other in others):
            raise InputError(
                f"{path}: {meaning} {SIX_N_D} needs the columns of {others[0]} and of {others[1]} to be named"
            )


def _complete(
    path: str | Path, table: TextTable, columns_of: Mapping[str, tuple[str, ...]], *, drop_incomplete: bool
) -> tuple[TextTable, tuple[str, ...]]:
    """The rows that state their compute, where others are to be left out, and a notice of these."""
    if not drop_incomplete:
        return table, ()
    stating = ("compute",) if columns_of["compute"] else ("params", "examples")
    names = [columns_of[meaning][0] for meaning in (*stating, "budget") if columns_of.get(meaning)]
    whole, missing = without_absent(table, names)
    if not whole.places:
        raise InputError(f"{path}: no row states its compute: every cell of {' and '.join(names)} is empty")
    if not missing.size:
        return table, ()
    first = table.places[int(missing[0])]
    left_out = f"{len(missing)} of {len(table.places)} rows are left out, which do not state their compute"
    return whole, (f"{left_out}; the first is {first}",)


def _named(path: str | Path, table: TextTable, name: str) -> CodedColumn:
    """The column ``name``, which tells runs apart."""
    if name not in table.names:
        raise InputError(f"{path}: no column {name!r} to tell runs apart by{did_you_mean(name, table.names)}")
    column = table.column(name)
    if not all(column.present):
        raise InputError(f"{path}: column {name!r} names no run in some row; every row needs one")
    return column


def _refuse_another_scale(rows: Rows, path: str | Path, table: TextTable, name: str) -> None:
    """A loss may be of any scale, but one so far from the others of its table is a damaged cell."""
    losses = rows.numbers("loss")
    finite = losses[np.isfinite(losses)]
    if not finite.size:
        return
    middle = float(np.sort(finite)[(len(finite) - 1) // 2])
    with np.errstate(over="ignore"):
        apart = np.isfinite(losses) & ~((losses / middle >= SMALLEST) & (losses / middle <= LARGEST))
    if not apart.any():
        return
    row = int(np.flatnonzero(apart)[0])
    seen = table.column(name).at(np.array([row])).cells[0]
    raise InputError(
        f"{path}, {table.places[row]}, column {name!r}: {seen} lies too far from the others of the table, such as "
        f"{middle:.6g}"
    )


def _notices(
    rows: Rows, ended: NDArray[np.bool_], table: TextTable, columns_of: Mapping[str, tuple[str, ...]], compute: str
) -> tuple[str, ...]:
    """What a reader of the results must know of how the table was read."""
    found = []
    if _SAYS_TRAINING.search(loss := columns_of["loss"][0]):
        found.append(f"loss is the column {loss!r}, which says training: what is called held-out here may not be so")
    if (diverged := np.flatnonzero(~ended)).size:
        counted = Counter(rows.at(diverged).column("family"))
        families = ", ".join(f"{family} {number}" for family, number in counted.items())
        found.append(
            f"{len(diverged)} of {len(rows)} rows are left out, whose loss is empty, nan or inf: {families}; the first "
            f"is {table.places[diverged[0]]}"
        )
    if not _SAYS_COMPUTE.search(compute):
        found.append(f"compute is the column {compute!r}: where FLOPs are named, read that")
    found.extend(
        f"{meaning} is the column {name!r}, which says {unit[0]!r}: its numbers are read in {unit[1]:g}"
        for meaning in SCALED
        for name in columns_of.get(meaning, ())
        if (unit := unit_of(name))
    )
    return tuple(found)


def _with_edges(finished: Rows, rows: Rows) -> Rows:
    """``finished`` with the axes on which a winner lies at the end of what the search ``rows`` at its budget tried."""
    if not any(role in _JUDGED for role in finished.coded("role").present):
        return finished
    searched = having(rows, "role", "search").grouped_by("family", "budget_flops")
    found = list(finished)
    for place, row in enumerate(found):
        beside = searched.get((row.family, row.budget_flops), ()) if row.role in _JUDGED else ()
        if edges := _edges(row, beside):
            found[place] = dataclasses.replace(row, edges=edges)
    return Rows.of(found)


def _edges(row: Observation, beside: Sequence[Observation]) -> tuple[str, ...]:
    """The axes on which a winner lies at the end of what the runs ``beside`` it tried: only a bound there."""
    rates = [r.base_lr for r in beside if r.base_lr and r.model == row.model]
    if len(set(rates)) < 2:  # its shape was moved after its rate had been found
        rates = [r.base_lr for r in beside if r.base_lr]
    sizes = [r.params for r in beside if r.params]
    axes = (("base_lr", row.base_lr, rates), ("size", row.params, sizes))
    return tuple(axis for axis, own, tried in axes if own and tried and not min(tried) < own < max(tried))
