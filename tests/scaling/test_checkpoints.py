"""Checkpoints of runs are no finished runs: said, or reduced to the ends."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.scaling.tables.runs import Runs, read_runs

COLUMNS = {"params": "N", "examples": "D"}


def decayed(*, runs_a_size: int = 2, num: int = 10, **constant: str) -> list[dict[str, object]]:
    """Three sizes, each trained to several lengths, and ``num`` checkpoints of each run: only the last is decayed."""
    rows = []
    for place, params in enumerate(np.geomspace(1e7, 1e9, 3)):
        for length in range(runs_a_size):
            end = 20 * params * 2**length
            for examples in np.linspace(end / num, end, num):
                loss = 1.7 + 400 * params**-0.34 + 2000 * examples**-0.36 + 0.1 * (examples < end)
                own = {"flops": 6 * params * examples, "N": params, "D": examples, "loss": loss}
                rows.append(own | constant | {"name": f"{place}-{length}"})
    return rows


def read(rows, folder: Path, **options) -> Runs:
    path = folder / "runs.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_runs(path, columns=COLUMNS | options.pop("columns", {}), **options)


def test_checkpoints_are_said_and_the_option_that_leaves_them_out_is_named(tmp_path):
    (notice,) = read(decayed(), tmp_path).notices
    assert "60 rows look like checkpoints of 6 runs (column 'name')" in notice
    assert "--ends name keeps the last row of each" in notice


def test_the_ends_are_the_rows_of_most_compute_whatever_the_order(tmp_path):
    rows = decayed()
    generator = np.random.default_rng(0)
    generator.shuffle(rows)
    found = read(rows, tmp_path, ends="name")
    assert "54 of 60 rows are earlier checkpoints of 6 runs, and left out" in found.notices
    ends = {row.examples for row in found.rows}
    assert ends == {20 * params * 2**length for params in np.geomspace(1e7, 1e9, 3) for length in range(2)}


def test_a_run_that_ended_diverged_has_no_end(tmp_path):
    rows = decayed()
    rows[9]["loss"] = "nan"
    found = read(rows, tmp_path, ends="name", drop_diverged=True)
    assert len(found.rows) == 5


def test_sizes_with_very_many_rows_are_runs_although_no_column_names_them(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "name"} for row in decayed(runs_a_size=1, num=25)]
    (notice,) = read(rows, tmp_path).notices
    assert "75 rows look like checkpoints of 3 runs (column 'N')" in notice


def test_a_grid_of_sizes_and_lengths_and_curves_of_one_run_a_family_are_not_called_checkpoints(tmp_path):
    grid = [{**row, "size": row["N"]} for row in decayed(runs_a_size=1, num=8)]
    del grid[0]["name"]
    grid = [{key: value for key, value in row.items() if key != "name"} for row in grid]
    assert read(grid, tmp_path).notices == ()
    assert read(decayed(), tmp_path, columns={"family": "name"}).notices == ()


@pytest.mark.parametrize(("ends", "message"), [("nmae", "did you mean 'name'"), ("gap", "names no run in some row")])
def test_a_column_that_cannot_tell_runs_apart_is_refused(ends, message, tmp_path):
    rows = [{**row, "gap": "" if place == 3 else "a"} for place, row in enumerate(decayed())]
    with pytest.raises(InputError, match=message):
        read(rows, tmp_path, ends=ends)


def test_a_split_or_a_metric_is_no_run(tmp_path):
    rows = [{**row, "split": split} for row in decayed(runs_a_size=1, num=8) for split in ("train", "val")]
    rows = [{key: value for key, value in row.items() if key != "name"} for row in rows]
    assert read(rows, tmp_path).notices == ()
