"""Encoded images and integer labels in the columns of Parquet files, as plain binary or as Hugging Face's Image."""

from __future__ import annotations

import glob
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from levelfield.data.classes import Classes
from levelfield.data.draws import Int64s
from levelfield.data.sources.images import Container, digest_of, digest_table
from levelfield.data.sources.splits import ImageSource, image_source
from levelfield.records.data import ParquetSpec
from levelfield.records.errors import DataError, did_you_mean

logger = logging.getLogger(__name__)

ENCODED_LIMIT_BYTES = 4 * 2**30
"""Row groups are kept in memory, the least recently read dropped first, up to this many bytes of a table."""

MAX_CLASSES = 1_000_000
"""A larger label is a hash or an identifier, not the number of a class."""


def open_parquet(spec: ParquetSpec) -> ImageSource:
    """The images of ``spec.path``: a file, a folder of ``*.parquet`` files, or a glob.

    Classes are ``0 .. largest label``, named by the schema's ``class_names`` (a JSON list) or Hugging Face's
    ClassLabel; those of the report part are matched to training's by name, or by number where either has no names.

    Raises:
        DataError: a file or column is missing or of the wrong kind, a label is negative, not an integer or absent.
    """
    report = _Rows(spec, spec.report_path) if spec.report_path is not None else None
    return image_source(spec, _Rows(spec, spec.path), report)


def labelled_parquet(spec: ParquetSpec) -> Container:
    """All images of ``spec.path`` to be judged on.

    Raises:
        DataError: see :func:`open_parquet`.
    """
    return _Rows(spec, spec.path)


def _classes(files: Sequence[_File], column: str, num_labels: int, *, of: str) -> Classes:
    """The classes that the ``files`` of a table name alike, or the numbers of its labels."""
    named = {file.path: _class_names(file.schema, column) for file in files}
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

    def __init__(self, spec: ParquetSpec, path: str) -> None:
        files = [_File(file, spec) for file in _paths(path)]
        self._groups = [(file, group) for file in files for group in range(file.num_row_groups)]
        self._kept: OrderedDict[int, pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()
        labels = [file.labels(group) for file, group in self._groups]
        self._first_rows = np.cumsum([0, *(len(part) for part in labels)])
        if not self._first_rows[-1]:
            raise DataError(f"{path} holds no rows: expected images in column {spec.image_column!r}")
        self.labels = np.concatenate(labels)
        self.classes = _classes(files, spec.label_column, 1 + int(self.labels.max()), of=path)
        self.digests = digest_table([digest for place in range(len(self._groups)) for digest in self._digests(place)])

    def read(self, row: int) -> bytes:
        place = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        return self._images(place)[row - int(self._first_rows[place])].as_py()

    def name(self, row: int) -> str:
        place = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        file, group = self._groups[place]
        return f"{file.path} row {row - int(self._first_rows[place - group])}"

    def _digests(self, place: int) -> list[bytes]:
        images = self._images(place)
        if images.null_count:
            row = int(self._first_rows[place]) + images.is_null().to_pylist().index(True)
            raise DataError(f"{self.name(row)} has no image: fill the row or remove it")
        return [digest_of(image.as_buffer()) for image in images]

    def _images(self, place: int) -> pa.ChunkedArray:
        """The image column of one row group, from memory where it is still there."""
        with self._lock:
            if place not in self._kept:
                file, group = self._groups[place]
                self._kept[place] = file.images(group)
                while len(self._kept) > 1 and sum(part.nbytes for part in self._kept.values()) > ENCODED_LIMIT_BYTES:
                    self._kept.popitem(last=False)
                    logger.debug("row groups exceed %d bytes; reading them again as needed", ENCODED_LIMIT_BYTES)
            self._kept.move_to_end(place)
            return self._kept[place]


class _File:
    """One Parquet file with its columns checked."""

    def __init__(self, path: Path, spec: ParquetSpec) -> None:
        self.path, self._image_column, self._label_column = path, spec.image_column, spec.label_column
        try:
            self._parquet = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}") from None
        self.schema = self._parquet.schema_arrow
        self.num_row_groups = self._parquet.num_row_groups
        for name in (self._image_column, self._label_column):
            if name not in self.schema.names:
                raise DataError(f"{path} has no column {name!r}{did_you_mean(name, self.schema.names)}")
        self._check_types(self.schema.field(self._image_column).type, self.schema.field(self._label_column).type)

    def _check_types(self, image: pa.DataType, label: pa.DataType) -> None:
        if not pa.types.is_integer(label):
            raise DataError(f"labels must be integers: column {self._label_column!r} of {self.path} holds {label}")
        if isinstance(image, pa.StructType) and image.get_field_index("bytes") >= 0:
            image = image.field("bytes").type
        if not (pa.types.is_binary(image) or pa.types.is_large_binary(image)):
            place = f"column {self._image_column!r} of {self.path}"
            raise DataError(f"images must be encoded bytes (JPEG, PNG, …): {place} holds {image}")

    def labels(self, group: int) -> Int64s:
        column = self._column(group, self._label_column)
        labels = column.cast(pa.int64(), safe=False).fill_null(-1).to_numpy()
        wrong = (labels < 0) | (labels >= MAX_CLASSES)
        if wrong.any():
            inside = int(np.argmax(wrong))
            row = sum(self._parquet.metadata.row_group(earlier).num_rows for earlier in range(group)) + inside
            seen = column[inside].as_py()
            raise DataError(f"labels must be integers in [0, {MAX_CLASSES}): {self.path} row {row} has {seen}")
        return labels

    def images(self, group: int) -> pa.ChunkedArray:
        column = self._column(group, self._image_column)
        if not isinstance(column.type, pa.StructType):
            return column
        field = column.type.get_field_index("bytes")
        return pa.chunked_array([chunk.flatten()[field] for chunk in column.chunks])

    def _column(self, group: int, name: str) -> pa.ChunkedArray:
        try:
            return self._parquet.read_row_group(group, columns=[name]).column(name)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"row group {group} of {self.path} cannot be read: {error}") from None


def _paths(path: str) -> list[Path]:
    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    found = place.rglob("*.parquet") if place.is_dir() else map(Path, glob.glob(str(place), recursive=True))
    paths = sorted(file for file in found if file.is_file())
    if not paths:
        raise DataError(
            f"path {path!r} names no Parquet file here ({place.absolute()}): expected a file, folder or glob"
        )
    return paths


def _class_names(schema: pa.Schema, label_column: str) -> Sequence[str]:
    metadata = schema.metadata or {}
    names: Any = json.loads(metadata.get(b"class_names", b"[]"))
    if not names and b"huggingface" in metadata:
        features = json.loads(metadata[b"huggingface"]).get("info", {}).get("features", {})
        names = features.get(label_column, {}).get("names", [])
    return [str(name) for name in names] if isinstance(names, list) else []
