"""One set of options for the columns of a table, in every verb that reads one."""

import json

import numpy as np
import pytest

from tests.scaling.planted import search_rows

VERBS = {
    "fit": (),
    "compare": (),
    "predict": ("--budget", "1e13"),
    "next": ("--target", "1e13", "--spend", "5e12"),
}
NAMED = ("--compute", "C", "--loss", "val", "--params", "N", "--examples", "D", "--epochs", "ep", "--rate", "lr")


@pytest.fixture
def table(tmp_path):
    rows = search_rows(np.random.default_rng(0), run_sd=0.003, params_exponent=0.6)
    lines = [f"{r.budget_flops},{r.loss},{r.params},{r.examples},{(r.examples or 0) / 1e6},{r.base_lr},a" for r in rows]
    lines += [line.removesuffix("a") + "b" for line in lines]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(("C,val,N,D,ep,lr,set", *lines)) + "\n")
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_reads_a_table_has_the_same_options_for_it(verb, table, invoke):
    code, _, error = invoke(verb, table, *VERBS[verb], *NAMED, "--where", "set=a", "--budget-column", "C", "--json")
    assert (code, error) == (0, "")
    code, _, error = invoke(verb, table, *VERBS[verb], *NAMED, "--where", "sett=a")
    assert code == 2
    assert "no column 'sett' to keep rows by (did you mean 'set'?)" in error


@pytest.mark.parametrize("verb", VERBS)
def test_rows_that_diverged_are_left_out_on_request_and_every_verb_says_how_many(verb, table, invoke):
    table.write_text(table.read_text() + "1e12,nan,1,1,1,1,a\n")
    arguments = (verb, table, *VERBS[verb], *NAMED, "--where", "set=a")
    assert "if the run diverged, --drop-diverged" in invoke(*arguments)[2]
    for more in ((), ("--json",)):
        code, said, _ = invoke(*arguments, "--drop-diverged", *more)
        assert code == 0
        assert "rows are left out, whose loss is empty, nan or inf: all 1" in said


def test_a_table_is_predicted_from_as_a_study_is(table, invoke):
    asked = ("predict", table, "--budget", "1e13", *NAMED, "--where", "set=a")
    (found,) = json.loads(invoke(*asked, "--json")[1])
    for name in ("loss", "params_interval", "examples_interval", "base_lr_interval"):
        assert found[name]["low"] < found[name]["estimate"] < found[name]["high"]
    assert found["epochs"] == pytest.approx(found["examples"] / 1e6)
    told = invoke(*asked)[1]
    for what in ("held-out loss", "parameters", "examples", "epochs", "learning rate"):
        assert f"  {what}" in told
    assert "256" not in told, "a table gives its rates at whatever batch it has"


def test_an_axis_that_varies_is_refused_by_its_name_until_an_option_names_it(table, invoke):
    lines = [line.rsplit(",", 1)[0] for line in table.read_text().splitlines() if not line.endswith("b")][1:]
    rows = [",".join((c, str(float(v) * worse), *rest, size)) for line in lines for c, v, *rest in [line.split(",")]
            for size, worse in (("256", 1.0), ("512", 1.03))]  # fmt: skip
    table.write_text("\n".join(("C,val,N,D,ep,lr,bs", *rows)))
    asked = ("predict", table, "--budget", "1e13", *NAMED, "--json")
    code, _, error = invoke(*asked)
    assert code == 2
    assert "the column 'bs' varies among rows that agree in all columns that are named" in error
    told = [json.loads(invoke(*asked, option, "bs")[1])[0]["loss"] for option in ("--batch", "--axis")]
    kept = json.loads(invoke(*asked, "--where", "bs=256")[1])[0]["loss"]
    assert told == [kept, kept]


def test_distinct_examples_may_be_said_and_epochs_follow_from_them(table, invoke):
    asked = ("predict", table, "--budget", "1e13", *NAMED, "--where", "set=a", "--unique-examples", "5e6", "--json")
    (found,) = json.loads(invoke(*asked)[1])
    assert found["unique_examples"] == 5e6
    assert found["epochs"] == pytest.approx(found["examples"] / 5e6)


def test_fit_reads_winners_and_their_seeds(invoke, tmp_path):
    lines = [
        f"{c},{3 * (c / 1e9) ** -0.1 * (1 + 0.01 * s)},{role},{s}"
        for c in np.geomspace(1e9, 1e13, 5)
        for role, seeds in (("search", (0,)), ("winner", (1, 2, 3)))
        for s in seeds
    ]
    (tmp_path / "runs.csv").write_text("\n".join(("flops,loss,role,seed", *lines)))
    law = json.loads(invoke("fit", tmp_path / "runs.csv", "--role", "role", "--seed", "seed", "--json")[1])["laws"][0]
    assert law["rows"][0]["loss"] == pytest.approx(3.06, abs=1e-3), "the mean of the winners, not the search row"
    assert "no-seeds" not in [remark["code"] for remark in law["remarks"]]


def test_a_study_that_has_lost_its_spec_is_still_one_for_every_verb(invoke, tmp_path):
    (tmp_path / "trials").mkdir()
    for verb in ("compare", "fit", "status", "report"):
        code, _, error = invoke(verb, tmp_path)
        assert code == 2
        assert "study.json is missing; `levelfield run SPEC" in error, verb


def test_a_study_has_no_columns_to_name_and_a_directory_without_one_says_so(invoke, tmp_path, tiny_study):
    for arguments, said in (
        (("fit", tmp_path, "--params", "N"), "holds no study (no study.json); expected the directory of a study"),
        (("predict", tmp_path / "none.csv", "--budget", "1"), "no such file; expected a table of runs"),
        (
            ("fit", tmp_path / "none.csv", "--where", "a"),
            "--where keeps rows by COLUMN=VALUE, or by !=, <, <=, > or >=, saw 'a'",
        ),
    ):
        code, _, error = invoke(*arguments)
        assert (code, error.count("\n")) == (2, 1)
        assert said in error
    (tmp_path / "study.json").write_text("{}")
    assert "whose columns are known" in invoke("fit", tmp_path, "--params", "N")[2]


def test_several_columns_join_to_a_family(table, invoke):
    found = json.loads(invoke("fit", table, "--compute", "C", "--loss", "val", "--family", "set,ep", "--json")[1])
    assert any("a/" in refusal["what"]["family"] for refusal in found["refusals"])
