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
from levelfield.data.sources.images import Container
from levelfield.data.sources.layout import part_of
from levelfield.data.sources.parquet_column import EncodedColumn
from levelfield.data.sources.parquet_file import ParquetFile
from levelfield.data.sources.splits import ImageSource, image_source
from levelfield.records.data import ParquetSpec
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, regular_stat, walk

MAX_FILES = 2**16
"""Of a table, which are all opened to begin with."""


def open_parquet(spec: ParquetSpec, *, rehash: bool = False) -> ImageSource:
    """The images of ``spec.path``: a file, a folder of ``*.parquet`` files, or a glob.

    Classes are ``0 .. largest label``, named by the schema's ``class_names`` (a JSON list) or Hugging Face's
    ClassLabel; those of the report part are matched to training's by name, or by number where either has no names.

    Raises:
        DataError: a file or column is missing or of the wrong kind, a label is negative, not an integer or absent.
    """
    report = _Rows(spec, spec.report_path, rehash=rehash) if spec.report_path is not None else None
    return image_source(spec, _Rows(spec, spec.path, rehash=rehash), report)


def labelled_parquet(spec: ParquetSpec) -> Container:
    """All images of ``spec.path`` to be judged on.

    Raises:
        DataError: see :func:`open_parquet`.
    """
    return _Rows(spec, spec.path)


def _classes(files: Sequence[ParquetFile], num_labels: int, *, of: str) -> Classes:
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
        return Classes.numbered(num_labels, of=of)
    if len(names) < num_labels:
        raise DataError(f"{of} has the label {num_labels - 1}, but names {len(names)} classes, {names[0]!r} first")
    return Classes(names=tuple(names), of=of)


class _Rows:
    """A :class:`levelfield.data.sources.images.Container` of rows, over all row groups of all files."""

    def __init__(self, spec: ParquetSpec, path: str, *, rehash: bool = False) -> None:
        files = [ParquetFile(file, spec) for file in paths_of(path)]
        labels = [file.labels(group) for file in files for group in range(file.num_row_groups)]
        self._images = EncodedColumn(files, spec.image_column, of=path, rehash=rehash)
        self.labels = np.concatenate(labels)
        self.classes = _classes(files, 1 + int(self.labels.max()), of=path)
        self.digests = self._images.digests

    def read(self, row: int) -> bytes:
        return self._images.read(row)

    def name(self, row: int) -> str:
        return self._images.name(row)


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
