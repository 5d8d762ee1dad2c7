"""Tables as people have them: spellings of nothing, other files, conditions, what follows from C = 6 N D."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pytest

from levelfield.records.errors import InputError, SpecError
from levelfield.scaling.tables.kept import condition_of
from levelfield.scaling.tables.runs import read_runs

COLUMNS = {"family": "arch", "params": "N", "seed": "seed"}
ROWS = [
    {"flops": 1e9, "loss": 2.5, "arch": "vit", "N": 10.0, "seed": 0},
    {"flops": 1e10, "loss": 2.125, "arch": "nfnet", "N": None, "seed": 1},
]
SEEN = [(1e9, 2.5, "vit", 10.0, 0), (1e10, 2.125, "nfnet", None, 1)]


def read(tmp_path, content: str | bytes, name: str = "runs.csv", **options):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_runs(path, **options)


def told(runs):
    return [(row.budget_flops, row.loss, row.family, row.params, row.seed) for row in runs.rows]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(map(json.dumps, ROWS)) + "\n\n",
        json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}),
        pd.DataFrame(ROWS).to_json(),
        pd.DataFrame(ROWS).to_json(orient="split"),
        pd.DataFrame(ROWS).to_json(orient="records"),
        pd.DataFrame(ROWS).to_json(orient="records", lines=True),
        pd.DataFrame(ROWS).to_csv(index=False),
        pd.DataFrame(ROWS).convert_dtypes().to_csv(index=False, na_rep="<NA>"),
    ],
    ids=["list", "indented", "lines", "columns", "pandas", "split", "records", "pandas lines", "CSV", "CSV with NA"],
)
def test_json_as_people_and_pandas_write_it_reads_like_csv(content, tmp_path):
    assert told(read(tmp_path, content, columns=COLUMNS)) == SEEN


def test_numbers_of_json_are_read_as_they_are_written_and_objects_are_columns(tmp_path):
    text = '[{"flops": 1e400, "loss": 2, "config": {"lr": 0.10}}]'
    with pytest.raises(InputError, match=r"row 1, column 'flops': .* saw '1e400'"):
        read(tmp_path, text)
    (row,) = read(tmp_path, text.replace("e400", "e9"), columns={"base_lr": "config.lr"}).rows
    assert row.base_lr == 0.1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"flops": 1, "loss": 2},', "is damaged JSON"),
        ('{"flops": 1, "loss": 2}\n{"flops": 1, "loss"\n', "line 2: is no JSON"),
        ('{"flops": 1, "flops": 2, "loss": 2}', r"runs.csv: the header names column 'flops' twice"),
        ("[" * 100_000, r"runs.csv: is JSON nested beyond all reason"),
        ("[1, 2]", "row 1: expected an object with the columns of a run, saw '1'"),
        ('{"flops": [1, 2], "loss": [1]}', "its columns must be equally long, saw flops 2, loss 1"),
        (
            '\n{"flops": 1, "loss": 2}\n\n{"flops": 1, "loss": "two"}',
            "line 4, column 'loss': expected a number, saw 'two'",
        ),
    ],
)
def test_json_that_is_no_table_is_refused_with_its_place(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("nothing", ["NA", "N/A", "None", "NaN", "nan", "null", "<NA>", "#N/A", "-", ""])
def test_what_stands_for_nothing_is_nothing(nothing, tmp_path):
    text = f"flops,loss,N,seed\n1e9,2,{nothing},{nothing}\n1e10,{nothing},5,0.0\n"
    found = read(tmp_path, text, columns={"params": "N", "seed": "seed"}, drop_diverged=True)
    assert [(row.params, row.seed) for row in found.rows] == [(None, 0)]
    assert "1 of 2 rows are left out" in found.notices[0]


def test_seeds_as_pandas_writes_them_are_whole_numbers_and_others_are_none(tmp_path):
    text = "flops,loss,seed\n1e9,2,0.0\n1e9,2.1,3.0\n"
    assert [row.seed for row in read(tmp_path, text, columns={"seed": "seed"}).rows] == [0, 3]
    with pytest.raises(InputError, match=r"line 3, column 'seed': expected a whole number, saw '0\.5'"):
        read(tmp_path, text.replace("3.0", "0.5"), columns={"seed": "seed"})


@pytest.mark.parametrize("cell", ["4_55081", "0,55081", "２.5", "1e9 FLOPs", "0x10", "1.5.2"])
def test_a_cell_that_is_no_number_as_people_write_them_is_refused(cell, tmp_path):
    with pytest.raises(InputError, match="line 3, column 'loss': expected a number, saw"):
        read(tmp_path, f'flops,loss\n1e9,2\n1e10,"{cell}"\n')


def test_a_decimal_comma_is_refused_with_what_to_write(tmp_path):
    with pytest.raises(InputError, match=r"saw '2,5'; is its comma a decimal one\? write 2\.5"):
        read(tmp_path, "flops;loss\n1e9;2,5\n1e10;2,1\n")


def test_rows_of_empty_cells_are_no_rows(tmp_path):
    found = read(tmp_path, "flops,loss,arch\n,,\n1e9,2.5,vit\n1e10,2,vit\n,,\n,,\n")
    assert [row.run for row in found.rows] == ["line 3", "line 4"]
    frame = pa.table({"flops": [1e9, None], "loss": [2.0, None]})
    assert len(read_runs(frame).rows) == 1


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_comma_inside_a_header_is_part_of_its_name(mark, tmp_path):
    text = f"flops (all, in total){mark}loss (nats, val)\n1e9{mark}2.5\n1e10{mark}2\n"
    columns = {"compute": "flops (all, in total)", "loss": "loss (nats, val)"}
    assert [row.loss for row in read(tmp_path, text, columns=columns).rows] == [2.5, 2.0]


def test_the_line_of_a_row_is_that_of_the_file_also_after_quoted_line_ends(tmp_path):
    text = '\n\nflops,loss,note\n1e9,2,"a\nb\nc"\n1e10,two,\n'
    with pytest.raises(InputError, match="line 7, column 'loss'"):
        read(tmp_path, text)
    with pytest.raises(InputError, match="line 4, column 'loss'"):
        read(tmp_path, text.replace(",2,", ",zwei,"))


def test_rows_that_do_not_state_their_compute_are_left_out_on_request_and_counted(tmp_path):
    text = "flops,loss\n1e9,2.5\n,2.4\nNA,2.3\n1e10,2\n"
    with pytest.raises(InputError, match=r"line 3, column 'flops': .* --drop-incomplete leaves such rows out"):
        read(tmp_path, text)
    found = read(tmp_path, text, drop_incomplete=True)
    assert [row.run for row in found.rows] == ["line 2", "line 5"]
    assert "2 of 4 rows are left out, which do not state their compute; the first is line 3" in found.notices
    with pytest.raises(InputError, match="no row states its compute"):
        read(tmp_path, "flops,loss\n,1\n", drop_incomplete=True)


@pytest.mark.parametrize(
    ("meaning", "text"),
    [("examples", "flops,N,loss\n1.2e19,1e8,2\n"), ("params", "flops,D,loss\n1.2e19,2e10,2\n")],
)
def test_tokens_and_parameters_follow_from_six_n_d(meaning, text, tmp_path):
    columns = {"examples": "D", "params": "N"} | {meaning: "6ND"}
    (row,) = read(tmp_path, text, columns=columns).rows
    assert (row.params, row.examples) == (pytest.approx(1e8), pytest.approx(2e10))
    with pytest.raises(InputError, match=f"{meaning} 6ND needs the columns of"):
        read(tmp_path, text, columns={meaning: "6ND"})


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("N > 2", [3.0, 4.0]),
        ("N>=2", [2.0, 3.0, 4.0]),
        ("N < 3e0", [1.0, 2.0]),
        ("N <= 1", [1.0]),
        ("N != 3", [1.0, 2.0, 4.0]),
        ("arch = b", [3.0]),
        ("arch==b", [3.0]),
        ("arch != a", [3.0, 4.0]),
    ],
)
def test_rows_are_kept_by_comparisons(where, kept, tmp_path):
    text = "flops,loss,N,arch\n1,2,1,a\n2,2,2,a\n3,2,3,b\n4,2,4,\n5,2,,a\n"
    rows = read(tmp_path, text, where=[condition_of(where), ("flops", "5", "<")]).rows
    assert [row.train_flops for row in rows] == kept


def test_a_condition_that_cannot_be_meant_is_refused(tmp_path):
    with pytest.raises(SpecError, match="--where keeps rows by COLUMN=VALUE, or by !=, <"):
        condition_of("nothing")
    text = "flops,loss,N\n1,2,x\n"
    for where, message in (("N > 1", "line 2, column 'N': expected a number, saw 'x'"), ("flops > 9", "has flops > 9")):
        with pytest.raises(InputError, match=message):
            read(tmp_path, text, where=[condition_of(where)])
    with pytest.raises(InputError, match="--where flops > compares numbers: expected a number, saw 'big'"):
        read(tmp_path, text, where=[condition_of("flops > big")])


def test_budgets_that_differ_by_rounding_alone_are_one_and_what_was_spent_stays(tmp_path):
    lines = "".join(f"{c * (1 + k * 4e-16)!r},{2 + k / 10}\n" for c in (3.3e15, 3.3e16) for k in range(3))
    rows = read(tmp_path, "flops,loss\n" + lines).rows
    assert len({row.train_flops for row in rows}) > 2, "they differ in their last digits"
    assert len({row.budget_flops for row in rows}) == 2
    apart = "flops,loss\n1000000000,2\n1000000010,2\n"
    assert len({row.budget_flops for row in read(tmp_path, apart).rows}) == 2


def test_a_value_to_keep_rows_by_is_a_number_where_both_are(tmp_path):
    text = "flops,loss,N\n1,2,64.0\n2,2,128.0\n"
    assert [row.train_flops for row in read(tmp_path, text, where=[condition_of("N=64")]).rows] == [1.0]
    assert [row.train_flops for row in read(tmp_path, text, where=[condition_of("N!=64")]).rows] == [2.0]


def test_a_comma_may_group_thousands_and_a_letter_may_stand_for_millions(tmp_path):
    with pytest.raises(InputError, match=r"write 3\.000, or 3000 where it groups thousands"):
        read(tmp_path, 'flops,loss\n"3,000",2\n')
    for cell in ("25M", "6.67B", "45.2%", "1e18 FLOPs"):
        with pytest.raises(InputError, match="write it out, such as 25e6 for 25M"):
            read(tmp_path, f"flops,loss\n{cell},2\n")


def test_a_column_of_numbers_is_one_thing(tmp_path):
    text = "flops,loss,N\n1e9,2,5\n"
    with pytest.raises(InputError, match="column 'loss' cannot be both loss and chance"):
        read(tmp_path, text, columns={"chance": "loss"})
    with pytest.raises(InputError, match="column 'loss' cannot be both loss and axes"):
        read(tmp_path, text, columns={"axes": "loss"})
    assert read(tmp_path, text, columns={"budget": "flops"}).rows[0].budget_flops == 1e9


def test_a_unit_in_the_name_of_a_column_is_said_and_a_logarithm_is_refused(tmp_path):
    (notice,) = read(tmp_path, "EFLOPs,loss\n1,2\n", columns={"compute": "EFLOPs"}).notices
    assert "compute is the column 'EFLOPs', which says 'EFLOPs': its numbers are read in 1e+18" in notice
    for name in ("log10_flops", "ln(C)", "logFLOPs"):
        with pytest.raises(InputError, match="says a logarithm: give FLOPs themselves"):
            read(tmp_path, f"{name},loss\n18,2\n", columns={"compute": name})
    read(tmp_path, "logged_flops,loss\n1e18,2\n", columns={"compute": "logged_flops"})
