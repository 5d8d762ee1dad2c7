"""Classes, columns and odd networks through the verbs, as a user meets them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from levelfield.families import registry
from levelfield.weights.card import Card
from levelfield.weights.loaded import LoadedModel
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.write import save_safetensors
from tests.hostile.layouts import PALETTE, SIDE, telling


def pictures(root: Path, *names: str, each: int = 3) -> Path:
    """Folders of pictures, the colour of each class its place among ``names``."""
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(each):
            image = Image.new("RGB", (SIDE, SIDE), tuple(PALETTE[label].tolist()))
            image.putpixel((0, 0), tuple((PALETTE[label] + number).tolist()))  # no two alike
            image.save(root / name / f"{number}.png")
    return root


def network(path: Path, *, classes: int, channels: int = 3) -> Path:
    torch.manual_seed(0)
    model: Any = registry.build("vit:w16-d1-p4", num_outputs=classes, resolution=SIDE, in_channels=channels).eval()
    with torch.no_grad():
        model.head.weight.normal_()
    fed = Preprocessing.of_training(resolution=SIDE, in_channels=channels)
    card = Card.of("vit:w16-d1-p4", resolution=SIDE, num_outputs=classes, in_channels=channels, preprocessing=fed)
    save_safetensors(LoadedModel(model=model, card=card), path)
    return path


@pytest.mark.parametrize("spelt", ["{}", "{:02}", "class_{}"])
def test_numbered_folders_meet_numbered_outputs_by_number(spelt, tmp_path, invoke, caplog):
    save_safetensors(telling(range(12), None), tmp_path / "net.safetensors")
    pictures(tmp_path / "mine", *(spelt.format(label) for label in range(12)))
    code, out, _ = invoke("evaluate", tmp_path / "net.safetensors", "--data", tmp_path / "mine", "--json")
    assert (code, json.loads(out)["top1"]["estimate"]) == (0, 1.0)
    assert "matched to the network's outputs by number" in caplog.text


def test_labels_from_one_are_refused_where_outputs_count_from_zero(tmp_path, invoke):
    save_safetensors(telling(range(12), None), tmp_path / "net.safetensors")
    pictures(tmp_path / "mine", *(str(label + 1) for label in range(12)))
    code, _, error = invoke("evaluate", tmp_path / "net.safetensors", "--data", tmp_path / "mine")
    assert code == 2
    assert "the network has no class '12' (it has the numbers 0 to 11; labels count from 0)" in error


@pytest.mark.parametrize("verb", [("classify",), ("evaluate", "--data")])
def test_a_head_of_one_output_is_refused(verb, tmp_path, invoke):
    pictures(tmp_path / "mine", "0")
    before, *flag = verb
    code, out, error = invoke(before, network(tmp_path / "one.safetensors", classes=1), *flag, tmp_path / "mine")
    assert (code, out.strip().startswith("vit")) == (2, False)
    assert "has 1 output, whose softmax is 1 whatever the picture: it tells no classes apart" in error


def test_a_picture_without_agreed_8_bits_is_named_and_not_answered(tmp_path, invoke):
    Image.new("I;16", (SIDE, SIDE), 700).save(tmp_path / "deep.png")
    grey = network(tmp_path / "grey.safetensors", classes=3, channels=1)
    code, _, error = invoke("classify", grey, tmp_path / "deep.png")
    assert code == 2
    assert "convert them to 8 bits a channel" in error


@pytest.fixture
def table(tmp_path: Path) -> Path:
    files = sorted(pictures(tmp_path / "drawn", "a", "b", "c", each=8).rglob("*.png"))
    fine = ["abc".index(file.parent.name) for file in files]
    columns = {"img": [file.read_bytes() for file in files], "fine": fine, "coarse": [label // 2 for label in fine]}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


COLUMNS = ("--image-column", "img", "--label-column", "fine")


def test_columns_are_named_in_every_verb_that_reads_tables_of_pictures(table, tmp_path, invoke):
    start = network(tmp_path / "net.safetensors", classes=3)
    held = ("--resolution", SIDE, "--select", 3, "--report", 4, "--dir", tmp_path / "out")
    verbs = {
        "evaluate": ("evaluate", start, "--data", table),
        "finetune": ("finetune", start, "--data", table, *held, "--length", "2 steps", "--batch", 4),
        "probe": ("probe", start, "--data", table, *held, "--probes", "knn"),
    }
    for command in verbs.values():
        code, _, error = invoke(*command)
        assert (code, "'fine', 'coarse' could each be the column of labels: name it by" in error) == (2, True)
        assert invoke(*command, *COLUMNS)[0] == 0
        code, _, error = invoke(*command[:3], pictures(tmp_path / command[0], "a", "b", "c"), *command[4:], *COLUMNS)
        assert (code, "image_column names a column of a table, and" in error) == (2, True)


def test_of_several_sets_of_weights_every_verb_can_be_told_one(table, tmp_path, invoke, caplog):
    caplog.set_level(logging.CRITICAL)
    model: Any = registry.build("vit:w16-d1-p4", num_outputs=3, resolution=SIDE)
    from levelfield.families.vit.weights import to_timm

    state = to_timm(model)
    torch.save({"state_dict": state, "state_dict_ema": state}, tmp_path / "last.pth")
    said = ("--arch", "vit:w16-d1-p4,pos=learned", *COLUMNS, "--data", table)
    held = ("--resolution", SIDE, "--select", 3, "--report", 4, "--dir", tmp_path / "out")
    for command in (
        ("evaluate", tmp_path / "last.pth", *said),
        ("finetune", tmp_path / "last.pth", *said, *held, "--length", "2 steps", "--batch", 4),
        ("probe", tmp_path / "last.pth", *said, *held, "--probes", "knn"),
        ("classify", tmp_path / "last.pth", tmp_path / "drawn", "--arch", "vit:w16-d1-p4,pos=learned"),
    ):
        code, _, error = invoke(*command)
        assert (code, "several sets of weights, state_dict, state_dict_ema: say which with --key" in error) == (2, True)
        assert invoke(*command, "--key", "state_dict_ema")[0] == 0
