"""``levelfield train``: from a study to a backbone on disk, by a command that resumes."""

import json
import shutil
import signal
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from levelfield.records.store import StudyDirectory
from levelfield.study.outcome.trained import trained_directory
from levelfield.weights.read import load_model
from tests.conftest import levelfield, run
from tests.study.foretelling import FORETOLD, planted


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("train") / "study").path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget", "1e18"), "lies more than 6 decades from the runs"),
        (("--budget", "0"), "budget must be positive training FLOPs"),
        (("--budget", "2e9", "--family", "resnet"), "the study has no family 'resnet' (known: nfnet, vit)"),
    ],
)
def test_what_cannot_be_foretold_is_refused_before_anything_is_written(invoke, study, arguments, message):
    code, _, error = invoke("train", study, *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not (study / "trained").exists()


def test_a_directory_without_a_study_is_refused(invoke, tmp_path):
    code, _, error = invoke("train", tmp_path, "--budget", "1e12")
    assert code == 2
    assert "holds no study" in error


def test_the_bill_says_what_would_be_trained_and_neither_locks_nor_trains(invoke, study):
    code, said, _ = invoke("train", study, "--budget", FORETOLD, "--bill", "--no-calibrate")
    assert code == 0
    assert "NFNet is foretold held-out loss" in said
    assert "which is trained" in said
    assert "0.333 times a run of the largest budget that was searched" in said
    assert not (study / "trained").exists()


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_backbone_which_is_scored_exported_and_used(study, tmp_path):
    copies = [shutil.copytree(study, tmp_path / name) for name in ("whole", "cut")]
    undisturbed = run("train", copies[0], "--budget", FORETOLD, "--no-calibrate")
    assert undisturbed.returncode == 0, undisturbed.stderr
    asked = levelfield("train", copies[1], "--budget", FORETOLD, "--no-calibrate", "--checkpoint-every", "0")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as begun:
        assert begun.stdout is not None
        for line in begun.stdout:
            if line.startswith("step"):
                begun.send_signal(signal.SIGKILL)
                break
    again = run("train", copies[1], "--budget", FORETOLD, "--json", "--no-calibrate")
    assert again.returncode == 0, again.stderr
    answer = json.loads(again.stdout)
    places = [trained_directory(StudyDirectory(copy), FORETOLD, None) for copy in copies]
    results = [place.trial.result() for place in places]
    assert results[0] is not None
    assert results[1] is not None
    assert results[0].weights_digest == results[1].weights_digest, "to the last bit"
    assert (places[0].backbone_path / "model.safetensors").read_bytes() == (
        places[1].backbone_path / "model.safetensors"
    ).read_bytes()

    said = answer["score"]["said"]
    assert answer["inside"] is (said["low"] <= answer["score"]["came"] <= said["high"])
    assert answer["score"]["came"] == results[1].loss("report")
    assert ("inside" if answer["inside"] else "outside") + " the interval" in undisturbed.stdout
    page = (copies[0] / "report.html").read_text()
    assert "Predictions locked in advance" in page

    backbone = places[0].backbone_path
    assert f"levelfield classify {backbone} PICTURES" in undisturbed.stdout
    loaded = load_model(backbone)
    assert loaded.card.train_flops is not None
    assert loaded.model.eval()(torch.zeros(1, 1, 16, 16)).shape == (1, 100)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "dark.png")
    classified = run("classify", backbone, tmp_path / "dark.png")
    assert classified.returncode == 0, classified.stderr


@pytest.mark.slow
def test_a_vision_transformer_that_was_trained_is_loaded_by_timm(study, tmp_path):
    timm = pytest.importorskip("timm")
    copy = shutil.copytree(study, tmp_path / "study")
    done = run("train", copy, "--budget", 1e9, "--family", "vit", "--json", "--no-calibrate")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["timm"]
    network = timm.create_model(f"local-dir:{answer['backbone']}", pretrained=True).eval()
    ours = load_model(StudyDirectory(copy).path / "trained" / "1e+09-vit" / "backbone").model.eval()
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(images), ours(images), rtol=1e-4, atol=1e-5)
