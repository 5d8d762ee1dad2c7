"""Everything that was trained, probed or raced below some directories: what compares, and what does not."""

import csv
import dataclasses
import io
import json
import shutil
from typing import Literal

import pytest

from levelfield.records.data import DigitsSpec
from levelfield.records.errors import DamagedError, InputError
from levelfield.records.execution import Execution
from levelfield.records.head import LinearHead
from levelfield.records.probe import ProbeResult, ProbeScore, ProbeSpec, ProbeTiming
from levelfield.records.probe_store import ProbeDirectory
from levelfield.records.sealed import write_record
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec, TrialTiming
from levelfield.report.tables.found import compared_tables, table_of_all
from levelfield.study.outcome.found import found_runs
from levelfield.study.plan.recipes import preset
from levelfield.study.planned import PlannedTrial
from tests.study.simulated import bowl, outcome_of, run_to_the_end, study, written_down

DIGITS = DigitsSpec(resolution=32, select_examples=100, report_examples=100)
START = "trial:" + "ab" * 16


def finetuned(path, loss, *, data=DIGITS, content="digits", seed=0, held_out: Literal["select", "report"] = "report"):
    """The directory that a fine-tune with that held-out ``loss`` leaves; infinite means diverged."""
    spec = TrialSpec(
        architecture="nfnet:w8-d1x1-s4",
        data=data,
        recipe=preset("nfnet-short", peak_lr=0.1),
        head=LinearHead(num_outputs=10),
        budget_flops=1e9,
        global_batch_size=64,
        steps=500,
        seed=seed,
        held_out=held_out,
        start=START,
    )
    planned = PlannedTrial(spec=spec, role="winner", family="nfnet", budget_flops=1e9, base_lr=0.1)
    result = dataclasses.replace(outcome_of(planned, loss), data_fingerprint=content)
    directory = TrialDirectory(path / spec.name)
    directory.open(spec)
    directory.finish(
        result,
        TrialTiming(
            fingerprint=spec.fingerprint,
            device="none",
            wall_seconds=1.0,
            device_seconds=1.0,
            data_seconds=0.0,
            evaluate_seconds=0.0,
        ),
    )
    return directory.path


def probed(path, *, content="digits"):
    spec = ProbeSpec(architecture="nfnet:w8-d1x1-s4", start=START, data=DIGITS)
    directory = ProbeDirectory(path / spec.name)
    directory.open(spec)
    scores = (
        ProbeScore(probe="linear", top1=0.6, loss=1.1, setting="C = 1"),
        *(ProbeScore(probe="few-shot", top1=0.3 + 0.01 * seed, shots=5, seed=seed) for seed in range(3)),
        ProbeScore(probe="knn", top1=0.55, setting="20 neighbours"),
    )
    result = ProbeResult(
        fingerprint=spec.fingerprint,
        scores=scores,
        num_features=64,
        num_report=100,
        train_flops=1e6,
        solver_flops=1e5,
        evaluate_flops=1e5,
        start_flops=1e9,
        chance_top1=0.1,
        data_fingerprint=content,
        execution=Execution(device="none", torch_version="0"),
        levelfield_version="0",
    )
    timing = ProbeTiming(fingerprint=spec.fingerprint, device="none", device_seconds=1.0, wall_seconds=1.0)
    write_record(directory.path / "timing.json", timing)
    write_record(directory.path / "result.json", result)
    return directory.path


def test_what_was_judged_alike_is_ranked_together_and_what_was_not_stands_apart(tmp_path):
    better, worse = finetuned(tmp_path / "a", 0.8), finetuned(tmp_path / "b", 1.3, seed=1)
    elsewhere = finetuned(tmp_path / "c", 0.1, content="other pictures")
    select = finetuned(tmp_path / "d", 0.2, held_out="select")
    probe = probed(tmp_path / "e")
    found = tuple(found_runs([tmp_path]))
    tables = compared_tables(found)
    ranked = [[row[-1].text for row in table.rows] for table in tables]
    assert ranked == [
        [str(better), str(probe), str(worse)],
        [str(elsewhere)],
        [str(select)],
        [str(probe), str(probe)],
    ], "the linear probe has a loss; knn and few-shot are compared by error alone"
    assert [table.title.split(" on ")[0] for table in tables] == ["By loss", "By loss", "By loss", "By error"]
    assert [row[0].text for row in tables[0].rows] == ["1", "2", "3"]


def test_a_share_of_images_has_wilsons_interval_and_draws_of_few_shots_have_students(tmp_path):
    finetuned(tmp_path, 0.8)
    probed(tmp_path)
    found = {run.what.partition(",")[0]: run for run in found_runs([tmp_path])}
    (trial,) = [run for run in found.values() if run.kind == "fine-tune"]
    error = trial.scores["error"]
    assert (error.low, error.estimate, error.high) == pytest.approx((0.419, 0.5, 0.581), abs=2e-3)
    assert trial.scores["loss"].low is None, "of its values by example none were kept"
    shots = found["5-shot"].scores["error"]
    assert shots.estimate == pytest.approx(0.69)
    assert (shots.high or 0) - shots.estimate == pytest.approx(2.92 * 0.01 / 3**0.5, rel=1e-3)


def test_resolution_and_augmentation_judge_nobody_by_other_images(tmp_path):
    finetuned(tmp_path, 0.8)
    finetuned(tmp_path, 0.7, data=dataclasses.replace(DIGITS, resolution=64))
    finetuned(tmp_path, 0.6, data=dataclasses.replace(DIGITS, report_examples=200))
    assert [len(table.rows) for table in compared_tables(tuple(found_runs([tmp_path])))] == [2, 1]


def test_a_study_is_told_with_its_winners_and_with_its_trials_on_request(tmp_path):
    spec = study()
    planned, results = run_to_the_end(spec, loss=bowl)
    written_down(tmp_path / "study", spec, planned, results)
    found = tuple(found_runs([tmp_path, tmp_path / "study"]))
    assert [run.kind for run in found] == ["study", "winner", "winner"], "each once, however often it is named"
    assert found[0].state == "finished"
    top = [trial for trial in planned.trials if trial.role == "winner" and trial.budget_flops == 6e11]
    mean = sum(results[trial.spec.fingerprint].loss("report") for trial in top if trial.family == "vit") / 3
    assert found[2].backbone is not None
    assert found[2].backbone.startswith("vit:")
    assert found[2].scores["loss"].estimate == pytest.approx(mean)
    assert found[2].scores["loss"].low is not None, "over three seeds"
    everything = tuple(found_runs([tmp_path], trials=True))
    assert sum(run.kind == "trial" for run in everything) == len(results)


def test_what_diverged_or_was_only_begun_has_no_score_and_stands_at_the_end(tmp_path):
    finetuned(tmp_path, 0.8)
    diverged = finetuned(tmp_path, float("inf"), seed=1)
    begun = finetuned(tmp_path, 0.9, seed=2)
    for name in ("result.json", "timing.json"):
        (begun / name).unlink()
    alone = shutil.copytree(begun, tmp_path / "alone" / begun.name)
    (begun / "attempts/0001").mkdir(parents=True)
    *_, last = compared_tables(tuple(found_runs([tmp_path])))
    told = {row[-1].text: row[-2].text for row in last.rows}
    assert told == {str(diverged): "diverged", str(begun): "begun", str(alone): "not begun"}


def test_what_is_damaged_is_named_and_the_rest_is_told(invoke, tmp_path):
    whole, damaged = finetuned(tmp_path, 0.8), finetuned(tmp_path, 0.9, seed=1)
    record = damaged / "result.json"
    record.write_text(record.read_text().replace('"steps": 500', '"steps": 501'))
    with pytest.raises(DamagedError):
        list(found_runs([tmp_path]))
    code, said, error = invoke("runs", tmp_path)
    assert code == 2
    assert str(whole) in said
    assert "1 of what lies there cannot be read" in error
    assert str(record) in error


def test_json_and_csv_say_the_same_as_the_tables(invoke, tmp_path):
    finetuned(tmp_path, 0.8)
    probed(tmp_path)
    code, said, _ = invoke("runs", tmp_path, "--json", "--csv", tmp_path / "runs.csv")
    assert code == 0
    plain = json.loads(said)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text())))
    assert len(rows) == len(plain) == 4
    assert [row["where"] for row in rows] == [run["path"] for run in plain]
    assert {row["group"] for row in rows if row["loss"]} == {"1"}
    assert {row["group"] for row in rows if not row["loss"]} == {"2"}
    assert table_of_all(()).rows == ()


def test_a_place_that_is_none_is_refused_and_an_empty_one_says_so(invoke, tmp_path):
    with pytest.raises(InputError, match="is no directory"):
        list(found_runs([tmp_path / "nowhere"]))
    code, said, _ = invoke("runs", tmp_path)
    assert (code, "nothing was trained, probed or raced under" in said) == (0, True)
