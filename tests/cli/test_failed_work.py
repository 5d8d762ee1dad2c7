"""Work of which nothing came does not end as a success, and says what to do."""

from __future__ import annotations

import json

import pytest
import torch

from levelfield.families import registry
from levelfield.weights.card import Card
from levelfield.weights.loaded import LoadedModel
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.write import save_safetensors
from tests.conftest import one_complaint, run
from tests.study.pictures import FOLDER_STUDY, write_folder


@pytest.fixture
def start(tmp_path):
    """The first words of a command on a small network and some pictures; ``scale`` multiplies its weights."""

    def words(verb, *, scale=1.0):
        torch.manual_seed(0)
        model = registry.build("vit:w8-d1-p4", num_outputs=2, resolution=8)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(scale)
        card = Card.of(
            "vit:w8-d1-p4", resolution=8, num_outputs=2, in_channels=3, classes=("cat", "dog"), source="a test",
            preprocessing=Preprocessing(resolution=8, mean=(0.5,) * 3, std=(0.2,) * 3),
        )  # fmt: skip
        save_safetensors(LoadedModel(model=model, card=card), tmp_path / "net.safetensors")
        if not (tmp_path / "images").exists():
            write_folder(tmp_path / "images", seed=0)
        data = ("--data", tmp_path / "images", "--resolution", 8, "--select", 6, "--report", 6)
        return (verb, tmp_path / "net.safetensors", *data, "--dir", tmp_path / "out")

    return words


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--lr", "1e30", "--length", "50 steps"), "gradient norm"),
        # The last update does it, which no training loss has seen.
        (("--lr", "1e30", "--set", "weight_decay=1e12", "--length", "1 steps"), "held-out loss"),
    ],
)
def test_a_fine_tuning_that_diverges_is_no_success(options, reason, start, invoke):
    command = (*start("finetune"), "--batch", 8, *options)
    code, out, error = invoke(*command)
    assert code == 1
    assert "has diverged: " in error
    assert reason in error
    assert "try a lower --lr" in error
    assert "top-1" not in out
    code, out, error = invoke(*command, "--json")  # read back, it is none either
    assert (code, json.loads(out)["status"]) == (1, "diverged")
    assert not list((start("finetune")[-1]).glob("*.safetensors"))


def test_features_that_overflow_are_refused(start, invoke):
    code, _, error = invoke(*start("probe", scale=1e30))
    assert code == 2
    assert "are not finite: the weights overflow" in error


@pytest.mark.slow
def test_a_study_whose_every_trial_diverges_is_no_success(tmp_path):
    write_folder(tmp_path / "images", seed=0)
    decayed = "override = { weight_decay = 1e30 }\nbase_lr = { low = 1e4, start = 1e4, high = 1e4 }"
    text = FOLDER_STUDY.replace("base_lr = { low = 0.01, start = 0.01, high = 0.01 }", decayed)
    assert decayed in text
    (tmp_path / "pictures.toml").write_text(text)
    for _ in range(2):
        said = one_complaint(run("run", tmp_path / "pictures.toml", "--dir", tmp_path / "out"), 1)
        assert "trials diverged" in said
        assert "lower rates (base_lr)" in said
