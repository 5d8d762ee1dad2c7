"""Episodes written in LeRobot's layout, version 3, pictures as PNG in Parquet: lossless, and no codec to have.

Source: huggingface/lerobot, src/lerobot/datasets/utils.py and dataset_writer.py, read November 2026.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.ingest.lerobot import ACTION, EPISODE, EPISODES, FRAME, FRAMES, INFO, STATE, TASKS, VERSION
from levelfield.records.errors import StoreError
from levelfield.records.writing import told_of

CAMERA = "observation.images.camera"
_STATISTICS = "meta/stats.json"
_NUMBERS = ("timestamp", FRAME, EPISODE, "index", "task_index")


class Episode(NamedTuple):
    """What was seen, ``pictures`` uint8 [n, H, W, 3], sensed, ``states`` [n, S], and then done, ``actions`` [n, A]."""

    pictures: NDArray[np.uint8]
    states: NDArray[np.float32]
    actions: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What all episodes have in common: the ``robot``, its ``task`` in words, and how many frames a second takes."""

    robot: str
    task: str
    fps: int
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]


def write_lerobot(folder: Path, recording: Recording, episodes: Iterable[Episode]) -> int:
    """Write ``episodes``, one after the other, into the new ``folder``, and give back how many frames they have.

    The folder appears once it is whole.

    Raises:
        StoreError: it is there already, or cannot be written.
    """
    if folder.exists():
        raise StoreError(f"{folder} is there already: name a new folder for demonstrations")
    making = folder.with_name(f".{folder.name}.making")
    with told_of(folder):
        shutil.rmtree(making, ignore_errors=True)
        for name in (INFO, TASKS, EPISODES, FRAMES):
            (making / name).parent.mkdir(parents=True, exist_ok=True)
        written = _write_frames(making / FRAMES, recording, episodes)
        _write_episodes(making / EPISODES, recording, written.lengths)
        _write_tasks(making / TASKS, recording)
        _write_json(making / _STATISTICS, written.statistics)
        _write_json(making / INFO, _info(recording, written))
        making.rename(folder)
    return sum(written.lengths)


@dataclass(frozen=True, kw_only=True)
class _Written:
    lengths: list[int]
    shape: tuple[int, ...]
    statistics: dict[str, Any]


def _write_frames(path: Path, recording: Recording, episodes: Iterable[Episode]) -> _Written:
    schema = _schema(recording)
    lengths: list[int] = []
    shape: tuple[int, ...] = ()
    sums = {STATE: _Sums(), ACTION: _Sums(), CAMERA: _Sums()}
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for number, episode in enumerate(episodes):
            shape, length = episode.pictures.shape[1:], len(episode.pictures)
            for name, values in ((STATE, episode.states), (ACTION, episode.actions)):
                sums[name].add(np.asarray(values, dtype=np.float64))
            sums[CAMERA].add(episode.pictures.reshape(-1, shape[-1]) / 255.0)
            steps, first = np.arange(length), sum(lengths)
            columns = [
                pa.array([{"bytes": _png(each), "path": None} for each in episode.pictures], schema.field(CAMERA).type),
                pa.array(list(np.asarray(episode.states, dtype=np.float32)), schema.field(STATE).type),
                pa.array(list(np.asarray(episode.actions, dtype=np.float32)), schema.field(ACTION).type),
                pa.array((steps / recording.fps).astype(np.float32)),
                *(pa.array(each) for each in (steps, np.full(length, number), first + steps, np.zeros_like(steps))),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            lengths.append(length)
    statistics = {name: each.told(pixels=name == CAMERA) for name, each in sums.items()}
    return _Written(lengths=lengths, shape=shape, statistics=statistics)


class _Sums:
    """Running moments of rows of numbers."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(1), np.zeros(1)
        self._least, self._most = np.array([np.inf]), np.array([-np.inf])

    def add(self, rows: NDArray[np.float64]) -> None:
        self._count += len(rows)
        self._sum, self._squares = self._sum + rows.sum(0), self._squares + (rows**2).sum(0)
        self._least, self._most = np.minimum(self._least, rows.min(0)), np.maximum(self._most, rows.max(0))

    def told(self, *, pixels: bool) -> dict[str, Any]:
        """As LeRobot has them: of pictures a number a channel, [C, 1, 1]."""
        mean = self._sum / max(1, self._count)
        std = np.sqrt(np.maximum(self._squares / max(1, self._count) - mean**2, 0))
        told = {"min": self._least, "max": self._most, "mean": mean, "std": std}
        shape = (-1, 1, 1) if pixels else (-1,)
        return {**{name: each.reshape(shape).tolist() for name, each in told.items()}, "count": [self._count]}


def _png(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _schema(recording: Recording) -> pa.Schema:
    state, action = len(recording.state_names), len(recording.action_names)
    fields = [
        pa.field(CAMERA, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field(STATE, pa.list_(pa.float32(), state)),
        pa.field(ACTION, pa.list_(pa.float32(), action)),
        pa.field("timestamp", pa.float32()),
        *(pa.field(name, pa.int64()) for name in _NUMBERS[1:]),
    ]
    told: dict[str, Any] = {
        CAMERA: {"_type": "Image"},
        STATE: {"feature": {"dtype": "float32", "_type": "Value"}, "length": state, "_type": "List"},
        ACTION: {"feature": {"dtype": "float32", "_type": "Value"}, "length": action, "_type": "List"},
        "timestamp": {"dtype": "float32", "_type": "Value"},
        **{name: {"dtype": "int64", "_type": "Value"} for name in _NUMBERS[1:]},
    }
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": told}})})


def _write_episodes(path: Path, recording: Recording, lengths: list[int]) -> None:
    ends = np.cumsum(lengths)
    zeros = np.zeros(len(lengths), dtype=np.int64)
    columns = {
        EPISODE: np.arange(len(lengths)),
        "tasks": [[recording.task]] * len(lengths),
        "length": np.array(lengths),
        "data/chunk_index": zeros,
        "data/file_index": zeros,
        "dataset_from_index": ends - lengths,
        "dataset_to_index": ends,
        "meta/episodes/chunk_index": zeros,
        "meta/episodes/file_index": zeros,
    }
    pq.write_table(pa.table(columns), path)


def _write_tasks(path: Path, recording: Recording) -> None:
    """A table that pandas reads with the words as its index."""
    column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    index = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    told = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": "task", "field_name": "task", **index},
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": [recording.task]})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(told)}), path)


def _info(recording: Recording, written: _Written) -> dict[str, Any]:
    def numbers(dtype: str, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [1 if names is None else len(names)], "names": names and list(names)}

    picture = {"dtype": "image", "shape": list(written.shape), "names": ["height", "width", "channels"]}
    return {
        "codebase_version": VERSION,
        "robot_type": recording.robot,
        "total_episodes": len(written.lengths),
        "total_frames": sum(written.lengths),
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 500,
        "fps": recording.fps,
        "splits": {"train": f"0:{len(written.lengths)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": {
            CAMERA: picture,
            STATE: numbers("float32", recording.state_names),
            ACTION: numbers("float32", recording.action_names),
            "timestamp": numbers("float32"),
            **{name: numbers("int64") for name in _NUMBERS[1:]},
        },
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n")
