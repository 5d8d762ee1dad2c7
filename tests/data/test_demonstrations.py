"""Episodes of a robot: written and read back to the bit, drawn whole into splits, refused where they are unclear."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from levelfield.cli import main
from levelfield.data.arranged import training_order
from levelfield.data.ingest.demonstrations import DemonstrationsSaid, demonstrations_at
from levelfield.data.ingest.lerobot import INFO
from levelfield.data.ingest.lerobot_writer import CAMERA, Episode, Recording, write_lerobot
from levelfield.data.sources import open_source
from levelfield.data.sources.demonstrations import DemonstrationSource
from levelfield.records.data import DemonstrationsSpec, data_identity
from levelfield.records.errors import DataError, SpecError, StoreError
from levelfield.records.stretches import FewStretches
from levelfield.testing.sources import check_source

SIDE, FRAMES = 12, "data/chunk-000/file-000.parquet"
RECORDING = Recording(robot="arm", task="reach", fps=25, state_names=("x", "y", "z"), action_names=("u", "v"))


def acted(lengths=(5, 7, 4, 9, 6, 5), seed=0) -> list[Episode]:
    drawn = np.random.default_rng(seed)
    return [
        Episode(
            drawn.integers(0, 256, (length, SIDE, SIDE, 3), dtype=np.uint8),
            drawn.normal(size=(length, 3)).astype(np.float32),
            drawn.normal(size=(length, 2)).astype(np.float32),
        )
        for length in lengths
    ]


def source_at(path: Path, **more) -> DemonstrationSource:
    said = {"resolution": SIDE, "select_episodes": 1, "report_episodes": 2, "chunk": 4, "augment": "none", **more}
    source = open_source(DemonstrationsSpec(path=str(path), **said))
    assert isinstance(source, DemonstrationSource)
    return source


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("demonstrations") / "arm"
    assert write_lerobot(path, RECORDING, acted()) == 36
    return path


def copied(folder: Path, tmp_path: Path, change) -> Path:
    """A copy of ``folder``, its frames and what it says of itself changed."""
    path = tmp_path / "copy"
    (path / FRAMES).parent.mkdir(parents=True)
    (path / INFO).parent.mkdir()
    info, table = json.loads((folder / INFO).read_text()), pq.read_table(folder / FRAMES)
    table = change(info, table) or table
    (path / INFO).write_text(json.dumps(info))
    pq.write_table(table, path / FRAMES)
    return path


def test_what_was_written_is_read_back_to_the_bit(folder):
    held = demonstrations_at(DemonstrationsSaid(path=str(folder)))
    assert sorted(held.lengths.tolist()) == [4, 5, 5, 6, 7, 9]
    written = {episode.states[0].tobytes(): episode for episode in acted()}
    source = source_at(folder)
    for split in ("train", "select", "report"):
        whole = source.batch(split, np.arange(source.split_sizes[split]))
        for episode in source.episodes(split).tolist():
            own = np.flatnonzero(whole.fields["stretch"] == episode)
            frames = slice(held.starts[episode], held.starts[episode + 1])
            theirs = written[held.states[frames.start].tobytes()]
            assert np.array_equal(held.states[frames], theirs.states)
            assert np.array_equal(held.actions[frames], theirs.actions)
            assert np.array_equal(whole.fields["image"][own], theirs.pictures.transpose(0, 3, 1, 2))
            assert whole.fields["frame"][own].tolist() == list(range(len(own)))


def test_a_source_of_demonstrations_conforms(folder):
    check_source(source_at(folder, augment="shift"))


def test_no_episode_has_frames_in_two_splits_and_each_frame_is_in_one(folder):
    for seed in range(8):
        source = source_at(folder, seed=seed)
        episodes = [set(source.episodes(split).tolist()) for split in ("train", "select", "report")]
        assert [len(each) for each in episodes] == [3, 1, 2]
        assert len(set.union(*episodes)) == 6
        assert sum(source.split_sizes.values()) == 36


def test_every_training_frame_is_seen_once_an_epoch(folder):
    source = source_at(folder)
    order, size = training_order(source, 0), source.split_sizes["train"]
    for epoch in range(2):
        epochs, ids = order.ids(np.arange(epoch * size, (epoch + 1) * size))
        assert set(epochs.tolist()) == {epoch}
        batch = source.batch("train", ids)
        seen = set(zip(batch.fields["stretch"].tolist(), batch.fields["frame"].tolist(), strict=True))
        assert len(seen) == size


def test_a_chunk_of_actions_ends_where_its_episode_does(folder):
    source = source_at(folder, chunk=6)
    batch = source.batch("train", np.arange(source.split_sizes["train"]))
    for episode in source.episodes("train").tolist():
        own = np.flatnonzero(batch.fields["stretch"] == episode)
        first = batch.fields["action"][own, 0]
        for place in range(len(own)):
            left = min(6, len(own) - place)
            assert batch.fields["within"][own[place]].tolist() == [True] * left + [False] * (6 - left)
            assert np.array_equal(batch.fields["action"][own[place], :left], first[place : place + left])
            assert not batch.fields["action"][own[place], left:].any()


def test_numbers_are_told_in_units_of_what_is_trained_on(folder):
    source = source_at(folder)
    batch = source.batch("train", np.arange(source.split_sizes["train"]))
    for values in (batch.fields["state"], batch.fields["action"][:, 0]):
        assert np.allclose(values.mean(0), 0, atol=1e-6)
        assert np.allclose(values.std(0), 1, atol=1e-5)


def test_equal_episodes_are_the_same_data_whatever_they_are_called_and_where_they_lie(folder, tmp_path):
    write_lerobot(tmp_path / "turned", RECORDING, acted()[::-1])
    table = pq.read_table(folder / FRAMES)
    names = {CAMERA: "seen", "observation.state": "sensed", "action": "done", "frame_index": "step"}
    table = table.rename_columns([names.get(name, name) for name in table.schema.names])
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    pq.write_table(shuffled.replace_schema_metadata(), tmp_path / "frames.parquet", row_group_size=7)
    ours, turned = source_at(folder), source_at(tmp_path / "turned")
    named = source_at(tmp_path / "frames.parquet", state_columns=("sensed",), action_column="done")
    assert ours.fingerprint == turned.fingerprint == named.fingerprint
    ids = np.arange(ours.split_sizes["train"])
    for other in (turned, named):
        for name, field in ours.batch("train", ids).fields.items():
            assert np.array_equal(field, other.batch("train", ids).fields[name])
        assert data_identity(ours.spec) == data_identity(other.spec)


def test_another_action_is_other_data(folder, tmp_path):
    def change(info, table):
        actions = table.column("action").to_pylist()
        actions[3][1] += 1e-3
        place = table.schema.get_field_index("action")
        return table.set_column(place, table.schema.field(place), pa.array(actions, table.schema.field(place).type))

    assert source_at(copied(folder, tmp_path, change)).fingerprint != source_at(folder).fingerprint


def test_a_shift_moves_the_picture_and_repeats_its_edge(folder):
    source = source_at(folder, augment="shift", resolution=42)
    ids, keys = np.zeros(64, dtype=np.int64), np.arange(64, dtype=np.uint64)
    plain = source.batch("train", ids[:1]).fields["image"][0]
    moves = set()

    def at(move: int) -> np.ndarray:
        return np.clip(np.arange(42) + move, 0, 41)

    for moved in source.batch("train", ids, keys).fields["image"]:
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(moved, plain[:, at(down)][..., at(right)])
        ]
        assert found
        moves.add(found[0])
    assert len(moves) > 12


def of_videos(info, table):
    info["features"][CAMERA]["dtype"] = "video"


def of_old_version(info, table):
    info["codebase_version"] = "v2.1"


def of_named_parts(info, table):
    info["splits"] = {"train": "0:4", "test": "4:6"}


def of_more_episodes(info, table):
    info["total_episodes"] = 7


def of_a_lost_frame(info, table):
    info["total_frames"] = 35
    return table.filter(pa.array([place != 2 for place in range(len(table))]))


def of_a_broken_number(info, table):
    place = table.schema.get_field_index("observation.state")
    states = table.column(place).to_pylist()
    states[4][0] = float("nan")
    return table.set_column(place, table.schema.field(place), pa.array(states, table.schema.field(place).type))


def of_no_state(info, table):
    return table.drop_columns("observation.state")


def of_no_version(info, table):
    del info["codebase_version"]


WRONG = {
    of_videos: "are videos.*use_videos = False",
    of_old_version: "version v2.1.*convert_dataset_v21_to_v30",
    of_named_parts: "names the splits",
    of_more_episodes: "says that it holds 7 episodes",
    of_a_lost_frame: "episode 0 .*frame 3 where frame 2 was expected",
    of_a_broken_number: "nan.*row 4: expected numbers",
    of_no_state: "no 'observation.state': name by state_columns",
    of_no_version: "says nothing of 'codebase_version'",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_what_is_unclear_is_refused(change, folder, tmp_path):
    with pytest.raises(DataError, match=WRONG[change]):
        source_at(copied(folder, tmp_path, change))


def test_what_is_no_file_is_not_waited_for(folder, tmp_path):
    path = copied(folder, tmp_path, lambda info, table: None)
    os.mkfifo(path / "data/chunk-000/file-001.parquet")
    with pytest.raises(DataError, match="named pipe"):
        source_at(path)


def test_a_picture_must_be_named_where_there_are_two(folder, tmp_path):
    def change(info, table):
        info["features"]["observation.images.wrist"] = info["features"][CAMERA]
        return table.append_column("observation.images.wrist", table.column(CAMERA))

    path = copied(folder, tmp_path, change)
    with pytest.raises(DataError, match="name one by image_column"):
        source_at(path)
    assert source_at(path, image_column=CAMERA).fingerprint == source_at(folder).fingerprint


def test_too_few_episodes_are_refused_and_few_judged_ones_compare_nothing(folder):
    with pytest.raises(DataError, match=r"holds 6 episodes.*lower them"):
        source_at(folder, report_episodes=5)
    assert source_at(folder).no_verdict_because == FewStretches(num=2, needed=100)
    with pytest.raises(SpecError, match="chunk"):
        DemonstrationsSpec(path="x", resolution=12, chunk=0)


def test_nothing_is_written_over(folder):
    with pytest.raises(StoreError, match="is there already"):
        write_lerobot(folder, RECORDING, acted())


def told(capsys, monkeypatch, *words: str) -> tuple[int, str, str]:
    """What `data` prints when it is called so, and its exit code."""
    monkeypatch.setattr(sys, "argv", ["levelfield", "data", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_inspect_tells_what_a_set_holds_and_build_refuses_it(folder, tmp_path, capsys, monkeypatch):
    code, out, _ = told(capsys, monkeypatch, "inspect", str(folder), "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["num_episodes"], found["num_frames"], found["lengths"]) == (6, 36, [4, 5, 9])
    assert len(found["state"]["mean"]) == 3
    code, _, err = told(capsys, monkeypatch, "build", str(folder), str(tmp_path / "built"))
    assert code == 2
    assert "read where they lie" in err
