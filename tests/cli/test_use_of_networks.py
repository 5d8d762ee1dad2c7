"""``classify`` and ``evaluate`` as a user runs them: own pictures, damaged ones, trials, weights of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from levelfield.data.decode import decode
from levelfield.families import registry
from levelfield.records.sealed import read_record
from levelfield.records.trial import TrialResult
from levelfield.weights.card import Card
from levelfield.weights.loaded import LoadedModel
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.write import save_safetensors
from tests.study.pictures import FOLDER_STUDY, write_folder

CLASSES = ("dog", "owl", "cat")  # not in the order of the folders


@pytest.fixture
def weights(tmp_path: Path) -> tuple[Path, LoadedModel]:
    """A random network fed in timm's manner: centre crops of what was resized to more."""
    torch.manual_seed(0)
    model = registry.build("nfnet:w8-d1x1", num_outputs=3, resolution=16).eval()
    with torch.no_grad():
        model.head.weight.normal_()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    fed = Preprocessing(resolution=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), crop_pct=0.8)
    card = Card.of(
        "nfnet:w8-d1x1",
        resolution=16,
        num_outputs=3,
        in_channels=3,
        preprocessing=fed,
        classes=CLASSES,
        source="a test",
    )
    loaded = LoadedModel(model=model, card=card)
    save_safetensors(loaded, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors", loaded


def by_hand(loaded: LoadedModel, path: Path) -> np.ndarray:
    """The probabilities for one picture, with the network as it was trained."""
    shown = decode(path.read_bytes(), channels=len(loaded.preprocessing.mean))
    with torch.no_grad():
        logits = loaded.model(torch.from_numpy(loaded.preprocessing.apply(shown))[None])
    return logits[0].softmax(0).numpy()


def test_pictures_are_classified_and_a_damaged_one_costs_no_other(weights, tmp_path, invoke) -> None:
    path, loaded = weights
    write_folder(tmp_path / "mine", seed=0, count=70, side=24)  # more than a batch
    (tmp_path / "mine" / "cat" / "5.png").write_bytes(b"no picture")
    code, out, error = invoke("classify", path, tmp_path / "mine", "--json", "--top", "2")
    assert code == 2
    assert "1 of 140 pictures cannot be read; the others are above:" in error
    assert "cat/5.png (no picture that is known here" in error
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 139
    for each in (found[0], found[77], found[-1]):
        wanted = by_hand(loaded, Path(each["picture"]))
        assert [guess["label"] for guess in each["guesses"]] == list(np.argsort(-wanted)[:2])
        assert [guess["name"] for guess in each["guesses"]] == [CLASSES[label] for label in np.argsort(-wanted)[:2]]
        assert [guess["probability"] for guess in each["guesses"]] == pytest.approx(np.sort(wanted)[:0:-1], rel=1e-4)


def test_a_single_picture_gets_a_table(weights, tmp_path, invoke) -> None:
    path, _ = weights
    Image.new("L", (40, 30), 99).save(tmp_path / "grey.jpg")
    code, out, _ = invoke("classify", path, tmp_path / "grey.jpg")
    assert code == 0
    assert out.count("%") == 3, "three classes are all there are"
    assert "grey.jpg\t1\t" in out


def test_what_systems_leave_in_a_folder_is_passed_over_as_in_class_folders(weights, tmp_path, invoke) -> None:
    path, _ = weights
    (tmp_path / "mine" / "__MACOSX").mkdir(parents=True)
    Image.new("RGB", (20, 20), 99).save(tmp_path / "mine" / "a.png")
    for name in ("._a.png", "__MACOSX/a.png"):
        (tmp_path / "mine" / name).write_bytes(b"no picture")
    code, out, error = invoke("classify", path, tmp_path / "mine", "--json")
    assert (code, error) == (0, "")
    assert [json.loads(line)["picture"] for line in out.splitlines()] == [str(tmp_path / "mine" / "a.png")]


def test_a_file_that_is_no_picture_is_named(weights, tmp_path, invoke) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    code, _, error = invoke("classify", weights[0], tmp_path / "notes.txt")
    assert code == 2
    assert "1 of 1 pictures cannot be read:\n" in error
    assert "notes.txt (no picture that is known here" in error


@pytest.mark.parametrize(
    ("places", "message"),
    [(("nowhere.jpg",), "no picture at nowhere.jpg"), (("empty",), "empty holds no images: expected files that end")],
)
def test_places_without_pictures_are_refused(places, message, weights, tmp_path, invoke, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, out, error = invoke("classify", weights[0], *places)
    assert (code, out) == (2, "")
    assert message in error


def test_labelled_pictures_are_judged_by_the_names_of_their_classes(weights, tmp_path, invoke) -> None:
    path, loaded = weights
    write_folder(tmp_path / "mine", seed=1, count=40, side=24)
    (tmp_path / "mine" / "dog" / "3.png").write_bytes(b"no picture")
    code, out, error = invoke("evaluate", path, "--data", tmp_path / "mine", "--out", tmp_path / "scores", "--json")
    assert code == 2
    assert "1 of 80 images cannot be read; the others are judged above:" in error
    assert "dog/3.png (no picture that is known here" in error
    found = json.loads(out)
    pictures = [
        place for place in sorted((tmp_path / "mine").rglob("*.png")) if place.name != "3.png" or "cat" in place.parts
    ]
    wanted = {place: by_hand(loaded, place) for place in pictures}
    own = {place: CLASSES.index(place.parent.name) for place in pictures}
    assert found["num_images"] == len(pictures) == 79
    hits = [int(wanted[place].argmax()) == own[place] for place in pictures]
    assert found["top1"]["estimate"] == pytest.approx(np.mean(hits))
    assert found["loss"]["estimate"] == pytest.approx(-np.mean([np.log(wanted[p][own[p]]) for p in pictures]), rel=1e-4)
    assert [each["num_images"] for each in found["classes"]] == [39, 0, 40]
    assert found["top5"] is None, "of three classes it would say nothing"
    assert json.loads((tmp_path / "scores" / "evaluation.json").read_text()) == found
    assert (tmp_path / "scores" / "classes.csv").read_text().splitlines()[0] == "label,name,num_images,recall,precision"
    for name in ("confusion", "reliability"):
        assert (tmp_path / "scores" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (tmp_path / "scores" / f"{name}.svg").read_text()


@pytest.mark.parametrize("verb", [("classify",), ("evaluate", "--data")])
def test_a_network_that_overflows_is_refused_and_not_scored(verb, weights, tmp_path, invoke) -> None:
    _, loaded = weights
    with torch.no_grad():
        loaded.model.head.weight.fill_(3.4e38)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    save_safetensors(loaded, tmp_path / "large.safetensors")
    write_folder(tmp_path / "mine", seed=1, count=2)
    before, *flag = verb
    code, out, error = invoke(before, tmp_path / "large.safetensors", *flag, tmp_path / "mine")
    assert (code, out) == (2, "")
    assert "answers 4 of 4 images with numbers that are not finite" in error


def test_classes_that_the_network_does_not_know_are_refused(weights, tmp_path, invoke) -> None:
    write_folder(tmp_path / "mine", seed=1, count=2)
    (tmp_path / "mine" / "cat").rename(tmp_path / "mine" / "yak")
    code, _, error = invoke("evaluate", weights[0], "--data", tmp_path / "mine")
    assert code == 2
    assert "the network has no class 'yak' (known: cat, dog, owl); without a picture in " in error
    code, _, error = invoke("evaluate", weights[0])
    assert (code, "name labelled images by --data" in error) == (2, True)


@pytest.mark.slow
def test_a_trial_is_judged_on_its_own_report_split_as_its_record_says(tmp_path, invoke, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "study.toml").write_text(FOLDER_STUDY)
    assert invoke("run", "study.toml")[0] == 0
    results = {
        path.parent: read_record(TrialResult, path) for path in sorted(tmp_path.glob("runs/*/trials/*/result.json"))
    }
    trial, record = next(
        (place, each.held_out["report"]) for place, each in results.items() if "report" in each.held_out
    )
    code, out, _ = invoke("evaluate", trial, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["num_images"] == record.num_examples == 6
    assert found["top1"]["estimate"] == pytest.approx(1 - record.values["error"])
    assert found["loss"]["estimate"] == pytest.approx(record.values["loss"], rel=1e-5)
    code, out, _ = invoke("classify", trial, tmp_path / "images" / "cat" / "0.png")
    assert code == 0
    assert {line.split("\t")[2] for line in out.splitlines() if "%" in line} == {"cat", "dog"}
    (tmp_path / "images").rename(tmp_path / "gone")
    _, out, _ = invoke("classify", trial, tmp_path / "gone" / "cat" / "0.png")
    assert {line.split("\t")[2] for line in out.splitlines() if "%" in line} == {"cat", "dog"}, "kept with the weights"
