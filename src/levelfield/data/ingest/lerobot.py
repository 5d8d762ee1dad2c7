"""A folder in LeRobot's layout, version 3: what ``meta/info.json`` says of the frames in ``data/*/*.parquet``.

Source: huggingface/lerobot, src/lerobot/datasets/utils.py (paths and features), read November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from levelfield.records.codec import parse_json, record
from levelfield.records.errors import DataError, quoted_names
from levelfield.records.files import read_regular, regular_stat

INFO, TASKS = "meta/info.json", "meta/tasks.parquet"
EPISODES, FRAMES = "meta/episodes/chunk-000/file-000.parquet", "data/chunk-000/file-000.parquet"
VERSION = "v3.0"
STATE, ACTION = "observation.state", "action"
EPISODE, FRAME = "episode_index", "frame_index"
MOST_INFO_BYTES = 2**24


@record
class LeRobotFacts:
    """What a folder says of itself: which features are ``pictures``, how many episodes and frames there are and how
    many ``tasks`` are told apart."""

    pictures: tuple[str, ...]
    num_episodes: int
    num_frames: int
    num_tasks: int


def is_lerobot(folder: Path) -> bool:
    """Whether ``folder`` looks like one, of whatever version."""
    return (folder / INFO).is_file()


def lerobot_facts(folder: Path) -> LeRobotFacts:
    """What the folder says of itself.

    Raises:
        DataError: it is of another version, says nothing that can be meant, holds its pictures in videos alone, or
            names parts of its own.
    """
    where = folder / INFO
    try:
        info = parse_json(read_regular(where, at_most=MOST_INFO_BYTES), where=str(where), error=DataError)
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error}") from None
    version, features = _said(info, "codebase_version", str, where), _said(info, "features", dict, where)
    if not version.startswith("v3."):
        raise DataError(
            f"{folder} is of version {version} of LeRobot's layout, expected {VERSION}: convert it by LeRobot's "
            "convert_dataset_v21_to_v30"
        )
    kinds = {name: each.get("dtype") if isinstance(each, dict) else None for name, each in features.items()}
    pictures = tuple(sorted(name for name, kind in kinds.items() if kind == "image"))
    videos = sorted(name for name, kind in kinds.items() if kind == "video")
    if not pictures:
        seen = f"its pictures ({quoted_names(videos)}) are videos" if videos else "it has no pictures"
        raise DataError(
            f"{folder}: {seen}, and frames are read from Parquet alone: record it with use_videos = False (features of "
            "dtype 'image')"
        )
    _refuse_parts(info.get("splits"), where)
    return LeRobotFacts(
        pictures=pictures,
        num_episodes=_said(info, "total_episodes", int, where),
        num_frames=_said(info, "total_frames", int, where),
        num_tasks=_said(info, "total_tasks", int, where),
    )


def lerobot_files(folder: Path) -> list[str]:
    """The files of its frames, in order.

    Raises:
        DataError: there is none.
    """
    found = sorted(map(str, (folder / "data").glob("*/*.parquet")))
    if not found:
        raise DataError(f"{folder} holds no {FRAMES}: expected the frames in data/*/*.parquet")
    try:
        for file in found:
            regular_stat(file)
    except OSError as error:
        raise DataError(str(error)) from None
    return found


def _refuse_parts(splits: Any, where: Path) -> None:
    """Episodes are drawn into splits here: parts that somebody named would be ignored."""
    named = sorted(splits) if isinstance(splits, dict) else []
    if set(named) > {"train"}:
        raise DataError(
            f"{where} names the splits {quoted_names(named)}, and episodes are drawn into splits here: leave 'train' "
            "alone in it, or bring the parts as folders of their own"
        )


def _said(info: Any, name: str, kind: type, where: Path) -> Any:
    value = info.get(name) if isinstance(info, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        seen = "nothing" if value is None else repr(value)[:80]
        raise DataError(f"{where} says {seen} of {name!r}: expected what LeRobot's layout has there")
    return value


def remarks_of(facts: LeRobotFacts) -> Iterator[str]:
    """What must be known of what is learnt from it."""
    if facts.num_tasks > 1:
        yield f"the episodes are of {facts.num_tasks} tasks, and nothing tells a policy which one is asked of it"
