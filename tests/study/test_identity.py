"""Never another's answer: whatever is kept names what it was made of, and is compared before it is used."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from levelfield.data.sources import open_source
from levelfield.records.data import DigitPairsSpec, ImagesSpec, data_content
from levelfield.records.errors import DamagedError, StoreError, UnfinishedError
from levelfield.records.head import LinearHead
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import ProbeDirectory
from levelfield.records.sealed import write_record
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.backbones import backbone_at, model_at
from levelfield.study.execute.finetune import finetune, finetune_spec
from levelfield.study.execute.probe import run_probe
from levelfield.study.execute.trial import run_trial
from levelfield.study.outcome.fixed import fix
from levelfield.study.outcome.outcome import read_outcome
from levelfield.study.plan.plan import plan
from levelfield.study.plan.recipes import preset
from levelfield.study.run import run_study, study_facts
from levelfield.study.spec_file import load_study
from levelfield.transfer.features import features_of
from tests.narrowed import present
from tests.study.pictures import FOLDER_STUDY, write_folder

CPU = torch.device("cpu")
CHANGED = "its data was changed: it was run on "


class Killed(Exception):
    """Stands for a crash right after a step."""


def killed_at(step: int):
    def kill(report):
        if report.step == step:
            raise Killed

    return kill


def pictures(path: Path, seed: int = 0) -> ImagesSpec:
    write_folder(path, seed=seed)
    return ImagesSpec(path=str(path), resolution=8, select_examples=6, report_examples=6)


def trial(data, **changes) -> TrialSpec:
    source = open_source(data)
    spec = TrialSpec(
        architecture="vit:w8-d1-p4",
        data=data,
        recipe=preset("vit-short", peak_lr=0.01, override={"ema_fraction": 0.3}),
        head=LinearHead(num_outputs=present(source.fields.num_classes)),
        budget_flops=1e8,
        global_batch_size=4,
        steps=5,
        data_content=data_content(data, source.fingerprint),
    )
    return dataclasses.replace(spec, **changes)


@pytest.fixture
def finished(tmp_path) -> TrialDirectory:
    """A finished trial on pictures that has kept its weights."""
    spec = trial(pictures(tmp_path / "images"))
    directory = StudyDirectory(tmp_path / "study").trial(spec)
    run_trial(spec, directory, open_source(spec.data), device=CPU, keeps_weights=True)
    return directory


# Fine-tuning and probes by the command line, in the directories that they choose themselves


FINETUNE = ("--resolution", 8, "--select", 6, "--report", 6, "--length", "4 steps", "--batch", 4, "--device", "cpu")


def test_fine_tuning_on_other_pictures_gives_their_own_answer(finished, tmp_path, monkeypatch, invoke):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("A", 1), ("B", 2)):
        write_folder(tmp_path / name, seed=seed)
    first, second = (
        json.loads(invoke("finetune", finished.path, "--data", name, *FINETUNE, "--json")[1]) for name in "AB"
    )
    fresh = invoke("finetune", finished.path, "--data", "B", *FINETUNE, "--json", "--dir", tmp_path / "fresh")
    assert second == json.loads(fresh[1])
    assert second["held_out"] != first["held_out"]
    assert second["data_fingerprint"] != first["data_fingerprint"]
    again = invoke("finetune", finished.path, "--data", "A", *FINETUNE, "--json")
    assert json.loads(again[1]) == first


def test_a_directory_of_fine_tuning_on_other_pictures_is_refused_and_says_that_it_is_the_data(
    finished, tmp_path, invoke
):
    for name, seed in (("A", 1), ("B", 2)):
        write_folder(tmp_path / name, seed=seed)
    command = (*FINETUNE, "--dir", tmp_path / "run")
    assert invoke("finetune", finished.path, "--data", tmp_path / "A", *command)[0] == 0
    code, _, error = invoke("finetune", finished.path, "--data", tmp_path / "B", *command)
    assert code == 1
    assert CHANGED in error


def test_a_probe_of_other_pictures_gives_their_own_answer(finished, tmp_path, monkeypatch, invoke):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "A", seed=1)
    write_folder(tmp_path / "B", seed=2)
    shutil.copytree(tmp_path / "B" / "dog", tmp_path / "B" / "emu")
    said = ("--resolution", 8, "--select", 6, "--report", 6, "--probes", "knn", "--json", "--device", "cpu")
    first, second = (json.loads(invoke("probe", finished.path, "--data", name, *said)[1]) for name in "AB")
    assert (first["chance_top1"], second["chance_top1"]) == (1 / 2, 1 / 3)
    fresh = invoke("probe", finished.path, "--data", "B", *said, "--dir", "fresh")
    assert json.loads(fresh[1]) == second


# What was begun is not gone on with on other pictures


def test_a_start_that_was_trained_to_other_weights_since_is_another_start(finished, tmp_path):
    """As a trial of the same name, trained on another device, would have them."""
    backbone, data = backbone_at(finished.path, device=CPU), pictures(tmp_path / "target", seed=3)
    moved = {name: tensor + 1e-6 for name, tensor in backbone.state.items()}
    other, source = dataclasses.replace(backbone, state=moved), open_source(data)
    spec = finetune_spec(backbone, data, source, recipe="short-sgd", length="4 steps", global_batch_size=4)
    tune = partial(finetune, spec, source=source, device=CPU, checkpoint_seconds=0)
    with pytest.raises(Killed):
        tune(backbone, path=tmp_path / "cut", on_step=killed_at(2))
    tune(backbone, path=tmp_path / "whole")
    for path in ("cut", "whole"):
        with pytest.raises(StoreError, match="what it starts from was changed"):
            tune(other, path=tmp_path / path)
    probe = ProbeSpec(
        architecture=backbone.facts.architecture,
        start=backbone.identity,
        data=data,
        data_content=source.fingerprint,
        probes=("knn",),
    )
    look = partial(run_probe, probe, ProbeDirectory(tmp_path / "probe"), source, device=CPU)
    look(backbone, features_folder=tmp_path / "features")
    with pytest.raises(StoreError, match="what it starts from was changed"):
        look(other, features_folder=tmp_path / "features")


def test_one_picture_in_another_class_between_kill_and_resume_of_a_fine_tuning_is_refused(finished, tmp_path):
    backbone, data = backbone_at(finished.path, device=CPU), pictures(tmp_path / "target", seed=3)

    def tune(**more):
        source = open_source(data)
        spec = finetune_spec(backbone, data, source, recipe="short-sgd", length="4 steps", global_batch_size=4)
        return finetune(spec, backbone, source, tmp_path / "run", device=CPU, checkpoint_seconds=0, **more)

    with pytest.raises(Killed):
        tune(on_step=killed_at(2))
    moved = tmp_path / "target" / "cat" / "3.png"
    moved.rename(tmp_path / "target" / "dog" / "moved.png")
    with pytest.raises(StoreError, match=CHANGED):
        tune()
    (tmp_path / "target" / "dog" / "moved.png").rename(moved)
    assert tune().status == "finished"


def test_a_study_cut_in_its_first_trial_refuses_other_pictures(tmp_path):
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "pictures.toml").write_text(FOLDER_STUDY)
    spec, study = load_study(tmp_path / "pictures.toml"), StudyDirectory(tmp_path / "study")
    with pytest.raises(UnfinishedError):
        run_study(spec, study.path, device="cpu", seconds=0)
    facts = study_facts(spec)
    first = plan(spec, facts, {}).trials[0].spec
    source = open_source(spec.data)
    with pytest.raises(Killed):
        run_trial(first, study.trial(first), source, device=CPU, checkpoint_seconds=0, on_step=killed_at(2))
    assert study.results() == {}
    shutil.rmtree(tmp_path / "images")
    write_folder(tmp_path / "images", seed=1)
    with pytest.raises(StoreError, match=r"was begun on other data: its data was changed: .*48 to train on, 2 classes"):
        run_study(spec, study.path, device="cpu", seconds=0)
    shutil.rmtree(tmp_path / "images")
    write_folder(tmp_path / "images", seed=0)
    with pytest.raises(UnfinishedError):
        run_study(spec, study.path, device="cpu", seconds=0)


def test_a_study_of_the_same_name_on_other_data_is_refused_with_what_differs(tmp_path):
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "pictures.toml").write_text(FOLDER_STUDY)
    spec, study = load_study(tmp_path / "pictures.toml"), StudyDirectory(tmp_path / "study")
    with pytest.raises(UnfinishedError):
        run_study(spec, study.path, device="cpu", seconds=0)
    study.trial(first := plan(spec, study_facts(spec), {}).trials[0].spec).open(first)
    other = dataclasses.replace(spec, data=dataclasses.replace(spec.data, select_examples=8))
    with pytest.raises(StoreError, match=r"data\.select_examples was 6, is 8"):
        run_study(other, study.path, device="cpu", seconds=0)
    drawn = dataclasses.replace(spec, data=DigitPairsSpec())
    with pytest.raises(StoreError, match="its data was images, is digit-pairs"):
        run_study(drawn, study.path, device="cpu", seconds=0)


@pytest.mark.parametrize("left", [None, b"{"])
def test_a_study_that_has_lost_its_spec_gets_it_back_on_the_same_data_alone(tmp_path, left):
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "pictures.toml").write_text(FOLDER_STUDY)
    spec, study = load_study(tmp_path / "pictures.toml"), StudyDirectory(tmp_path / "study")
    with pytest.raises(UnfinishedError):
        run_study(spec, study.path, device="cpu", seconds=0)
    study.trial(first := plan(spec, study_facts(spec), {}).trials[0].spec).open(first)
    study.spec_path.unlink()
    if left is not None:
        study.spec_path.write_bytes(left)
    (tmp_path / "images").rename(tmp_path / "kept")
    write_folder(tmp_path / "images", seed=1)
    with pytest.raises(StoreError, match=f"was begun on other data: {CHANGED}"):
        run_study(spec, study.path, device="cpu", seconds=0)
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "kept").rename(tmp_path / "images")
    with pytest.raises(UnfinishedError):
        run_study(spec, study.path, device="cpu", seconds=0)
    assert study.spec() == spec


def test_a_worker_compares_again_what_the_plan_has_seen(tmp_path):
    spec = trial(pictures(tmp_path / "images"))
    (tmp_path / "images" / "cat" / "0.png").rename(tmp_path / "images" / "dog" / "moved.png")
    directory = TrialDirectory(tmp_path / "trial")
    with pytest.raises(StoreError, match=CHANGED):
        run_trial(spec, directory, open_source(spec.data), device=CPU)
    assert not directory.path.exists()


# Files of one trial in the directory of another


@pytest.fixture
def two(finished, tmp_path) -> tuple[TrialDirectory, TrialDirectory]:
    """Finished trials of other seeds on the same pictures."""
    spec = trial(ImagesSpec(path=str(tmp_path / "images"), resolution=8, select_examples=6, report_examples=6), seed=1)
    other = StudyDirectory(tmp_path / "study").trial(spec)
    run_trial(spec, other, open_source(spec.data), device=CPU, keeps_weights=True)
    return finished, other


def test_the_result_of_another_trial_is_refused(two, tmp_path):
    shutil.copy(two[0].path / "result.json", two[1].path / "result.json")
    for read in (
        two[1].result,
        StudyDirectory(tmp_path / "study").results,
        lambda: backbone_at(two[1].path, device=CPU),
    ):
        with pytest.raises(DamagedError, match=r"result\.json is of trial .*, spec\.json beside it of"):
            read()


@pytest.mark.parametrize("read", [backbone_at, model_at])
def test_the_weights_of_another_trial_are_refused(two, read):
    shutil.copy(two[0].weights_path, two[1].weights_path)
    with pytest.raises(DamagedError, match="holds other weights than this trial's: they are of trial"):
        read(two[1].path, device=CPU)


def test_weights_that_only_say_that_they_are_the_trials_are_refused(two):
    own, other = (directory.weights_path.read_bytes() for directory in two)
    size = int.from_bytes(own[:8], "little") + 8  # the header, in front of the numbers
    two[0].weights_path.write_bytes(own[:size] + other[size:])
    with pytest.raises(DamagedError, match="their numbers are not those that the trial was judged by"):
        backbone_at(two[0].path, device=CPU)


def test_a_checkpoint_of_another_trial_is_refused(finished, tmp_path):
    data = ImagesSpec(path=str(tmp_path / "images"), resolution=8, select_examples=6, report_examples=6)
    source = open_source(data)
    one, other = (TrialDirectory(tmp_path / name) for name in ("one", "other"))
    for directory, seed in ((one, 2), (other, 3)):
        spec = trial(data, seed=seed)
        with pytest.raises(Killed):
            run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, on_step=killed_at(3))
    for path in (one.path / "attempts/0001/checkpoints").iterdir():
        shutil.copy(path, other.path / "attempts/0001/checkpoints")
    with pytest.raises(DamagedError, match="is a checkpoint of another trial"):
        run_trial(trial(data, seed=3), other, source, device=CPU)


def test_half_made_weights_of_another_trial_are_no_weights_of_this_one(two):
    shutil.copytree(two[0].path, two[1].path / "again")
    two[1].weights_path.unlink()
    with pytest.raises(StoreError, match=r"holds another trial .*: seed was 0, is 1"):
        backbone_at(two[1].path, device=CPU)


# Data that changes behind what was kept


def test_a_trial_is_not_judged_on_other_data_than_its_own(finished, tmp_path, invoke):
    code, out, _ = invoke("evaluate", finished.path, "--json")
    result = finished.result()
    assert code == 0
    assert result is not None
    assert json.loads(out)["data"] == result.data_fingerprint
    assert json.loads(out)["weights"] == result.weights_digest
    (tmp_path / "images" / "cat" / "0.png").rename(tmp_path / "images" / "dog" / "moved.png")
    code, _, error = invoke("evaluate", finished.path)
    assert code == 1
    assert CHANGED in error


def test_classes_keep_the_names_that_the_network_was_trained_with(finished, tmp_path):
    (tmp_path / "images" / "dog").rename(tmp_path / "images" / "bee")
    assert model_at(finished.path, device=CPU).classes == ("cat", "dog")


def test_what_is_drawn_is_compared_too(tmp_path):
    """A version of the library that draws other pictures has a source of another fingerprint, and an equal spec."""
    data = DigitPairsSpec(resolution=8, select_examples=16, report_examples=16)
    spec, directory, source = trial(data), TrialDirectory(tmp_path / "trial"), open_source(data)
    with pytest.raises(Killed):
        run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, on_step=killed_at(2))
    source.fingerprint = "drawn otherwise"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(StoreError, match="now there is drawn otherwise"):
        run_trial(spec, directory, source, device=CPU)


def test_features_of_something_else_under_the_right_name_are_computed_again(finished, tmp_path, caplog):
    backbone, data = backbone_at(finished.path, device=CPU), pictures(tmp_path / "target", seed=3)
    source = open_source(data)
    spec = ProbeSpec(
        architecture=backbone.facts.architecture,
        start=backbone.identity,
        data=data,
        data_content=source.fingerprint,
        probes=("knn",),
    )
    folder = tmp_path / "features"
    train, report = (
        features_of(spec, backbone, source, split, folder=folder, device=CPU) for split in ("train", "report")
    )
    one, other = sorted(folder.iterdir())
    one.write_bytes(other.read_bytes())
    again = [features_of(spec, backbone, source, split, folder=folder, device=CPU) for split in ("train", "report")]
    assert "was kept for something else" in caplog.text
    assert np.array_equal(again[0].x, train.x)
    assert np.array_equal(again[1].x, report.x)


def test_a_probe_is_read_back_on_its_own_data_alone(finished, tmp_path):
    backbone, data = backbone_at(finished.path, device=CPU), pictures(tmp_path / "target", seed=3)
    source = open_source(data)
    spec = ProbeSpec(
        architecture=backbone.facts.architecture,
        start=backbone.identity,
        data=data,
        data_content=source.fingerprint,
        probes=("knn",),
    )
    directory, features = ProbeDirectory(tmp_path / "probe"), tmp_path / "features"
    first = run_probe(spec, directory, source, backbone, features_folder=features, device=CPU)
    assert run_probe(spec, directory, source, backbone, features_folder=features, device=CPU) == first
    (tmp_path / "target" / "cat" / "0.png").rename(tmp_path / "target" / "dog" / "moved.png")
    with pytest.raises(StoreError, match=CHANGED):
        run_probe(spec, directory, open_source(data), backbone, features_folder=features, device=CPU)


def test_a_probe_of_what_is_drawn_is_compared_too(tmp_path):
    """As for trials: the spec says it all, and the library may draw otherwise."""
    drawn = DigitPairsSpec(resolution=8, select_examples=16, report_examples=16, stream_examples=64)
    spec, directory = trial(drawn), TrialDirectory(tmp_path / "trial")
    run_trial(spec, directory, open_source(drawn), device=CPU, keeps_weights=True)
    backbone, source = backbone_at(directory.path, device=CPU), open_source(drawn)
    probe = ProbeSpec(architecture=backbone.facts.architecture, start=backbone.identity, data=drawn, probes=("knn",))
    run = partial(run_probe, probe, ProbeDirectory(tmp_path / "probe"), source, backbone)
    done = run(features_folder=tmp_path / "features", device=CPU)
    assert run(features_folder=tmp_path / "features", device=CPU) == done
    source.fingerprint = "drawn otherwise"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(StoreError, match="now there is drawn otherwise"):
        run(features_folder=tmp_path / "features", device=CPU)


@pytest.mark.slow
def test_a_study_whose_facts_are_of_other_data_than_its_results_is_not_shown(tmp_path):
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "pictures.toml").write_text(FOLDER_STUDY)
    spec, study = load_study(tmp_path / "pictures.toml"), StudyDirectory(tmp_path / "study")
    facts = study_facts(spec)
    first = plan(spec, facts, {}).trials[0].spec
    run_trial(first, study.trial(first), open_source(spec.data), device=CPU)
    fix(study, spec, num_results=0)
    with pytest.raises(UnfinishedError):
        run_study(spec, study.path, device="cpu", seconds=0)
    assert read_outcome(study.path).results
    held = study.trial(first).result()
    assert held is not None
    write_record(study.trial(first).path / "result.json", dataclasses.replace(held, data_fingerprint="0" * 32))
    with pytest.raises(StoreError, match=CHANGED + "0000"):
        read_outcome(study.path)
