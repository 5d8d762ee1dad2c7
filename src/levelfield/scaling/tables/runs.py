"""Anybody's table of training runs, as observations."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from levelfield.records.errors import InputError, did_you_mean
from levelfield.records.observation import Observation, Role
from levelfield.scaling.tables.columnwise import (
    DIVERGED,
    POSITIVE,
    axis_columns,
    model_unnamed,
    observations_by_column,
)
from levelfield.scaling.tables.file import IN_MEMORY, TextTable, read_table_file, table_of_columns
from levelfield.units import LARGEST, LARGEST_LOSS, SMALLEST, SMALLEST_LOSS

DEFAULT_COLUMNS: Mapping[str, str] = {"compute": "flops", "loss": "loss"}
_TEXT = ("family", "model", "run", "role", "variant", "device", "cluster", "optimizer", "batch", "axes")
KNOWN_COLUMNS = (*POSITIVE, *_TEXT, "seed")
"""What a column may mean. Only compute (training FLOPs) and loss are needed."""
SIX_N_D = "6ND"
"""Stands for a column of compute: six FLOPs a parameter and example (Kaplan et al., 2001.08361, section 2.1), right for
dense transformers whose examples are tokens. A convolution or a patch uses its parameters many times: count those."""
_GROUPED = re.compile(r"[1-9]\d{0,2}((,\d{3})+\.\d+|(,\d{3}){2,})")
"""1,014.45 and 1,234,567; not 1,014, whose comma may as well be a decimal one."""
_JUDGED = ("winner", "control")
_SAYS_COMPUTE = re.compile(r"flop|compute|6nd|^c$", re.IGNORECASE)


class Runs(NamedTuple):
    """The rows of a table, ``notices`` of what was left out of them or taken for something else, and where it lies."""

    rows: tuple[Observation, ...]
    notices: tuple[str, ...]
    where: str | Path


def read_runs_csv(path: str | Path, *, columns: Mapping[str, str] | None = None) -> tuple[Observation, ...]:
    """The rows of the table at ``path``: those of :func:`read_runs`, which says more."""
    return read_runs(path, columns=columns).rows


def read_runs(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    where: Sequence[tuple[str, str]] = (),
    drop_diverged: bool = False,
) -> Runs:
    """The rows of a table, one finished run each.

    ``source`` is the path of a file (CSV, gzipped CSV or Parquet), a mapping of columns, a table of Arrow, or a frame
    that gives one, as those of pandas and Polars do.

    ``columns`` maps a meaning ("compute", "loss", "family", "params", "seed", ...; see ``KNOWN_COLUMNS``) to the name
    of a column, where it differs from ``DEFAULT_COLUMNS``. A table without a family column is one family, "all"; where
    no column has that very name, "a,b" joins two. Without a role column rows are taken as search results: laws are
    fitted to the best of them, verdicts are refused. "budget" is the nominal compute of a run, its rung, where what was
    measured ("compute") differs a little from run to run. "unique" is the number of distinct examples, which gives the
    epochs. Rows of one "cluster" (variants of a run, branches of a trunk) err together. "batch" and "axes" ("a,b" names
    two) are what a search varies beside the rate: rows that differ in them are other settings of a cell, not seeds.
    Columns without a meaning become traits, which may be confounded with the family. Empty cells of columns other than
    compute, budget and loss are absent. Compute may be "6ND" where the table states parameters and tokens but no FLOPs.
    A winner whose size or rate lies at the end of what the table's search rows tried gets that edge.

    ``where`` keeps rows with one of the named values in every named column. With ``drop_diverged`` rows whose loss is
    empty, nan or inf are left out, with a notice; as part of what was tried they still bracket a winner.

    Raises:
        InputError: no such file, no rows, a column or value that is not there, a cell that is no number or not
            positive, a run that diverged.
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
    if not columns_of["compute"] and not {"params", "examples"} <= meant.keys():
        raise InputError(f"{path}: compute {SIX_N_D} needs the columns of params and of examples to be named")
    table = _kept(path, table, where)
    if not table.rows:
        raise InputError(f"{path}: has a header but no rows")
    rows = observations_by_column(table, columns_of, drop_diverged=drop_diverged)
    if rows is None:
        read = (_Row(path, *line, columns_of) for line in table.lines)
        rows = [_observation(row, drop_diverged=drop_diverged) for row in read]
    _refuse_another_scale(rows, lambda place: _Row(path, *table.line(place), columns_of))
    finished = tuple(_with_edges([row for row in rows if math.isfinite(row.loss)], rows))
    if not finished:
        raise InputError(f"{path}: every run has diverged: the loss of all {len(rows)} rows is empty, nan or inf")
    return Runs(finished, _notices(rows, table, meant["compute"]), path)


def _columns_of(
    path: str | Path, meaning: str, name: str, names: Sequence[str], meant: Mapping[str, str]
) -> tuple[str, ...]:
    """The columns that ``name`` stands for: one, several that make the family, or none where compute is 6ND."""
    if name in names:
        return (name,)
    if meaning == "compute" and name == SIX_N_D:
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


def _kept(path: str | Path, table: TextTable, where: Sequence[tuple[str, str]]) -> TextTable:
    """The rows that have, in every named column, one of the values named for it."""
    for name in dict.fromkeys(name for name, _ in where):
        if name not in table.names:
            raise InputError(f"{path}: no column {name!r} to keep rows by{did_you_mean(name, table.names)}")
        wanted = [value for column, value in where if column == name]
        cells = table.column(name)
        for value in wanted:
            if value not in cells:
                raise InputError(f"{path}: no row that is kept has {name}={value!r}{did_you_mean(value, set(cells))}")
        kept = [place for place, cell in enumerate(cells) if cell in wanted]
        places, rows = tuple(table.places[place] for place in kept), tuple(table.rows[place] for place in kept)
        table = TextTable(table.names, places, rows)
    return table


class _Row(NamedTuple):
    """A line of the file, and the columns of every meaning."""

    path: str | Path
    place: str
    cells: Mapping[str, str]
    columns_of: Mapping[str, tuple[str, ...]]

    def text(self, meaning: str) -> str:
        return "/".join(self.cells[name] for name in self.columns_of.get(meaning, ()))

    def number(self, meaning: str) -> float | None:
        """The positive number that the row gives for ``meaning``; None where its cell is empty."""
        text = self.text(meaning)
        return self.needed(meaning) if text else None

    def needed(self, meaning: str) -> float:
        text = self.text(meaning)
        try:
            value = float(text.replace(",", "") if _GROUPED.fullmatch(text) else text)
        except ValueError:
            told = "; is its comma a decimal one? write 1014.45" if "," in text else ""
            raise self.wrong(meaning, f"expected a number, saw {text!r}{told}") from None
        if not (math.isfinite(value) and value > 0):
            raise self.wrong(meaning, f"{meaning} must be positive and finite, saw {text!r}")
        least, most = (SMALLEST_LOSS, LARGEST_LOSS) if meaning == "loss" else (SMALLEST, LARGEST)
        if not least <= value <= most:
            raise self.wrong(meaning, f"{meaning} must lie between {least:g} and {most:g}, saw {text!r}")
        return value

    def wrong(self, meaning: str, why: str) -> InputError:
        return InputError(f"{self.path}, {self.place}, column {self.columns_of[meaning][0]!r}: {why}")


def _observation(row: _Row, *, drop_diverged: bool) -> Observation:
    """The row as an observation; with ``drop_diverged`` the loss of one that diverged is inf."""
    numbers = {meaning: row.number(meaning) for meaning in POSITIVE if meaning not in ("compute", "budget", "loss")}
    family, params, examples = row.text("family") or "all", numbers["params"], numbers["examples"]
    flops = row.needed("compute") if row.columns_of["compute"] else _six_n_d(row)
    if examples and numbers["unique"]:
        numbers["epochs"] = examples / numbers["unique"]
    role = row.text("role") or "search"
    if role not in get_args(Role):
        raise row.wrong("role", f"role must be one of {', '.join(get_args(Role))}, saw {role!r}")
    used = {name for names in row.columns_of.values() for name in names}
    return Observation(
        run=row.text("run") or row.place,
        family=family,
        model=row.text("model") or model_unnamed(family, params),
        role=role,  # pyright: ignore[reportArgumentType]
        loss=_loss(row, drop_diverged=drop_diverged),
        budget_flops=row.needed("budget") if "budget" in row.columns_of else flops,
        train_flops=flops,
        params=params,
        examples=examples,
        epochs=numbers["epochs"],
        base_lr=numbers["base_lr"],
        seed=_seed(row),
        device_seconds=numbers["device_seconds"],
        device=row.text("device") or None,
        chance=numbers["chance"],
        variant=row.text("variant"),
        optimizer=row.text("optimizer"),
        cluster=row.text("cluster"),
        traits=tuple((name, text) for name, text in row.cells.items() if name and name not in used),
        axes=tuple((name, row.cells[name]) for name in axis_columns(row.columns_of)),
    )


def _refuse_another_scale(rows: Sequence[Observation], row_at: Callable[[int], _Row]) -> None:
    """A loss may be of any scale, but one so far from the others of its table is a damaged cell."""
    losses = [row.loss for row in rows if math.isfinite(row.loss)]
    middle = statistics.median_low(losses) if losses else 1.0
    if not losses or (min(losses) / middle >= SMALLEST and max(losses) / middle <= LARGEST):
        return
    for place, found in enumerate(rows):
        if math.isfinite(found.loss) and not SMALLEST <= found.loss / middle <= LARGEST:
            row = row_at(place)
            raise row.wrong(
                "loss", f"{row.text('loss')} lies too far from the others of the table, such as {middle:.6g}"
            )


def _six_n_d(row: _Row) -> float:
    for meaning in ("params", "examples"):
        if not row.text(meaning):
            raise InputError(f"{row.path}, {row.place}: compute {SIX_N_D} needs {meaning}, saw an empty cell")
    return 6.0 * row.needed("params") * row.needed("examples")


def _loss(row: _Row, *, drop_diverged: bool) -> float:
    if (text := row.text("loss")).lower().lstrip("+-") not in DIVERGED:
        return row.needed("loss")
    if drop_diverged:
        return math.inf
    raise row.wrong(
        "loss",
        f"loss must be positive and finite, saw {text!r}; if the run diverged, --drop-diverged leaves such rows out "
        "and says how many",
    )


def _seed(row: _Row) -> int:
    text = row.text("seed")
    try:
        return int(text) if text else 0
    except ValueError:
        raise row.wrong("seed", f"expected a whole number, saw {text!r}") from None


def _notices(rows: Sequence[Observation], table: TextTable, compute: str) -> tuple[str, ...]:
    """What a reader of the results must know of how the table was read."""
    found = []
    diverged = [place for place, row in enumerate(rows) if row.loss == math.inf]
    if diverged:
        counted = Counter(rows[place].family for place in diverged)
        families = ", ".join(f"{family} {number}" for family, number in counted.items())
        found.append(
            f"{len(diverged)} of {len(rows)} rows are left out, whose loss is empty, nan or inf: {families}; the first "
            f"is {table.places[diverged[0]]}"
        )
    if not _SAYS_COMPUTE.search(compute):
        found.append(f"compute is the column {compute!r}: where FLOPs are named, read that")
    return tuple(found)


def _with_edges(finished: Sequence[Observation], rows: Sequence[Observation]) -> Iterator[Observation]:
    """``finished`` with the axes on which a winner lies at the end of what the search ``rows`` at its budget tried."""
    searched: dict[tuple[str, float], list[Observation]] = {}
    if any(row.role in _JUDGED for row in finished):
        for row in rows:
            if row.role == "search":
                searched.setdefault((row.family, row.budget_flops), []).append(row)
    for row in finished:
        beside = searched.get((row.family, row.budget_flops), ()) if row.role in _JUDGED else ()
        yield dataclasses.replace(row, edges=edges) if (edges := _edges(row, beside)) else row


def _edges(row: Observation, beside: Sequence[Observation]) -> tuple[str, ...]:
    """The axes on which a winner lies at the end of what the runs ``beside`` it tried: only a bound there."""
    rates = [r.base_lr for r in beside if r.base_lr and r.model == row.model]
    if len(set(rates)) < 2:  # its shape was moved after its rate had been found
        rates = [r.base_lr for r in beside if r.base_lr]
    sizes = [r.params for r in beside if r.params]
    axes = (("base_lr", row.base_lr, rates), ("size", row.params, sizes))
    return tuple(axis for axis, own, tried in axes if own and tried and not min(tried) < own < max(tried))
