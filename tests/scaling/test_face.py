"""The face of the laws: one answer for a table, however it is held, and the same as the command line's."""

import csv
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from levelfield import scaling
from levelfield.records.codec import to_plain
from levelfield.records.errors import InputError
from levelfield.report.words import told as words
from levelfield.scaling.face import TableReading
from levelfield.scaling.tables.runs import read_runs
from tests.scaling.planted import winner_rows

OTHERS = "examples/others.csv"
COLUMNS: TableReading = {"loss": "val_loss", "family": "arch", "role": "role", "seed": "seed"}
NAMED = ("--loss", "val_loss", "--family", "arch", "--role", "role", "--seed", "seed")


@pytest.fixture(scope="module")
def columns():
    with open(OTHERS, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = ("seed", "flops", "val_loss")
    return {name: [float(r[name]) if name in numbers[1:] else r[name] for r in rows] for name in rows[0]}


@pytest.mark.slow
def test_a_table_says_the_same_from_a_file_from_columns_from_arrow_and_as_observations(columns):
    fitted = scaling.fit(OTHERS, **COLUMNS)
    assert len(fitted.laws) == 4
    for source in (columns, {name: np.array(own) for name, own in columns.items()}, pa.table(columns)):
        assert scaling.fit(source, **COLUMNS).laws == fitted.laws
        assert scaling.compare(source, **COLUMNS).controls == scaling.compare(OTHERS, **COLUMNS).controls
    read = read_runs(OTHERS, columns={name: str(own) for name, own in COLUMNS.items()})
    assert scaling.fit(read.rows).laws == fitted.laws
    only: TableReading = {**COLUMNS, "where": [("arch", "convnet")]}
    kept = scaling.fit(columns, **only)
    assert {law.family for law in kept.laws} == {"convnet"}


@pytest.mark.slow
def test_the_face_says_what_the_command_line_says(invoke):
    laws = json.loads(invoke("fit", OTHERS, *NAMED, "--json")[1])["laws"]
    for law, told in zip(scaling.fit(OTHERS, **COLUMNS).laws, laws, strict=True):
        plain = to_plain(law, describe=words.told)
        assert plain == {name: told[name] for name in plain}
    predicted = json.loads(invoke("predict", OTHERS, *NAMED, "--budget", "1e21", "--json")[1])
    found = scaling.predict(OTHERS, **COLUMNS, budget=1e21)
    assert [to_plain(each.loss) for each in found] == [each["loss"] for each in predicted]
    compared = json.loads(invoke("compare", OTHERS, *NAMED, "--json")[1])
    for comparison, told in zip(scaling.compare(OTHERS, **COLUMNS).comparisons, compared["comparisons"], strict=True):
        assert to_plain(comparison, describe=words.told) == {name: told[name] for name in to_plain(comparison)}


def test_predictions_follow_from_laws_that_were_fitted_before():
    fitted = scaling.fit(winner_rows(np.random.default_rng(0), seed_sd=0.01))
    found = fitted.predict(budget=1e13)
    assert found == scaling.predict(winner_rows(np.random.default_rng(0), seed_sd=0.01), budget=1e13)
    assert [each.family for each in found] == ["nfnet", "vit"]


@pytest.mark.slow
def test_an_answer_prints_itself_in_a_few_lines():
    answers = (
        (scaling.fit(OTHERS, **COLUMNS), "convnet: L = E + A C^-b: A = "),
        (scaling.predict(OTHERS, **COLUMNS, budget=1e21), "transformer at 1e+21 FLOPs: loss "),
        (
            scaling.compare(OTHERS, **COLUMNS),
            "convnet against transformer in flops: depends on compute, ln loss lies -0.0",
        ),
        (scaling.fit({"flops": [1e9, 1e10], "loss": [3.0, 2.5]}), "no law of loss against training FLOPs"),
    )
    for answer, said in answers:
        print(answer)
        assert said in repr(answer)
        assert repr(answer).count("\n") < 4
        assert max(map(len, repr(answer).splitlines())) < 200


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ({"flops": [1e9], "loss": [3.0, 2.0]}, {}, "the table: its columns must be equally long, saw flops 1, loss 2"),
        ({"C": [1e9], "loss": [3.0]}, {}, "the table: no column 'flops' for compute"),
        ({"flops": [1e9], "loss": ["x"]}, {}, "the table, row 1, column 'loss': expected a number, saw 'x'"),
        ({"flops": [1e9], "loss": [None]}, {}, "the table, row 1, column 'loss': loss must be positive"),
        ([1e9, 2e9], {}, "expected a path, observations, columns by name, an Arrow table or a frame, saw a list"),
        (winner_rows(np.random.default_rng(0)), {"where": [("a", "b")]}, "observations have no columns to be read by"),
    ],
)
def test_what_is_no_table_of_runs_is_refused_in_a_sentence(source, options, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        scaling.fit(source, **options)


def test_a_reader_of_one_record_loads_no_statistics_and_no_torch():
    code = (
        "import sys; from levelfield.scaling.results.laws import LawFit; "
        "assert 'levelfield.scaling.face' not in sys.modules; "
        "from levelfield import scaling; scaling.fit; assert 'levelfield.scaling.face' in sys.modules; "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        scaling.fitt  # noqa: B018


def test_so_many_families_that_each_is_a_run_are_not_compared_pair_by_pair():
    runs = range(120)
    table = {"flops": [1e9] * 120, "loss": [2 + run / 100 for run in runs], "model": list(map(str, runs))}
    with pytest.raises(InputError, match=r"120 families make 7,140 pairs, and at most 5,000 are compared"):
        scaling.compare(table, family="model")
    assert scaling.fit(table, family="model").laws == ()
