"""Speeds are kept by all that they depend on, and nothing kept is believed that is not just what was written."""

import dataclasses
import os

import pytest

from levelfield.study.bill.kept_speeds import KeptDataSpeed, KeptNetworkSpeed, keep, known_data, known_network
from levelfield.study.bill.speed import (
    Conditions,
    DataSpeed,
    NetworkSpeed,
    rendering_of,
    shape_of,
)
from levelfield.study.plan.plan import plan
from tests.study.simulated import FACTS, study

TRIAL = plan(study(), FACTS, {}).trials[0].spec
SHAPE, RENDERING = shape_of(TRIAL, FACTS), rendering_of(TRIAL, FACTS)
HERE = Conditions(
    device="CPU X", torch_version="2.15", engine="plain", engine_version=None, threads=1, levelfield_version="0.1"
)
FAST = NetworkSpeed(step_seconds=0.25, evaluate_seconds=1e-4)
DATA = DataSpeed(
    train_seconds=1e-5,
    train_decode_seconds=0.0,
    held_seconds=1e-5,
    held_decode_seconds=0.0,
    kept=1.0,
    start_seconds=1.5,
    around_seconds=0.05,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speeds"


def kept_file(folder):
    keep(KeptNetworkSpeed(conditions=HERE, of=SHAPE, speed=FAST))
    (path,) = folder.iterdir()
    return path


def test_what_was_measured_is_known_again(folder):
    assert known_network(HERE, SHAPE) is None
    keep(KeptNetworkSpeed(conditions=HERE, of=SHAPE, speed=FAST))
    keep(KeptDataSpeed(conditions=HERE, of=RENDERING, speed=DATA))
    assert known_network(HERE, SHAPE) == FAST
    assert known_data(HERE, RENDERING) == DATA


@pytest.mark.parametrize(
    "changed",
    [
        {"device": "CPU Y"},
        {"torch_version": "2.16"},
        {"engine": "lean"},
        {"engine_version": "abc"},
        {"threads": 2},
        {"levelfield_version": "0.2"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_under_other_conditions_nothing_is_known(changed, folder):
    kept_file(folder)
    assert known_network(dataclasses.replace(HERE, **changed), SHAPE) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"architecture": "vit:w16-d2-p8"},
        {"resolution": 64},
        {"dtype": "bfloat16"},
        {"global_batch_size": 2 * SHAPE.global_batch_size},
        {"recipe": dataclasses.replace(SHAPE.recipe, sam_rho=0.05)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_of_another_shape_nothing_is_known(changed, folder):
    kept_file(folder)
    assert known_network(HERE, dataclasses.replace(SHAPE, **changed)) is None


def test_trials_that_differ_in_rate_or_seed_or_length_are_of_one_shape():
    recipe = dataclasses.replace(TRIAL.recipe, peak_lr=TRIAL.recipe.peak_lr / 2)
    other = dataclasses.replace(TRIAL, recipe=recipe, seed=7, steps=TRIAL.steps + 1, held_out="report")
    assert shape_of(other, FACTS) == SHAPE


def test_a_file_cut_short_anywhere_is_not_believed_and_is_replaced(folder):
    path = kept_file(folder)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        assert known_network(HERE, SHAPE) is None
    keep(KeptNetworkSpeed(conditions=HERE, of=SHAPE, speed=FAST))
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b'{"seal": "0"}', b"NaN", b"[" * 9999])
def test_a_file_of_another_making_is_not_believed_and_is_replaced(content, folder):
    path = kept_file(folder)
    path.write_bytes(content)
    assert known_network(HERE, SHAPE) is None
    keep(KeptNetworkSpeed(conditions=HERE, of=SHAPE, speed=FAST))
    assert known_network(HERE, SHAPE) == FAST


def test_the_speed_of_another_key_under_this_name_is_not_believed(folder):
    path = kept_file(folder)
    other = dataclasses.replace(SHAPE, resolution=64)
    keep(KeptNetworkSpeed(conditions=HERE, of=other, speed=FAST))
    (theirs,) = set(folder.iterdir()) - {path}
    os.replace(theirs, path)
    assert known_network(HERE, SHAPE) is None


def test_a_number_changed_by_hand_is_not_believed(folder):
    path = kept_file(folder)
    path.write_text(path.read_text().replace("0.25", "0.5"))
    assert known_network(HERE, SHAPE) is None


def test_a_place_that_cannot_be_written_keeps_nothing_and_stops_nobody(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where a folder should be")
    for place in (str(tmp_path / "cache"), ""):
        monkeypatch.setenv("LEVELFIELD_CACHE", place)
        keep(KeptNetworkSpeed(conditions=HERE, of=SHAPE, speed=FAST))
        assert known_network(HERE, SHAPE) is None


def test_a_folder_in_the_place_of_a_file_stops_nobody(folder):
    path = kept_file(folder)
    path.unlink()
    path.mkdir()
    assert known_network(HERE, SHAPE) is None
    keep(KeptNetworkSpeed(conditions=HERE, of=SHAPE, speed=FAST))
