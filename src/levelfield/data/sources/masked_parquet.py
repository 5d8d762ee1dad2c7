"""Pictures and masks in two columns of Parquet files, in parts that a third column names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from levelfield.data.draws import Int64s
from levelfield.data.ingest.parquet_paths import paths_of
from levelfield.data.sources.encoded_column import EncodedColumn
from levelfield.data.sources.masked import MaskedSource
from levelfield.data.sources.masks import MaskClasses
from levelfield.data.stores.parquet_file import Columns, ParquetFile
from levelfield.records.data import MOST_MASK_CLASSES, MaskedImagesSpec, Split
from levelfield.records.errors import DataError, quoted_names
from levelfield.records.fields import IGNORED

PARTS: Mapping[str, Split] = {
    "train": "train",
    "val": "select",
    "valid": "select",
    "validation": "select",
    "test": "report",
}
"""What others call the splits, and we."""


def open_masked_parquet(spec: MaskedImagesSpec, *, rehash: bool = False) -> MaskedSource:
    """The pictures of ``spec.path``, their masks in ``spec.mask_column``.

    The schema may name the classes (``class_names``, a JSON list) and the value of pixels of none (``ignore_index``);
    ``spec`` overrules neither where both say something.

    Raises:
        DataError: a file or column is missing or of the wrong kind, a part has another name, or nothing says how many
            classes there are.
    """
    if spec.stretch > 1 and spec.sequence_column is None:
        raise DataError(f"stretch is {spec.stretch}, and nothing names the frames of {spec.path}: say sequence_column")
    columns = Columns(
        images=(spec.image_column or "image", spec.mask_column or "mask"),
        texts=tuple(filter(None, (spec.split_column, spec.sequence_column))),
    )
    files = [ParquetFile(file, columns) for file in paths_of(spec.path)]
    table = _Table(spec, files, spec.path, rehash=rehash)
    parts: dict[Split, _Rows] = {
        split: _Rows(table, rows) for split, rows in _parts(spec, files, len(table.digests)).items()
    }
    if spec.report_path is not None:
        apart = [ParquetFile(file, columns) for file in paths_of(spec.report_path)]
        held_out = _Table(spec, apart, spec.report_path, rehash=rehash)
        parts["report"] = _Rows(held_out, np.arange(len(held_out.digests)))
        files += apart
    return MaskedSource(spec, parts, classes_of(spec, files[0].class_names, _ignored(spec, files), of=spec.path))


def classes_of(spec: MaskedImagesSpec, names: Sequence[str], ignore_index: int, *, of: str) -> MaskClasses:
    """The classes that data ``of`` that name calls by ``names``, none where it names none, and ``spec`` counts.

    A name at the place of ``ignore_index`` is that of pixels of no class, and of no class itself.

    Raises:
        DataError: nothing says how many there are, or both do and differ.
    """
    if spec.num_classes is None and not names:
        raise DataError(f"{of} does not say how many classes its masks have: say num_classes")
    names = [name for value, name in enumerate(names) if value != ignore_index]
    if names and spec.num_classes not in (None, len(names)):
        raise DataError(f"{of} names {len(names)} classes, and num_classes says {spec.num_classes}: leave it out")
    found = tuple(names) or tuple(map(str, range(spec.num_classes or 0)))
    if not 2 <= len(found) <= MOST_MASK_CLASSES:
        raise DataError(f"{of} names {len(found)} classes, expected from 2 to {MOST_MASK_CLASSES}")
    return MaskClasses(names=found, ignore_index=ignore_index)


def _ignored(spec: MaskedImagesSpec, files: Sequence[ParquetFile]) -> int:
    said = {each for each in (spec.ignore_index, *(file.ignore_index for file in files)) if each is not None}
    if len(said) > 1:
        raise DataError(f"{spec.path}: ignore_index is said to be {sorted(said)}: expected one value")
    return next(iter(said), IGNORED)


def _parts(spec: MaskedImagesSpec, files: Sequence[ParquetFile], num_rows: int) -> dict[Split, Int64s]:
    """The rows of every split that the data tells apart."""
    if spec.split_column is None:
        return {"train": np.arange(num_rows)}
    column = spec.split_column
    said = [name for file in files for group in range(file.num_row_groups) for name in file.texts(group, column)]
    strange = sorted(set(said) - set(PARTS))
    if strange or "train" not in said:
        seen = quoted_names(sorted(set(said)))
        raise DataError(f"column {column!r} of {spec.path} names the parts {seen}, expected train, val and test")
    splits = np.array([PARTS[name] for name in said])
    return {split: np.flatnonzero(splits == split) for split in get_args(Split) if split in splits}


class _Table:
    """Both columns of a table."""

    def __init__(self, spec: MaskedImagesSpec, files: Sequence[ParquetFile], of: str, *, rehash: bool) -> None:
        self.pictures = EncodedColumn(files, spec.image_column or "image", of=of, rehash=rehash)
        self.masks = EncodedColumn(files, spec.mask_column or "mask", of=of, rehash=rehash)
        self.digests = np.stack([self.pictures.digests, self.masks.digests], axis=1)
        self.frames = None
        if spec.sequence_column is not None:
            groups = ((file, group) for file in files for group in range(file.num_row_groups))
            self.frames = [name for file, group in groups for name in file.texts(group, spec.sequence_column)]


class _Rows:
    """A :class:`levelfield.data.sources.masks.MaskedContainer` of some rows of a table."""

    def __init__(self, table: _Table, rows: Int64s) -> None:
        self._table, self._rows = table, rows
        self.digests = table.digests[rows]
        self.frames = None if table.frames is None else tuple(table.frames[row] for row in rows.tolist())

    def read(self, row: int) -> tuple[bytes, bytes]:
        place = int(self._rows[row])
        return self._table.pictures.read(place), self._table.masks.read(place)

    def name(self, row: int) -> str:
        return self._table.pictures.name(int(self._rows[row]))
