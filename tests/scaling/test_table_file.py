"""Files of rows as people keep them: other delimiters, gzipped, Parquet, thousands separators, runs that diverged."""

import contextlib
import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from levelfield.records.errors import InputError, did_you_mean
from levelfield.scaling.tables.cells import all_positive, positive
from levelfield.scaling.tables.delimited import _of_plain_text
from levelfield.scaling.tables.file import read_table_file
from levelfield.scaling.tables.runs import read_runs

TEXT = "flops,loss,arch\n1e9,2.5,vit\n1e10,2,nfnet\n"
SEEN = [(1e9, 2.5, "vit"), (1e10, 2.0, "nfnet")]


def read(tmp_path, content: str | bytes, name: str = "runs.csv", **options):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_runs(path, **options)


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT.replace(",", ";"),
        TEXT.replace(",", "\t"),
        TEXT.replace("\n", "\r\n"),
        "\ufeff" + TEXT,
        gzip.compress(TEXT.encode()),
    ],
    ids=["comma", "semicolon", "tab", "CRLF", "BOM", "gzip"],
)
def test_a_table_reads_the_same_however_it_is_delimited_or_compressed(tmp_path, content):
    rows = read(tmp_path, content, columns={"family": "arch"}).rows
    assert [(row.budget_flops, row.loss, row.family) for row in rows] == SEEN


def test_parquet_is_read_by_its_first_bytes_and_an_absent_number_is_absent(tmp_path):
    flops, loss, family = map(list, zip(*SEEN, strict=True))
    pq.write_table(pa.table({"flops": flops, "loss": loss, "arch": family, "N": [None, 3e6]}), tmp_path / "runs")
    rows = read_runs(tmp_path / "runs", columns={"family": "arch", "params": "N"}).rows
    assert [(row.budget_flops, row.loss, row.family) for row in rows] == SEEN
    assert [(row.run, row.params) for row in rows] == [("row 1", None), ("row 2", 3e6)]


def test_a_small_parquet_that_spells_out_millions_of_equal_rows_is_refused_before_they_take_memory(tmp_path):
    pq.write_table(pa.table({"flops": [1e9] * 10**6, "loss": [1.5] * 10**6}), tmp_path / "runs")
    with pytest.raises(InputError, match=r"has [\d,]{5,6} bytes and claims 1,000,000 rows"):
        read_runs(tmp_path / "runs")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("flops,loss,loss\n1,2,3\n", "the header names column 'loss' twice"),
        (b"\x1f\x8b\x08\x00", "is a damaged gzip file"),
        (b"PAR1, but no more", "is a damaged Parquet file"),
        ("flops,loss\n1,2\n".encode("utf-16"), "is no text in UTF-8 .* save it as CSV in UTF-8"),
        ("flops,loss\n1,014.45,2\n", "line 2: has 3 cells where the header names 2 columns; put a cell that holds a"),
        ('flops,loss\n1,2\n\n"1,014",2\n', "line 4, column 'flops': expected a number, saw '1,014'; is its comma a de"),
        ("FLOPs,loss\n1,2\n", r"no column 'flops' for compute \(did you mean 'FLOPs'\?\)"),
    ],
)
def test_a_file_that_would_be_misread_is_refused_with_its_place(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_thousands_may_be_grouped_where_no_decimal_comma_could_be_meant(tmp_path):
    rows = read(tmp_path, 'flops,loss\n"1,014.45",2\n"12,000,000",1\n').rows
    assert [row.train_flops for row in rows] == [1014.45, 12e6]


def test_a_row_may_end_early_or_in_empty_cells(tmp_path):
    assert [line.cells["b"] for line in read_table_file(written(tmp_path, "a,b\n1\n1,2,,\n")).lines] == ["", "2"]


def written(tmp_path, text):
    path = tmp_path / "text.csv"
    path.write_text(text)
    return path


DIVERGED = "flops,loss,arch,lr,role\n1e9,2,vit,0.1,search\n1e9,1.9,vit,0.2,search\n1e9,nan,vit,0.4,search\n"
DIVERGED += "1e9,1.8,vit,0.2,winner\n1e9,,nfnet,1,search\n1e9,-inf,vit,1,search\n"
COLUMNS = {"family": "arch", "base_lr": "lr", "role": "role"}


def test_a_run_that_diverged_is_refused_with_its_line_and_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"line 4, column 'loss': .* saw 'nan'; if the run diverged, --drop-diverged"):
        read(tmp_path, DIVERGED, columns=COLUMNS)


def test_runs_that_diverged_are_left_out_on_request_and_counted_by_family(tmp_path):
    found = read(tmp_path, DIVERGED, columns=COLUMNS, drop_diverged=True)
    assert [row.run for row in found.rows] == ["line 2", "line 3", "line 5"]
    (notice,) = found.notices
    assert "3 of 6 rows are left out, whose loss is empty, nan or inf: vit 2, nfnet 1; the first is line 4" in notice
    assert found.rows[-1].edges == (), "a rate that diverged was tried, and brackets the winner"


def test_a_loss_below_zero_is_never_taken_for_a_run_that_diverged(tmp_path):
    with pytest.raises(InputError, match="loss must be positive and finite, saw '-2'"):
        read(tmp_path, "flops,loss\n1,-2\n", drop_diverged=True)


def test_a_table_of_which_every_run_diverged_is_refused(tmp_path):
    with pytest.raises(InputError, match="every run has diverged"):
        read(tmp_path, "flops,loss\n1,nan\n", drop_diverged=True)


def test_rows_are_kept_by_the_values_of_columns(tmp_path):
    text = "flops,loss,set,split\n1,2,a,val\n2,2,a,train\n3,2,b,val\n4,2,c,val\n"
    kept = read(tmp_path, text, where=[("split", "val"), ("set", "a"), ("set", "c")]).rows
    assert [row.train_flops for row in kept] == [1.0, 4.0]
    for where, message in (
        ([("spilt", "val")], r"no column 'spilt' to keep rows by \(did you mean 'split'\?\)"),
        ([("split", "Va")], r"no row that is kept has split='Va' \(did you mean 'val'\?\)"),
        ([("set", "b"), ("split", "train")], r"no row that is kept has split='train' \(known: val\)"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path, text, where=where)


def test_several_columns_make_a_family_unless_one_has_that_very_name(tmp_path):
    text = 'flops,loss,arch,res,"x,y"\n1,2,vit,224,z\n'
    (row,) = read(tmp_path, text, columns={"family": "arch, res"}).rows
    assert (row.family, row.traits) == ("vit/224", (("x,y", "z"),))
    assert read(tmp_path, text, columns={"family": "x,y"}).rows[0].family == "z"
    with pytest.raises(InputError, match=r"no column 'rse' for family \(did you mean 'res'\?\)"):
        read(tmp_path, text, columns={"family": "arch,rse"})


def test_a_nominal_budget_is_the_rung_and_measured_compute_what_was_spent(tmp_path):
    rows = read(tmp_path, "flops,loss,C\n9.9e8,2,1e9\n1.02e9,2,1e9\n", columns={"budget": "C"}).rows
    assert [(row.budget_flops, row.train_flops) for row in rows] == [(1e9, 9.9e8), (1e9, 1.02e9)]


def test_distinct_examples_give_the_epochs_and_both_at_once_are_refused(tmp_path):
    text = "flops,loss,D,U,ep\n1,2,4e6,1e6,4\n"
    assert read(tmp_path, text, columns={"examples": "D", "unique": "U"}).rows[0].epochs == 4.0
    with pytest.raises(InputError, match="name the column of one of them"):
        read(tmp_path, text, columns={"examples": "D", "unique": "U", "epochs": "ep"})


def test_a_column_of_compute_that_is_not_named_like_it_gives_a_notice(tmp_path):
    (notice,) = read(tmp_path, "Seen Examples,loss\n1,2\n", columns={"compute": "Seen Examples"}).notices
    assert "compute is the column 'Seen Examples'" in notice
    assert read(tmp_path, TEXT).notices == ()


def test_a_hint_ignores_case_and_lists_no_more_names_than_one_can_read():
    assert did_you_mean("FLOPS", ["flops"]) == " (did you mean 'flops'?)"
    assert did_you_mean("zzz", map(str, range(100))).endswith(" and 60 more)")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_that_of_the_header_whatever_cells_and_names_hold(end, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(end.join(("", 'flops;"loss, in nats";note', '1;2;"a, b, c, d"', "")), newline="")
    table = read_table_file(path)
    assert table.names == ("flops", "loss, in nats", "note")
    assert table.lines[0].cells == {"flops": "1", "loss, in nats": "2", "note": "a, b, c, d"}


_TEXTS = st.lists(
    st.lists(st.sampled_from(["1", "2.5", " 3", "", "a b", "é\u00a0", "\x85", '"q"', "nan"]), max_size=4).map(",".join),
    max_size=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(lines=_TEXTS, end=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]), last=st.booleans())
@example(lines=["1,2", "", "3,4"], end="\n", last=True)
@example(lines=["1,2", "3"], end="\n", last=True)
def test_plain_text_is_told_apart_as_csv_does_or_left_to_it(lines, end, last, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "plain.csv"
    text = end.join(["flops, loss", *lines]) + end * last
    path.write_text(text, newline="")
    plain = _of_plain_text(path, text, 0)
    if plain is None:
        odd = any('"' in line or line.count(",") != 1 or not line.replace(",", "").strip() for line in lines)
        assert odd or not lines or end not in ("\n", "\r\n"), "what csv has no say in is read plainly"
        return
    told = read_table_file(path)
    assert (plain.names, plain.places, plain.lines) == (told.names, told.places, told.lines)


def test_a_large_table_is_read_as_its_small_part_is_and_names_the_line_of_a_wrong_cell(tmp_path):
    row = "{},{},1e9,2.5, vit\n"
    text = "note,run,flops,loss,arch\n" + "".join(row.format("x" * 900, n) for n in range(1200))
    columns = {"family": "arch", "run": "run"}
    large = read(tmp_path, text, columns=columns).rows
    assert len(text) > 1 << 20
    assert large[:5] == read(tmp_path, "".join(text.splitlines(keepends=True)[:6]), columns=columns).rows
    with pytest.raises(InputError, match="line 702, column 'flops': expected a number, saw '1e9x'"):
        read(tmp_path, text.replace(",700,1e9,", ",700,1e9x,"), columns=columns)


@pytest.mark.parametrize("place", range(4, 300, 12))
def test_a_parquet_file_with_a_damaged_byte_is_refused_or_reads_the_same(place, tmp_path):
    path = tmp_path / "runs.parquet"
    pq.write_table(pa.table({"flops": [1.5, 2.5, 3.5], "loss": [3.0, 2.0, 1.0]}), path, write_page_checksum=True)
    whole = read_table_file(path).lines
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert read_table_file(path).lines == whole


_CELLS = st.lists(st.sampled_from(["1", "2.5", "1e9", ".5", "4_5", "-1", "nan", "\u0661", "1e-70", "+3E2"]), max_size=4)


@given(cells=_CELLS)
def test_what_is_read_all_at_once_is_what_every_cell_says(cells):
    limits = {"least": 1e-60, "most": 1e60}
    if (values := all_positive(cells, **limits)) is not None:
        assert values == [positive(cell, named="x", **limits) for cell in cells]


def test_a_table_with_a_grouped_number_gives_the_rows_of_the_plain_one(tmp_path):
    header, line = "arch,flops,params,lr,seed,loss,role\n", "{},{},{},{},{},{},audit\n"
    rows = [("vit", 10 ** (12 + row % 5), 1e5 * (1 + row % 3), 0.1, row, 1 + 1 / (1 + row)) for row in range(40)]
    plain = header + "".join(line.format(*row) for row in rows)
    columns = {"family": "arch", "params": "params", "base_lr": "lr", "seed": "seed", "role": "role"}
    closer = plain.replace(",1000000000000,", ',"1,000,000,000,000",', 1)
    assert read(tmp_path, plain, columns=columns).rows == read(tmp_path, closer, columns=columns).rows
