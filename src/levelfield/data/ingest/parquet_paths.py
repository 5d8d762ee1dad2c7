"""Where the files of one Parquet table lie: one, all of a folder, or those that a glob names."""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from levelfield.data.ingest.layout import part_of
from levelfield.data.ingest.named_files import before_pattern, spelt_out
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, regular_stat, walk

MAX_FILES = 2**16
"""Of a table, which are all opened to begin with."""


def paths_of(path: str) -> list[Path]:
    """The files of the one table at ``path``: one, all of a folder, or those that a pattern names.

    Raises:
        DataError: there is none, there are too many, or they are parts of a data set.
    """
    place, paths = before_pattern(path), parquet_files(path)
    several = paths if len(paths) > 1 else []
    parts = {part: file for file in several if (part := part_of(file.relative_to(place)))}
    if len(parts) > 1:
        seen = " and ".join(str(file.relative_to(place)) for file in parts.values())
        raise DataError(
            f"{place} holds parts of a data set, {seen}: name one of them by a file or a glob ({place}/train*), and "
            "the held-out one by report_path (--report-data)"
        )
    return paths


def parquet_files(path: str) -> list[Path]:
    """The Parquet files that ``path`` names - a file, a folder, a glob, or a pattern with braces - whatever parts they
    are of.

    Raises:
        DataError: there is none, or there are too many.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            found = place.rglob("*.parquet")
        elif os.path.lexists(place):
            found = iter([place])
        else:
            found = _named_by(str(place))
        paths = sorted(islice(found, MAX_FILES + 1))
        for file in paths:
            regular_stat(file)
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    if len(paths) > MAX_FILES:
        raise DataError(f"path {path!r} names more than {MAX_FILES:,} files: join them")
    if not paths:
        raise DataError(
            f"path {path!r} names no Parquet file here ({place.absolute()}): expected a file, folder or pattern"
        )
    return paths


def _named_by(pattern: str) -> Iterator[Path]:
    """What a pattern names, every name that braces spell out among it."""
    names = list(islice(spelt_out(pattern), MAX_FILES + 1))
    for name in names:
        found = list(_matching(name))
        if len(names) > 1 and not found:
            raise DataError(f"path {pattern!r} names {name}, which is not there")
        yield from found


def _matching(pattern: str) -> Iterator[Path]:
    """What a glob names; where it goes down without end, links must not lead round."""
    before, deep, _ = pattern.partition("**")
    if deep:
        deque(walk(before.rpartition("/")[0] or "."), maxlen=0)
    return (Path(found) for found in glob.iglob(pattern, recursive=True) if not os.path.isdir(found))
