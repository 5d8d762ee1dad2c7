"""Tables whose numbers cannot be what they are said to be: every verb reads by the same check."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.scaling.tables.runs import read_runs

COLUMNS = {"params": "N", "examples": "D", "seed": "seed", "family": "family", "base_lr": "lr"}


def planted(generator: np.random.Generator, *, seeds: int = 1, per_parameter: float = 1.0) -> list[dict[str, object]]:
    """Two families, five budgets, three sizes: L = 1.7 + 400 N^-0.34 + 2000 D^-0.36, 1 % of noise."""
    rows = []
    for family in ("cnn", "vit"):
        for budget in np.geomspace(1e18, 1e20, 5):
            for factor in (0.5, 1.0, 2.0):
                params = factor * 0.1 * math.sqrt(budget)
                examples = budget / (6 * params * per_parameter)
                for seed in range(seeds):
                    loss = 1.7 + 400 * params**-0.34 + 2000 * examples**-0.36
                    rows.append(
                        {
                            "family": family,
                            "flops": budget,
                            "N": params,
                            "D": examples,
                            "seed": seed,
                            "lr": 0.001,
                            "loss": loss * math.exp(0.01 * generator.standard_normal()),
                        }
                    )
    return rows


def read(rows: Sequence[dict[str, object]], folder: Path, **columns: str):
    path = folder / "runs.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_runs(path, columns=COLUMNS | columns)


@pytest.mark.parametrize("per_parameter", [0.05, 1.0, 600.0, 2e4])
def test_tokens_experts_patches_and_convolutions_are_all_plausible(per_parameter, tmp_path):
    rows = planted(np.random.default_rng(0), seeds=2, per_parameter=per_parameter)
    assert read(rows, tmp_path).notices == ()


@pytest.mark.parametrize(("column", "unit"), [("flops", 1e-9), ("flops", 1e-21), ("D", 1e-9), ("N", 1e-6), ("N", 1e9)])
def test_a_column_in_another_unit_is_refused_by_what_the_others_say(column, unit, tmp_path):
    rows = planted(np.random.default_rng(0))
    for row in rows:
        row[column] *= unit  # pyright: ignore[reportOperatorIssue]
    with pytest.raises(InputError, match=r"times 6 x parameters x examples .* not GFLOPs"):
        read(rows, tmp_path)


def test_compute_that_counts_forward_passes_alone_is_said_and_beside_one_that_does_not_refused(tmp_path):
    rows = planted(np.random.default_rng(0), seeds=2)
    forward = [row | {"flops": float(str(row["flops"])) / 3} for row in rows]
    assert "forward passes alone" in " ".join(read(forward, tmp_path).notices)
    of_one = [other if row["family"] == "vit" else row for row, other in zip(rows, forward, strict=True)]
    with pytest.raises(InputError, match=r"6 x parameters x examples for 'cnn', and 2 x for 'vit'.*count both alike"):
        read(of_one, tmp_path)
    uncounted = [row | {"flops": float(str(row["flops"])) * (0.3 + 0.01 * n)} for n, row in enumerate(rows)]
    assert "forward" not in " ".join(read(uncounted, tmp_path).notices)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_a_constant_that_is_a_thousand_is_a_unit(unit, tmp_path):
    rows = [row | {"D": float(str(row["D"])) * unit} for row in planted(np.random.default_rng(0))]
    with pytest.raises(InputError, match="one of the three columns is in another unit"):
        read(rows, tmp_path)


def test_one_row_in_another_unit_is_named(tmp_path):
    rows = planted(np.random.default_rng(0))
    rows[7]["D"] = rows[7]["D"] * 1e-6  # pyright: ignore[reportOperatorIssue]
    with pytest.raises(InputError, match=r"line 9: compute over 6 x parameters x examples lies 1e\+06 times away"):
        read(rows, tmp_path)


def test_compute_of_two_units_is_refused_where_nothing_else_is_known(tmp_path):
    rows = [{"flops": row["flops"], "loss": row["loss"]} for row in planted(np.random.default_rng(0))]
    for row in rows[20:]:
        row["flops"] = row["flops"] / 1e12  # pyright: ignore[reportOperatorIssue]
    with pytest.raises(InputError, match=r"line \d+: compute of .* lies [\d.]+ decades from the next run's"):
        read_table(rows, tmp_path)


def read_table(rows, folder: Path, **columns: str):
    path = folder / "runs.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_runs(path, columns=columns)


@pytest.mark.parametrize("name", ["accuracy", "val_acc", "top-1", "imagenet top1", "mIoU", "loss"])
def test_a_measure_that_is_better_the_higher_is_refused_by_its_name_or_its_trend(name, tmp_path):
    rows = planted(np.random.default_rng(0))
    turned = [{**row, "loss": 1 - float(row["loss"]) / 10} for row in rows]  # pyright: ignore[reportArgumentType]
    renamed = [{name if key == "loss" else key: value for key, value in row.items()} for row in turned]
    with pytest.raises(InputError, match=r"better the higher it is"):
        read(renamed, tmp_path, loss=name)


@pytest.mark.parametrize("name", ["top1_error", "accuracy_loss", "macro loss", "1-acc"])
def test_an_error_named_after_an_accuracy_is_one(name, tmp_path):
    rows = planted(np.random.default_rng(0))
    renamed = [{name if key == "loss" else key: value for key, value in row.items()} for row in rows]
    assert read(renamed, tmp_path, loss=name).notices == ()


def test_seeds_that_are_copies_are_refused_and_a_tie_among_others_is_none(tmp_path):
    rows = planted(np.random.default_rng(0), seeds=3)
    tie = [{**row, "loss": 2.5} if place < 3 else row for place, row in enumerate(rows)]
    assert len(read(tie, tmp_path).rows) == len(rows)
    copies = [{**row, "loss": rows[3 * (place // 3)]["loss"]} for place, row in enumerate(rows)]
    with pytest.raises(InputError, match=r"one loss to the last digit .* copies of a run are no seeds"):
        read(copies, tmp_path)


def test_errors_near_one_are_said_to_be_chance_unless_chance_is_named(tmp_path):
    rows = planted(np.random.default_rng(0))
    near = [{**row, "loss": min(0.999, 0.2 * float(row["loss"])), "chance": 1.0} for row in rows]  # pyright: ignore[reportArgumentType]
    lifted = [{**row, "loss": 0.99} if row["flops"] == 1e18 else row for row in near]
    (notice,) = read(lifted, tmp_path).notices
    assert "has an error below 0.99: if that is chance, name the column" in notice
    assert read(lifted, tmp_path, chance="chance").notices == ()


@pytest.mark.parametrize(("factor", "said"), [(1 / math.log(2), True), (math.log(2), True), (1.3, False), (1.6, False)])
def test_a_family_in_bits_beside_one_in_nats_is_said(factor, said, tmp_path):
    rows = [
        row | ({"loss": float(str(row["loss"])) * factor} if row["family"] == "vit" else {})
        for row in planted(np.random.default_rng(0))
    ]
    assert ("as bits and nats of the same do" in " ".join(read(rows, tmp_path).notices)) == said


def test_families_that_differ_by_their_capitals_alone_are_refused(tmp_path):
    rows = [
        {**row, "family": "ViT" if row["flops"] == 1e18 else row["family"]} for row in planted(np.random.default_rng(0))
    ]
    with pytest.raises(InputError, match="families 'ViT' and 'vit' differ by their capitals alone"):
        read(rows, tmp_path)
