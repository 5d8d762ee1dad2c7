"""Few images: winners are judged in folds, and how long and how strongly augmented a run is best is searched."""

import csv
import dataclasses
import math

import numpy as np
import pytest

from levelfield.records.data import ImagesSpec
from levelfield.records.errors import SpecError
from levelfield.records.study import AxisSpec
from levelfield.study.outcome.export import export_study
from levelfield.study.outcome.outcome import read_outcome
from levelfield.study.outcome.table import finished_runs, observations
from levelfield.study.plan.plan import plan
from tests.narrowed import of_kind
from tests.study.simulated import FACTS, bowl, run_to_the_end, study, written_down

IMAGES = {"source": "images", "path": "pictures", "resolution": 32, "select_examples": 50}
FEW = dataclasses.replace(FACTS, num_train=800, num_report=200)
LENGTHS = [0.125, 0.25, 0.5, 1]
STRENGTHS = ["none", "flip", "crop-flip", "crop-flip+rand-m6-n2"]


def few(folds=None, axes=(), **changed):
    families = [dataclasses.asdict(entry) for entry in study().families]
    fields = {"length": ("length", LENGTHS), "augment": ("data.augment", STRENGTHS)}
    for entry in families:
        entry["axes"] = {name: dict(zip(("field", "values"), fields[name], strict=True)) for name in axes}
        del entry["swap"]
    ladder = {"budgets": [4e11, 4e12], "max_epochs": 1e6}
    search = {"check_budgets": [4e11]} if axes else {}
    data = IMAGES if folds is None else {**IMAGES, "folds": folds}
    return study(families=families, data=data, ladder=ladder, search=search, **changed)


def winners_of(planned):
    return [trial for trial in planned.trials if trial.role == "winner"]


def data_of(trial):
    return of_kind(ImagesSpec, trial.spec.data)


def test_a_winner_is_judged_by_one_network_for_every_fold_of_every_seed():
    spec = few(folds=5)
    planned, _ = run_to_the_end(spec, facts=FEW)
    judged = winners_of(planned)
    assert len(judged) == 2 * 2 * spec.verdict.seeds * 5
    assert {data_of(trial).fold for trial in judged} == set(range(5))
    assert {data_of(trial).fold for trial in planned.trials if trial.role == "search"} == {0}


def test_a_run_in_folds_is_one_row_whose_loss_is_that_of_all_images():
    planned, results = run_to_the_end(few(folds=5), facts=FEW)
    rows = [row for row in observations(planned, results, {}) if row.role == "winner"]
    assert len(rows) == 2 * 2 * 3
    for run in finished_runs(planned, results):
        if run[0].role == "winner":
            (row,) = (row for row in rows if row.run == run[0].spec.fingerprint)
            losses = [results[trial.spec.fingerprint].loss("report") for trial in run]
            assert row.loss == pytest.approx(np.mean(losses))
            assert [data_of(trial).fold for trial in run] == list(range(5))


def test_a_run_of_which_a_fold_is_missing_or_diverged_is_no_row():
    planned, results = run_to_the_end(few(folds=5), facts=FEW)
    first, second, *_ = (run for run in finished_runs(planned, results) if run[0].role == "winner")
    lost = {first[3].spec.fingerprint, second[0].spec.fingerprint}
    left = {key: result for key, result in results.items() if key not in lost}
    runs = {row.run for row in observations(planned, left, {})}
    assert first[0].spec.fingerprint not in runs
    assert len(runs) == len(observations(planned, results, {})) - 2


def test_the_table_of_trials_says_which_fold_judged_each(tmp_path):
    spec = few(folds=5)
    planned, results = run_to_the_end(spec, facts=FEW)
    written_down(tmp_path / "study", spec, planned, results, facts=FEW)
    exported, _ = export_study(read_outcome(tmp_path / "study"), tmp_path / "table")
    with open(exported, newline="") as file:
        told = [(row["role"], row["fold"]) for row in csv.DictReader(file)]
    assert {fold for role, fold in told if role == "winner"} == set("01234")
    assert {fold for role, fold in told if role == "search"} == {""}


def test_lengths_and_augmentation_are_searched_at_every_rung_with_other_axes_at_the_lowest_alone():
    planned, _ = run_to_the_end(few(axes=("length", "augment")), facts=FEW)
    searched = {(trial.budget_flops, trial.variant.partition("=")[0]) for trial in planned.trials if trial.variant}
    assert {(budget, axis) for budget in (4e11, 4e12) for axis in ("length", "augment")} <= searched


def test_a_run_of_half_the_length_takes_half_the_examples_of_the_same_budget():
    planned, _ = run_to_the_end(few(axes=("length",)), facts=FEW)
    top = [trial for trial in planned.trials if trial.budget_flops == 4e12 and trial.role == "search"]
    halves = [trial for trial in top if trial.variant == "length=0.5"]
    assert halves
    for half in halves:
        whole = next(
            trial for trial in top
            if not trial.variant and (trial.spec.architecture, trial.base_lr) == (half.spec.architecture, half.base_lr)
        )  # fmt: skip
        assert half.spec.examples == pytest.approx(whole.spec.examples / 2, rel=0.05)


def test_a_run_that_chose_to_be_shorter_says_that_its_budget_was_a_cap():
    planned, results = run_to_the_end(few(), facts=FEW)
    first, second, *_ = winners_of(planned)
    for trial, share in ((first, 0.5), (second, 0.999)):
        key = trial.spec.fingerprint
        results[key] = dataclasses.replace(results[key], train_flops=share * trial.budget_flops)
    capped = {row.run: row.capped for row in observations(planned, results, {})}
    assert (capped[first.spec.fingerprint], capped[second.spec.fingerprint]) == (True, False)


@pytest.mark.parametrize(("best", "edges"), [(1, set()), (0.25, set()), (0.125, {"length"})])
def test_the_whole_budget_is_no_edge_and_the_shortest_run_that_was_declared_is_one(best, edges):
    def loss(trial):
        share = float(trial.variant.partition("=")[2] or 1)
        return bowl(dataclasses.replace(trial, variant="")) * math.exp(0.1 * abs(math.log2(share / best)))

    planned, _ = run_to_the_end(few(axes=("length",)), facts=FEW, loss=loss)
    assert all(set(winner.edges) & {"length"} == edges for winner in planned.winners)
    assert {dict(winner.candidate.axes).get("length", 1) for winner in planned.winners} == {best}


def test_an_axis_of_augmentation_moves_what_the_trials_see_and_nothing_gentler_than_none_is_missed():
    def loss(trial):
        worse = STRENGTHS.index(data_of(trial).augment) if data_of(trial).randaugment is None else 3
        return bowl(dataclasses.replace(trial, variant="")) * math.exp(0.1 * worse)

    planned, _ = run_to_the_end(few(axes=("augment",)), facts=FEW, loss=loss)
    assert {data_of(trial).augment for trial in winners_of(planned)} == {"none"}
    assert not any("augment" in winner.edges for winner in planned.winners)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("length", [0.5, 0.75]),
        ("length", [0, 1]),
        ("data.augment", ["flip", "none"]),
        ("data.augment", ["none", "none+rand-m3-n2"]),
        ("data.augment", ["none", "blur"]),
        ("data.resolution", [8, 16]),
    ],
)
def test_axes_that_cannot_be_meant_are_refused(field, values):
    with pytest.raises(SpecError):
        AxisSpec(field=field, values=tuple(values))


def test_a_study_that_names_a_fold_or_would_judge_a_transfer_on_one_of_several_is_refused():
    with pytest.raises(SpecError, match="every fold"):
        study(data={**IMAGES, "folds": 5, "fold": 1})
    with pytest.raises(SpecError, match=r"transfer 'x': data.folds"):
        study(transfer=[{"name": "x", "probes": ["knn"], "data": {**IMAGES, "folds": 5}}])


def test_a_stream_has_no_augmentation_to_search():
    spec = dataclasses.replace(few(axes=("augment",)), data=study().data)
    with pytest.raises(SpecError, match="source 'images' alone"):
        plan(spec, FACTS, {})
