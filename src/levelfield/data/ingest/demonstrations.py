"""Episodes out of LeRobot's folders and out of Parquet with a row a frame: one table of what was seen, sensed, done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s
from levelfield.data.ingest.columns import image_column
from levelfield.data.ingest.lerobot import (
    ACTION,
    EPISODE,
    FRAME,
    STATE,
    LeRobotFacts,
    is_lerobot,
    lerobot_facts,
    lerobot_files,
    remarks_of,
)
from levelfield.data.ingest.masked_parquet import ColumnRows
from levelfield.data.ingest.opening import opened
from levelfield.data.ingest.parquet_paths import paths_of
from levelfield.data.stores.base import Store
from levelfield.data.stores.parquet import ParquetStore
from levelfield.data.stores.parquet_file import parquet_schema
from levelfield.data.stores.parquet_numbers import numbers_a_row, read_numbers
from levelfield.records.errors import DataError, quoted_names

_EPISODES, _FRAMES = (EPISODE, "episode"), (FRAME, "frame", "step")
"""What the number of an episode, and of a frame in it, are called: by LeRobot, or plainly."""

DEMONSTRATIONS_RULE = b"demonstrations 1"
"""A change to what is taken of a frame must change it."""


@dataclass(frozen=True, kw_only=True)
class DemonstrationsSaid:
    """What a user says of where episodes lie, and of what their columns are called."""

    path: str
    image_column: str | None = None
    state_columns: tuple[str, ...] | None = None
    action_column: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Demonstrations:
    """All episodes of a place, whatever they were called there, in the order of their content.

    Of every frame ``rows`` int64 [N] is where its picture is in ``pictures``, ``states`` float32 [N, S] what was sensed
    and ``actions`` float32 [N, A] what was done then. ``starts`` int64 [E + 1] are where episodes begin. ``twins``
    episodes are there a second time, to the bit.
    """

    pictures: Store
    rows: Int64s
    states: NDArray[np.float32]
    actions: NDArray[np.float32]
    starts: Int64s
    fingerprint: str
    twins: int
    remarks: tuple[str, ...]

    @property
    def num_episodes(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int64s:
        """The frames of every episode."""
        return np.diff(self.starts)


def is_demonstrations(path: str) -> bool:
    """Whether episodes lie at ``path``, as far as that can be told."""
    return is_lerobot(Path(path).expanduser())


def demonstrations_at(place: DemonstrationsSaid, *, rehash: bool = False) -> Demonstrations:
    """The episodes that lie there.

    Raises:
        DataError: nothing is there, or what is there is not understood.
    """
    folder = Path(place.path).expanduser()
    said = lerobot_facts(folder) if is_lerobot(folder) else None
    files = lerobot_files(folder) if said is not None else [str(path) for path in paths_of(place.path)]
    columns = _Columns.of(place, files[0], said)
    found = [read_numbers(file, columns.numbers) for file in files]
    counts = np.array([len(each[columns.episode]) for each in found], dtype=np.int64)
    told = {name: _joined([each[name] for each in found], name, place.path) for name in columns.numbers}
    episodes, frames = (_whole(told[name][:, 0], name, place.path) for name in (columns.episode, columns.frame))
    if not len(episodes):
        raise DataError(f"{place.path} holds no frames")
    order = np.lexsort((frames, episodes))
    starts = _starts(episodes[order], frames[order], place.path)
    _refuse_other_counts(said, len(starts) - 1, len(episodes), place.path)
    rule = json.dumps(["demonstrations", columns.image])
    form = ColumnRows(place.path, files, columns.image, counts, np.arange(len(episodes)), rule=rule)
    pictures = opened(form, rehash=rehash)
    states = np.concatenate([told[name] for name in columns.state], axis=1).astype(np.float32)
    actions = told[columns.action].astype(np.float32)
    return _by_content(
        pictures,
        _rows_of(pictures, counts)[order],
        states[order],
        actions[order],
        starts,
        remarks=tuple(remarks_of(said)) if said is not None else (),
    )


@dataclass(frozen=True, kw_only=True)
class _Columns:
    image: str
    episode: str
    frame: str
    state: tuple[str, ...]
    action: str

    @property
    def numbers(self) -> tuple[str, ...]:
        return (self.episode, self.frame, *self.state, self.action)

    @classmethod
    def of(cls, place: DemonstrationsSaid, file: str, said: LeRobotFacts | None) -> _Columns:
        """Which columns are meant.

        Raises:
            DataError: one is missing, or it is not clear which.
        """
        schema = parquet_schema(file)
        image = place.image_column
        if said is not None and image is None and len(said.pictures) > 1:
            raise DataError(f"{place.path} has the pictures {quoted_names(said.pictures)}: name one by image_column")
        if said is not None and image is not None and image not in said.pictures:
            raise DataError(f"{place.path} has no picture {image!r}: it has {quoted_names(said.pictures)}")
        image = image or (next(iter(said.pictures)) if said is not None else image_column(schema, None, of=place.path))
        numbers = [field.name for field in schema if numbers_a_row(field.type) is not None]
        state = place.state_columns or ((STATE,) if STATE in schema.names else None)
        if state is None:
            raise DataError(f"{place.path} has no {STATE!r}: name by state_columns what is sensed, of {_told(numbers)}")
        action = place.action_column or ACTION
        if action not in schema.names:
            raise DataError(f"{place.path} has no {action!r}: name by action_column what is done, of {_told(numbers)}")
        episode, frame = (_first(names, schema.names, place.path) for names in (_EPISODES, _FRAMES))
        return cls(image=image, episode=episode, frame=frame, state=tuple(state), action=action)


def _told(names: Sequence[str]) -> str:
    return quoted_names(list(names)) if names else "no column of numbers"


def _first(wanted: tuple[str, ...], names: Sequence[str], path: str) -> str:
    for name in wanted:
        if name in names:
            return name
    raise DataError(f"{path} has no column {wanted[0]!r} nor {wanted[-1]!r}, so nothing says how its frames follow")


def _joined(parts: Sequence[NDArray[np.float64]], name: str, path: str) -> NDArray[np.float64]:
    widths = sorted({part.shape[1] for part in parts if len(part)})
    if len(widths) > 1:
        raise DataError(f"column {name!r} of {path} has rows of {widths} numbers: expected as many in each")
    joined = np.concatenate([part for part in parts if len(part)] or [parts[0]])
    if not np.isfinite(joined).all():
        row = int(np.argmax(~np.isfinite(joined).all(axis=1)))
        raise DataError(f"column {name!r} of {path} holds {joined[row]} in row {row}: expected numbers")
    return joined


def _whole(values: NDArray[np.float64], name: str, path: str) -> Int64s:
    if (values != np.floor(values)).any() or (np.abs(values) > 2**53).any():
        raise DataError(f"column {name!r} of {path} must hold whole numbers")
    return values.astype(np.int64)


def _starts(episodes: Int64s, frames: Int64s, path: str) -> Int64s:
    """Where every episode begins among frames that stand by episode and frame: each must have all of its frames.

    Raises:
        DataError: one lacks some, or has one twice.
    """
    starts = np.flatnonzero(np.diff(episodes, prepend=episodes[0] - 1))
    lengths = np.diff(np.append(starts, len(episodes)))
    expected = np.arange(len(episodes)) - np.repeat(starts, lengths)
    wrong = np.flatnonzero(frames != expected)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"episode {episodes[row]} of {path} has frame {frames[row]} where frame {expected[row]} was expected: "
            "frames are missing or there twice"
        )
    return np.append(starts, len(episodes)).astype(np.int64)


def _refuse_other_counts(said: LeRobotFacts | None, num_episodes: int, num_frames: int, path: str) -> None:
    if said is not None and (said.num_episodes, said.num_frames) != (num_episodes, num_frames):
        raise DataError(
            f"{path} says that it holds {said.num_episodes} episodes of {said.num_frames} frames, and holds "
            f"{num_episodes} of {num_frames}: files are missing, or were added"
        )


def _rows_of(pictures: Store, counts: Int64s) -> Int64s:
    """Where the picture of each row of the files [N] is in the store."""
    assert isinstance(pictures, ParquetStore)
    firsts, index = np.cumsum(counts) - counts, pictures.index
    rows = np.empty(len(index), dtype=np.int64)
    rows[firsts[index.shards] + index.offsets.astype(np.int64)] = np.arange(len(index))
    return rows


def _by_content(
    pictures: Store,
    rows: Int64s,
    states: NDArray[np.float32],
    actions: NDArray[np.float32],
    starts: Int64s,
    *,
    remarks: tuple[str, ...],
) -> Demonstrations:
    """The episodes in the order of a digest of all that is in them."""
    seen = np.asarray(pictures.digests)[rows]
    parts: Sequence[NDArray] = (seen, states.astype("<f4"), actions.astype("<f4"))
    digests = []
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        found = hashlib.blake2b(DEMONSTRATIONS_RULE, digest_size=16)
        for part in parts:
            found.update(np.ascontiguousarray(part[start:end]).tobytes())
        digests.append(found.digest())
    order = sorted(range(len(digests)), key=digests.__getitem__)
    frames = np.concatenate([np.arange(starts[each], starts[each + 1]) for each in order])
    lengths = np.diff(starts)[order]
    whole = hashlib.blake2b(DEMONSTRATIONS_RULE + repr((states.shape[1], actions.shape[1])).encode(), digest_size=16)
    whole.update(b"".join(digests[each] for each in order))
    twins = len(digests) - len(set(digests))
    more = (f"{twins} episodes are there twice, to the bit, and splits may part them",) if twins else ()
    return Demonstrations(
        pictures=pictures,
        rows=rows[frames],
        states=states[frames],
        actions=actions[frames],
        starts=np.append(0, np.cumsum(lengths)).astype(np.int64),
        fingerprint=whole.hexdigest(),
        twins=twins,
        remarks=(*remarks, *more),
    )
