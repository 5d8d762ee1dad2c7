"""Anybody's CSV."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.report.words.told import all_told
from levelfield.report.words.verdicts import headline
from levelfield.scaling.analyse import analyse
from levelfield.scaling.next.predict import predict
from levelfield.scaling.results.reasons.laws import NotMonotone
from levelfield.scaling.results.reasons.verdicts import NoFreshWinners
from levelfield.scaling.results.refusals import AnyVerdict, LawOf
from levelfield.scaling.tables.runs import read_runs_csv

RUNS = Path(os.environ.get("LEVELFIELD_RUNS") or Path(__file__).parents[3] / "shared" / "runs")


def written(path: Path, text: str) -> Path:
    file = path / "runs.csv"
    file.write_text(text)
    return file


def test_columns_are_found_by_the_names_they_were_given(tmp_path):
    text = "C,val loss,arch,N,s\n1e18,3.2,convnet,1e8,1\n2e18,3.0,vit,2e8,2\n"
    columns = {"compute": "C", "loss": "val loss", "family": "arch", "params": "N", "seed": "s"}
    first, second = read_runs_csv(written(tmp_path, text), columns=columns)
    assert (first.family, first.budget_flops, first.loss, first.params, first.seed) == ("convnet", 1e18, 3.2, 1e8, 1)
    assert (first.role, second.model) == ("search", "vit, 2e+08 parameters")


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("flop,loss\n1,2\n", {}, r"no column 'flops' for compute \(did you mean 'flop'\?\)"),
        ("flops,loss\n1,2\n", {"famly": "x"}, r"no column can mean 'famly' \(did you mean 'family'\?\)"),
        ("N,D,loss\n1,2,3\n", {}, r"no column 'flops' for compute \(known: D, N\); 6ND would be six FLOPs a parameter"),
        (
            "N,D,loss\n1,2,3\n",
            {"compute": "6ND"},
            "compute 6ND needs the columns of params and of examples",
        ),
        (
            "N,D,loss\n1,,3\n",
            {"compute": "6ND", "params": "N", "examples": "D"},
            "line 2: compute 6ND needs examples, saw an empty cell",
        ),
        ("flops,loss\n1e9,2\n1e10,two\n", {}, r"line 3, column 'loss': expected a number, saw 'two'"),
        (
            "flops,loss\n1e9,\n",
            {},
            r"line 2, column 'loss': loss must be positive and finite, saw ''; if the run diverged, --drop-diverged",
        ),
        ("flops,loss\n-1,2\n", {}, r"line 2, column 'flops': compute must be positive and finite, saw '-1'"),
        ("flops,loss\n1,nan\n", {}, r"column 'loss': loss must be positive and finite, saw 'nan'"),
        ("flops,loss\n", {}, "has a header but no rows"),
        ("", {}, "the file is empty"),
        ("flops,loss,role\n1,2,champion\n", {"role": "role"}, "role must be one of search, winner"),
        ("flops,loss,seed\n1,2,x\n", {"seed": "seed"}, r"column 'seed': expected a whole number, saw 'x'"),
    ],
)
def test_a_table_that_cannot_be_meant_is_an_error_that_names_the_place(tmp_path, text, columns, message):
    with pytest.raises(InputError, match=message):
        read_runs_csv(written(tmp_path, text), columns=columns)


def test_compute_may_be_six_flops_a_parameter_and_token_and_a_column_of_that_name_comes_first(tmp_path):
    columns = {"compute": "6ND", "params": "N", "examples": "D"}
    (row,) = read_runs_csv(written(tmp_path, "N,D,loss\n1e8,2e9,3\n"), columns=columns)
    assert row.train_flops == row.budget_flops == pytest.approx(1.2e18)
    (row,) = read_runs_csv(written(tmp_path, "N,D,loss,6ND\n1e8,2e9,3,7e18\n"), columns=columns)
    assert row.train_flops == 7e18


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_runs_csv(tmp_path / "none.csv")


def test_an_empty_cell_of_an_optional_column_is_an_absent_number(tmp_path):
    (row,) = read_runs_csv(written(tmp_path, "flops,loss,N\n1e9,2,\n"), columns={"params": "N"})
    assert row.params is None


def test_compute_and_loss_alone_give_a_law_per_family_and_no_verdict(tmp_path):
    budgets = np.geomspace(1e18, 1e21, 6)
    lines = [f"{c},{1.7 + 2000 * c**-0.2},a\n{c},{1.6 + 2400 * c**-0.2},b\n" for c in budgets]
    rows = read_runs_csv(written(tmp_path, "flops,loss,f\n" + "".join(lines)), columns={"family": "f"})
    found = analyse(rows)
    chosen = {law.family: law for law in found.laws if law.chosen}
    assert chosen["a"].form == "saturating"
    assert chosen["a"].parameters["E"].estimate == pytest.approx(1.7, rel=1e-3)
    assert "no seeds: intervals come from the scatter about the law" in all_told(chosen["a"].remarks)
    assert {comparison.overall.verdict for comparison in found.comparisons} == {"cannot tell"}
    assert any((refusal.what, refusal.why) == (AnyVerdict(), (NoFreshWinners(),)) for refusal in found.refusals)
    assert found.winners == ()
    assert [prediction.family for prediction in predict(found, budget=1e22)] == ["a", "b"]


def real_table(name: str) -> Path:
    path = RUNS / name
    if not path.exists():
        pytest.skip(f"the table of others' runs {name} is not here")
    return path


def test_a_cloud_of_language_models_gives_a_law_of_its_lower_envelope():
    rows = read_runs_csv(
        real_table("kyo_takano_llm/df.csv"), columns={"compute": "C", "loss": "loss", "params": "N", "examples": "D"}
    )
    found = analyse(rows)
    (law,) = (law for law in found.laws if law.chosen)
    assert "the lower envelope of 234 runs, which is optimistic" in all_told(law.remarks)
    assert 0.02 < law.parameters["b"].estimate < 0.5


def test_published_isoflop_exponents_come_out_near_their_authors_values(tmp_path):
    table = real_table("porian_isoflop/isoflop_points.csv")
    setting = ("rw", "base", "long", "kaplan", "standard", "val")
    with open(table, newline="") as file:
        reader = csv.DictReader(file)
        names = ("dataset", "hparams", "warmup", "decay", "param_count", "split")
        points = [row for row in reader if tuple(row[name] for name in names) == setting]
    text = "flops,loss,params,tokens\n" + "".join(
        f"{row['flops']},{row['loss']},{row['params']},{row['tokens']}\n" for row in points
    )
    found = analyse(read_runs_csv(written(tmp_path, text), columns={"params": "params", "examples": "tokens"}))
    (allocation,) = found.allocations
    assert allocation.params_exponent is not None
    # Published for this setting: 0.7009 (published_fits.csv).
    assert allocation.params_exponent.estimate == pytest.approx(0.7009, abs=0.04)


@pytest.mark.parametrize("name", ["nlp-model-dd", "dd-translation-samples-aug26-small"])
def test_a_double_descent_is_refused(name):
    table = real_table(f"double_descent/{name}.csv")
    found = analyse(read_runs_csv(table, columns={"compute": "n", "loss": "test_loss"}))
    assert found.laws == ()
    assert any(isinstance(refusal.why[0], NotMonotone) for refusal in found.refusals)


@pytest.mark.parametrize("columns", [{}, {"params": "N"}], ids=["one model", "a size for every budget"])
def test_a_table_whose_loss_rises_again_is_refused_with_the_budget_where_it_does(tmp_path, columns):
    loss = [5.0, 4.2, 3.7, 3.5, 3.9, 4.4, 4.1, 3.6, 3.2, 2.9]
    lines = "".join(f"{1e10 * 2**place},{value},{1e4 * 2**place}\n" for place, value in enumerate(loss))
    found = analyse(read_runs_csv(written(tmp_path, "flops,loss,N\n" + lines), columns=columns))
    assert found.laws == ()
    (refusal,) = (refusal for refusal in found.refusals if refusal.what == LawOf(family="all", currency="flops"))
    assert "not monotone: at compute 3.2×10¹¹ the loss lies 25.7% above a cheaper rung" in all_told(refusal.why)


def test_columns_without_a_meaning_become_traits(tmp_path):
    text = "flops,loss,arch,patch,note\n1e9,2,vit,16,\n"
    (row,) = read_runs_csv(written(tmp_path, text), columns={"family": "arch"})
    assert row.traits == (("patch", "16"), ("note", ""))


def test_a_winner_at_the_end_of_what_was_tried_gets_that_edge_and_one_inside_none(tmp_path):
    header = "flops,loss,role,N,lr,m,run\n"
    tried = "".join(f"1e9,{2 + lr},search,{n},{lr},m{n},s{n}{lr}\n" for n in (1, 2, 3) for lr in (0.1, 0.2, 0.4))
    winners = "1e9,2,winner,2,0.2,m2,a\n1e9,2,winner,2,0.4,m2,b\n1e9,2,winner,3,0.2,m3,c\n1e9,2,winner,3,0.3,m9,d\n"
    columns = {"role": "role", "params": "N", "base_lr": "lr", "model": "m", "run": "run"}
    rows = {row.run: row.edges for row in read_runs_csv(written(tmp_path, header + tried + winners), columns=columns)}
    assert [rows[name] for name in "abcd"] == [(), ("base_lr",), ("size",), ("size",)]
    assert rows["s10.1"] == (), "search rows have none"


def test_convnext_and_vit_of_open_clip_get_laws_and_refusals_but_no_claim(tmp_path):
    with open(real_table("openclip_results/openclip_results.csv"), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["pretrained"].startswith("laion2b_s")]
    lines = ["flops,loss,family,model"]
    for row in rows:
        samples = float(row["pretrained"].split("_s")[1].split("b")[0]) * 1e9
        family = "convnext" if row["name"].startswith("convnext") else "vit" if row["name"].startswith("ViT") else ""
        if family:
            flops = float(row["FLOPs (B)"]) * 1e9 * samples * 3
            lines.append(f"{flops},{1 - float(row['ImageNet 1k'])},{family},{row['name']}")
    columns = {"family": "family", "model": "model"}
    found = analyse(read_runs_csv(written(tmp_path, "\n".join(lines) + "\n"), columns=columns))
    assert {comparison.overall.verdict for comparison in found.comparisons} == {"cannot tell"}
    assert headline(found).startswith("Cannot tell")


@pytest.mark.parametrize(
    ("column", "cell", "range_"),
    [("loss", "1e308", "1e-250 and 1e[+]250"), ("loss", "1e-300", "1e-250"), ("compute", "1e61", "1e-60 and 1e[+]60")],
)
def test_a_number_that_nothing_can_measure_is_refused(column, cell, range_, tmp_path):
    path = tmp_path / "runs.csv"
    row = {"compute": "1e19", "loss": "2"} | {column: cell}
    path.write_text(f"flops,loss\n1e18,2\n{row['compute']},{row['loss']}\n")
    with pytest.raises(InputError, match=f"line 3, column '.*': {column} must lie between {range_}"):
        read_runs_csv(path)


def test_a_loss_of_another_scale_than_its_table_is_refused(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("flops,loss\n1e18,2\n1e19,1e-200\n1e20,1.5\n")
    with pytest.raises(InputError, match=r"line 3, column 'loss': 1e-200 lies too far from .*, such as 1\.5"):
        read_runs_csv(path)
