"""Rows that are checkpoints of a run: told from finished runs, and reduced to the last one of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from levelfield.scaling.tables.rows import CodedColumn, Places, Rows, combined
from levelfield.scaling.tables.text import TextTable

FEWEST_ROWS = 5
"""Rows a run from which they are taken for its checkpoints."""
_VERY_MANY = 20
_RUN_WORDS = {"run", "runs", "id", "uid", "uuid", "exp", "experiment", "trial", "job", "wandb"}
_SHARE = 0.8
_SETTINGS = ("family", "model", "params", "base_lr", "seed", "global_batch_size", "optimizer", "variant", "role")


def places_of_ends(rows: Rows, run: CodedColumn) -> Places:
    """The places of the row of the most compute of every ``run``, in their order; of equal ones the last."""
    order = np.lexsort((np.arange(len(rows)), rows.numbers("train_flops"), run.codes))
    last = np.append(np.diff(run.codes[order]) != 0, True)
    return np.sort(order[last])


def told_ends(num_rows: int, num_runs: int, name: str) -> tuple[str, ...]:
    """That earlier rows of the runs that the column ``name`` tells apart are left out."""
    if num_runs == num_rows:
        return (f"every row has a {name!r} of its own: none is an earlier checkpoint of another",)
    return (f"{num_rows - num_runs} of {num_rows} rows are earlier checkpoints of {num_runs} runs, and left out",)


def told_checkpoints(rows: Rows, table: TextTable, columns_of: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """That most ``rows``, those of ``table``, look like checkpoints of runs that some column tells apart.

    Each of its values has rows of one size and recipe, with compute of their own. A grid of sizes and lengths looks
    like that by its sizes: it counts only where runs outnumber their settings, where a run has very many rows, or where
    the column's name says that it names runs. Families that are one run each are curves, fitted as such.
    """
    settings, first = combined([rows.coded(field) for field in _SETTINGS])
    families = len(rows.coded("family").present)
    for name, column in _candidates(rows, table, columns_of):
        if FEWEST_ROWS * len(column.values) > len(rows):  # some of whose values no row may have
            column = column.trimmed
        runs, starts = column.codes, column.values
        a_run = len(rows) / len(starts)
        outnumber = len(starts) > len(first)
        if not max(families, 1) < len(starts) or a_run < FEWEST_ROWS:
            continue
        if len(rows) == len(starts) * len(set(rows.coded("train_flops").present)):
            continue  # every value goes through the same compute: a split or a metric, and no run
        if (outnumber or a_run >= _VERY_MANY or _words(name) & _RUN_WORDS) and _are_checkpoints(rows, runs, settings):
            return (
                f"{len(rows)} rows look like checkpoints of {len(starts)} runs (column {name!r}). Where the learning "
                "rate decays only a run's last row is a finished run, and earlier ones lie above what a run of their "
                f"length would reach, which moves the optimum: --ends {name} keeps the last row of each",
            )
    return ()


def _candidates(
    rows: Rows, table: TextTable, columns_of: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, CodedColumn]]:
    """Columns that may tell runs apart: those without a meaning, and those of clusters, models and sizes."""
    used = {name for names in columns_of.values() for name in names}
    for name, column in zip(table.names, table.columns, strict=True):
        if name and name not in used:
            yield name, column
    for meaning in ("cluster", "model", "params"):
        if len(names := columns_of.get(meaning, ())) == 1:
            yield names[0], rows.coded(meaning)


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))


def _are_checkpoints(rows: Rows, runs: Places, settings: Places) -> bool:
    """Whether most rows lie in runs of one setting and of many different amounts of compute."""
    counts = np.bincount(runs)
    likely = (counts >= FEWEST_ROWS) & (_distinct(runs, settings) == 1)
    if counts[likely].sum() < _SHARE * len(rows):
        return False
    likely &= _distinct(runs, rows.coded("train_flops").codes) == counts
    return bool(counts[likely].sum() >= _SHARE * len(rows))


def _distinct(groups: Places, values: Places) -> Places:
    """How many different ``values`` each group has."""
    most = int(values.max()) + 1
    return np.bincount(np.unique(groups * most + values) // most, minlength=int(groups.max()) + 1)
