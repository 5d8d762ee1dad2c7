"""``levelfield next``: trials from a CSV, in words and as JSON, and complaints with exit code 2."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.test_startup import loaded_by
from tests.conftest import one_complaint, run
from tests.scaling.planted import search_rows


@pytest.fixture
def runs(tmp_path):
    generator = np.random.default_rng(0)
    rows = "".join(
        f"{c},{(0.8 + 1.5 * (c / 1e11) ** -0.25) * np.exp(0.003 * generator.standard_normal())},vit\n"
        for c in np.geomspace(2e10, 2e12, 6)
    )
    path = tmp_path / "runs.csv"
    path.write_text("C,val,arch\n" + rows)
    return path


def columns(path):
    return [path, "--compute", "C", "--loss", "val", "--family", "arch"]


@pytest.mark.slow
def test_a_table_of_runs_gives_the_next_trials_in_words_and_as_json(runs):
    asked = ["next", *columns(runs), "--target", "1e13", "--spend", "5e12"]
    told = run(*asked)
    assert told.returncode == 0, told.stderr
    assert "the trials that tell most per FLOP" in told.stdout
    assert "standard error of ln loss there" in told.stdout
    answer = json.loads(run(*asked, "--json").stdout)
    assert 0 < answer["flops"] <= 5e12
    assert answer["sd_after"] < answer["sd_before"]
    assert {trial["family"] for trial in answer["trials"]} == {"vit"}


@pytest.mark.slow
def test_the_optimal_size_is_asked_for_with_the_sizes_to_run(tmp_path):
    rows = search_rows(np.random.default_rng(0), family="vit", rates=(0.2,), run_sd=0.001)
    path = tmp_path / "profiles.csv"
    path.write_text("C,val,N,D\n" + "".join(f"{r.budget_flops},{r.loss},{r.params},{r.examples}\n" for r in rows))
    named = [path, "--compute", "C", "--loss", "val", "--params", "N", "--examples", "D"]
    asked = ["next", *named, "--target", "1e13", "--spend", "2e13", "--want", "size"]
    told = run(*asked)
    assert told.returncode == 0, told.stderr
    assert "one run of each size" in told.stdout
    assert "standard error of ln of the optimal size there" in told.stdout
    answer = json.loads(run(*asked, "--json").stdout)
    assert all(len(trial["sizes"]) in (5, 10, 15) for trial in answer["trials"])


def test_planning_the_next_trials_loads_nothing_heavy(runs):
    assert loaded_by(list(map(str, ["next", *columns(runs), "--target", "1e13", "--spend", "5e12"]))) == []


@pytest.mark.slow
def test_what_cannot_be_planned_ends_with_exit_code_2_and_what_to_do(runs):
    for options, complaint in (
        (["--target", "1e12", "--spend", "5e12"], "is not above the top rung"),
        (["--target", "1e50", "--spend", "1e49"], "times the top rung of vit (2e+12); no law is known to hold"),
        (["--target", "1e13", "--spend", "1e9"], "below the cheapest candidate"),
        (["--target", "1e13", "--spend", "5e12", "--want", "depth"], "must be loss, size or verdict, saw 'depth'"),
        (["--target", "1e13", "--spend", "5e12", "--want", "size"], "needs searched runs with parameters and examples"),
        (["--target", "1e13", "--spend", "5e12", "--want", "verdict"], "a verdict is between two families, saw vit"),
        (["--target", "1e13", "--spend", "5e12", "--want", "verdict", "--about", "vit"], "a verdict is on both"),
        (["--target", "1e13", "--spend", "5e12", "--about", "nfnet"], "the loss of which family? saw 'nfnet'"),
    ):
        assert complaint in one_complaint(run("next", *columns(runs), *options), 2)


def test_half_a_question_or_a_study_without_results_gets_one_clear_answer(runs, invoke, tiny_study):
    for missing, options in (("--spend", ("--target", "1e13")), ("--target", ("--spend", "5e12"))):
        code, _, error = invoke("next", *columns(runs), *options)
        assert (code, f"Missing option '{missing}'" in error) == (2, True)
    code, _, error = invoke("next", tiny_study, "--target", "1e13", "--spend", "5e12")
    assert (code, error.count("\n")) == (2, 1)
    assert "next trials follow from results: name its directory, or a table" in error
