"""Checkpoints under fire: torn files, leftovers, a full disk."""

import logging

import pytest
import torch

from levelfield.records.errors import DamagedError, StoreError
from levelfield.train.checkpoint import CheckpointFolder
from tests.narrowed import present


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints", trial="a trial", data="its data")


def test_the_latest_checkpoint_comes_back_bit_for_bit(folder):
    weights = torch.randn(100)
    folder.save(1, {"step": 1, "weights": torch.zeros(100)})
    folder.save(2, {"step": 2, "weights": weights})
    loaded = folder.load_latest()
    assert loaded["step"] == 2
    assert torch.equal(loaded["weights"], weights)


def test_two_are_kept(folder):
    for step in range(5):
        folder.save(step, {"step": step})
    assert sorted(path.name for path in folder.path.iterdir()) == ["step_0000000003.ckpt", "step_0000000004.ckpt"]


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_a_torn_checkpoint_falls_back_to_the_one_before(folder, damage, caplog):
    folder.save(1, {"step": 1, "weights": torch.zeros(1000)})
    folder.save(2, {"step": 2, "weights": torch.zeros(1000)})
    newest = folder.path / "step_0000000002.ckpt"
    content = bytearray(newest.read_bytes())
    if damage == "one bit":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": content[: len(content) // 2], "one bit": content, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert folder.load_latest()["step"] == 1
    assert "torn" in caplog.text


def test_a_half_written_temporary_file_is_no_checkpoint(folder):
    folder.save(1, {"step": 1})
    (folder.path / ".step_0000000002.ckpt.tmp").write_bytes(b"half")
    assert folder.load_latest()["step"] == 1


@pytest.mark.parametrize(
    ("made_of", "message"),
    [
        ({"trial": "another", "data": "its data"}, r"a checkpoint of another trial \(a trial, not another\)"),
        ({"trial": "a trial", "data": "its data", "start": "b"}, "it began with weights none, now there are b"),
        ({"trial": "a trial", "data": "others"}, "its data was changed: it was run on its data, now there is others"),
    ],
)
def test_a_checkpoint_of_another_trial_or_of_other_data_is_no_place_to_go_on_from(folder, made_of, message):
    folder.save(1, {"step": 1})
    with pytest.raises((DamagedError, StoreError), match=message):
        CheckpointFolder(folder.path, **made_of).load_latest()


def test_no_checkpoint_is_none(folder):
    assert folder.load_latest() is None


def test_the_newest_of_all_attempts_is_taken_and_those_of_others_are_left_to_them(folder, tmp_path):
    folder.save(1, {"step": 1})
    folder.save(2, {"step": 2})
    later = CheckpointFolder(tmp_path / "later", trial="a trial", data="its data", earlier=[folder.path])
    assert present(later.load_latest())["step"] == 2
    later.save(3, {"step": 3})
    later.save(4, {"step": 4})
    later.save(5, {"step": 5})
    assert present(later.load_latest())["step"] == 5
    assert len(list(later.path.iterdir())) == len(list(folder.path.iterdir())) == 2


def test_an_attempt_whose_folder_was_collected_makes_none_anew(tmp_path):
    gone = CheckpointFolder(tmp_path / "attempt" / "checkpoints", trial="a trial", data="its data")
    with pytest.raises(StoreError, match="cannot make the directory"):
        gone.save(1, {"step": 1})
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_says_where_and_keeps_the_last(folder, monkeypatch):
    folder.save(1, {"step": 1})

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(StoreError, match=r"step_0000000002.ckpt: No space left on device"):
        folder.save(2, {"step": 2})
    monkeypatch.undo()
    assert folder.load_latest()["step"] == 1
