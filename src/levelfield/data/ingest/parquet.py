"""Encoded images and integer labels in the columns of Parquet files, as plain binary or as Hugging Face's Image."""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from levelfield.data.classes import Classes
from levelfield.data.index import Index
from levelfield.data.ingest.format import Listing
from levelfield.data.ingest.layout import part_of
from levelfield.data.manifest import Contents
from levelfield.data.stores.parquet import ParquetStore
from levelfield.data.stores.parquet_file import Columns, ParquetFile
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, regular_stat, walk

MAX_FILES = 2**16
"""Of a table, which are all opened to begin with."""


class ParquetTable:
    """A :class:`levelfield.data.ingest.format.Format`: the rows of a file, a folder of ``*.parquet`` files, or a glob.

    Classes are ``0 .. largest label``, named by the schema's ``class_names`` (a JSON list) or Hugging Face's
    ClassLabel.
    """

    def __init__(self, path: str, *, image_column: str, label_column: str) -> None:
        self.of, self._image = path, image_column
        self._columns = Columns(images=(image_column,), label=label_column)
        self.rule = f"parquet {image_column!r} {label_column!r}"
        self._paths: list[str] = []

    def files(self) -> list[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        self._paths = self._paths or [str(path) for path in paths_of(self.of)]
        return self._paths

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        files = [self._file(number) for number in range(len(self.files()))]
        labels = [np.concatenate([_NONE, *map(file.labels, range(file.num_row_groups))]) for file in files]
        number = sum(map(len, labels))
        if not number:
            raise DataError(f"{self.of} holds no rows: expected images in column {self._image!r}")
        names = _class_names(files, 1 + max(int(part.max()) for part in labels if len(part)), of=self.of)
        return Listing(
            class_names=names,
            sorted_as_text=False,
            labels=np.concatenate(labels),
            shards=np.repeat(np.arange(len(files), dtype=np.uint32), [len(part) for part in labels]),
            offsets=np.concatenate([np.arange(len(part), dtype=np.uint64) for part in labels]),
            lengths=np.zeros(number, dtype=np.uint64),
        )

    def store(self, index: Index, contents: Contents) -> ParquetStore:
        """See :meth:`levelfield.data.ingest.format.Format.store`."""
        return ParquetStore(self.files(), self._image, self._file, index, contents, of=self.of)

    def _file(self, number: int) -> ParquetFile:
        return ParquetFile(self._paths[number], self._columns)


_NONE = np.zeros(0, dtype=np.int64)


def _class_names(files: Sequence[ParquetFile], num_labels: int, *, of: str) -> tuple[str, ...]:
    """The classes that the ``files`` of a table name alike, or the numbers of its labels."""
    named = {file.path: file.class_names for file in files}
    first, *others = named
    for other in others:
        if named[other] != named[first]:
            raise DataError(
                f"{other} names its classes {list(named[other][:3])}…, and {first} {list(named[first][:3])}…: files of "
                "one table must name the same classes in the same order; read them apart"
            )
    names = named[first]
    if not names:
        return Classes.numbered(num_labels, of=of).names
    if len(names) < num_labels:
        raise DataError(f"{of} has the label {num_labels - 1}, but names {len(names)} classes, {names[0]!r} first")
    return tuple(names)


def paths_of(path: str) -> list[Path]:
    """The files of the table at ``path``: one, all of a folder, or those that a glob names.

    Raises:
        DataError: there is none, there are too many, or they are parts of a data set.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            found = place.rglob("*.parquet")
        elif os.path.lexists(place):
            found = iter([place])
        else:
            found = _matching(str(place))
        paths = sorted(islice(found, MAX_FILES + 1))
        for file in paths:
            regular_stat(file)
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    if len(paths) > MAX_FILES:
        raise DataError(f"path {path!r} names more than {MAX_FILES:,} files: join them")
    if not paths:
        raise DataError(
            f"path {path!r} names no Parquet file here ({place.absolute()}): expected a file, folder or glob"
        )
    parts = {part: file for file in paths if place.is_dir() and (part := part_of(file.relative_to(place)))}
    if len(parts) > 1:
        seen = " and ".join(str(file.relative_to(place)) for file in parts.values())
        raise DataError(
            f"{place} holds parts of a data set, {seen}: name one of them by a file or a glob ({place}/train*), and "
            "the held-out one by report_path (--report-data)"
        )
    return paths


def _matching(pattern: str) -> Iterator[Path]:
    """What a glob names; where it goes down without end, links must not lead round."""
    before, deep, _ = pattern.partition("**")
    if deep:
        deque(walk(before.rpartition("/")[0] or "."), maxlen=0)
    return (Path(found) for found in glob.iglob(pattern, recursive=True) if not os.path.isdir(found))
