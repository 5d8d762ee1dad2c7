"""A run that was exported twice counts once; a header that says a unit is believed where its numbers are such."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.scaling import face
from levelfield.scaling.tables.header_units import unit_of

Columns = dict[str, list]


def cloud(seeds: int = 1) -> Columns:
    g = np.random.default_rng(3)
    rows = []
    for params in np.geomspace(1e7, 1e9, 5):
        for examples in np.geomspace(1e9, 1e11, 5):
            for _ in range(seeds):
                loss = 1.5 + 400 * params**-0.34 + 2000 * examples**-0.36
                noisy = loss * math.exp(0.01 * g.standard_normal())
                rows.append({"flops": 6 * params * examples, "loss": noisy, "N": params, "D": examples})
    return {name: [row[name] for row in rows] for name in rows[0]}


READING: face.TableReading = {"params": "N", "examples": "D"}


def twice(columns: Columns, places: list[int]) -> Columns:
    return {name: [*cells, *(cells[place] for place in places)] for name, cells in columns.items()}


@pytest.mark.parametrize("index", [None, "Unnamed: 0", ""])
def test_rows_that_were_exported_twice_are_said_and_count_once(index):
    columns = cloud(seeds=2)
    doubled = twice(columns, [3, 4, 40])
    if index is not None:
        doubled[index] = list(range(len(doubled["loss"])))
    read = face.rows_of(doubled, **READING)
    (notice,) = (told for told in read.notices if "copies" in told)
    assert notice.startswith("3 of 53 rows are copies of others in every column, and count once")
    assert notice.endswith("the first is row 51, a copy of row 4")
    assert len(read.rows) == 50


def test_a_table_that_was_exported_twice_has_no_seeds_without_noise():
    once, copied = cloud(), twice(cloud(), list(range(25)))
    plain, doubled = (face.fit(columns, **READING).analysis for columns in (once, copied))
    assert doubled.seed_noise is None
    assert doubled.seed_noise == plain.seed_noise
    assert [law.parameters for law in doubled.size_laws] == [law.parameters for law in plain.size_laws]


def test_seeds_are_no_copies():
    columns = cloud(seeds=2)
    columns["seed"] = [place % 2 for place in range(50)]
    columns["loss"] = [round(loss, 1) for loss in columns["loss"]]
    assert len(face.rows_of(columns, params="N", examples="D", seed="seed").rows) == 50


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("params (M)", 1e6),
        ("tokens_B", 1e9),
        ("flops (e18)", 1e18),
        ("flops_1e18", 1e18),
        ("FLOPs (x10^18)", 1e18),
        ("compute [EFLOPs]", 1e18),
        ("PF-days", 8.64e19),
        ("tokens in billions", 1e9),
        ("params (millions)", 1e6),
        ("B", None),
        ("N", None),
        ("TFLOPs/s", None),
        ("num_params", None),
        ("tokens (BPE)", None),
        ("d_model", None),
    ],
)
def test_a_header_says_a_unit_or_none(name, scale):
    found = unit_of(name)
    assert (found and found[1]) == scale


def scaled(columns: Columns, names: dict[str, tuple[str, float]]) -> tuple[Columns, face.TableReading]:
    found = dict(columns)
    for old, (new, unit) in names.items():
        found[new] = [cell / unit for cell in found.pop(old)]
    return found, {"compute": names["flops"][0], "params": names["N"][0], "examples": names["D"][0]}


def test_numbers_under_a_header_with_a_unit_are_read_in_it_and_that_is_said():
    plain = cloud()
    columns, reading = scaled(plain, {"flops": ("flops (e18)", 1e18), "N": ("params (M)", 1e6), "D": ("tokens_B", 1e9)})
    read = face.rows_of(columns, **reading)
    for field, name in (("train_flops", "flops"), ("params", "N"), ("examples", "D")):
        np.testing.assert_allclose(read.rows.numbers(field), plain[name], rtol=1e-12)
    assert "params is the column 'params (M)', which says '(M)': its numbers are read in 1e+06" in read.notices
    assert sum("its numbers are read in" in told for told in read.notices) == 3


def test_plain_numbers_under_a_header_that_says_a_unit_are_refused_and_both_are_named():
    columns = cloud()
    columns["params (M)"] = [1e3 * size for size in columns.pop("N")]
    with pytest.raises(InputError, match=r"column 'params \(M\)' says '\(M\)' and holds 1e\+12, which would be 1e\+18"):
        face.fit(columns, params="params (M)", examples="D")
    columns = cloud()
    columns["tokens_B"] = columns.pop("D")
    with pytest.raises(InputError, match=r"'tokens_B' says 'B' and holds 1e\+11, which would be 1e\+20"):
        face.fit(columns, params="N", examples="tokens_B")


def test_a_unit_that_the_other_columns_contradict_is_refused():
    columns = cloud()
    columns["params (M)"] = [size / 10 for size in columns.pop("N")]  # no more than could be millions
    with pytest.raises(InputError, match="times 6 x parameters x examples"):
        face.fit(columns, params="params (M)", examples="D")
