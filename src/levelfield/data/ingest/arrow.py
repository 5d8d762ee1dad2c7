"""A data set as Hugging Face's ``save_to_disk`` leaves it: Arrow files, and JSON that names them and their parts."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from levelfield.data.classes import Classes
from levelfield.data.draws import Int64s
from levelfield.data.ingest.columns import image_column, label_column
from levelfield.data.ingest.format import InPlace, Listing, Opener
from levelfield.data.ingest.layout import PART_NAMES
from levelfield.data.ingest.named_labels import numbered
from levelfield.data.stores.arrow import encoded_in, mapped_table
from levelfield.data.stores.parquet_file import MAX_CLASSES, class_names_of, is_binary, is_text
from levelfield.records.codec import parse_json
from levelfield.records.errors import DataError, quoted_names
from levelfield.records.files import read_regular

_PARTS, _STATE = "dataset_dict.json", "state.json"


def is_saved_to_disk(folder: Path) -> bool:
    """Whether ``folder`` is what ``save_to_disk`` writes."""
    return (folder / _PARTS).is_file() or (folder / _STATE).is_file()


def saved_parts(folder: Path) -> dict[str, Path]:
    """The parts, called as we do, of a data set in ``folder``; one without parts is all for training.

    Raises:
        DataError: what names the parts is damaged, or there is none to train on.
    """
    if not (folder / _PARTS).is_file():
        return {"train": folder}
    names = _json(folder / _PARTS).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) and "/" not in name for name in names):
        raise DataError(f"{folder / _PARTS} names no splits")
    parts = {part: folder / name for name in names if (part := PART_NAMES.get(name.casefold())) is not None}
    if "train" not in parts:
        raise DataError(f"{folder} holds the splits {quoted_names(names)}, and no train: name one of their folders")
    return parts


class ArrowTable:
    """A :class:`levelfield.data.ingest.format.Format`: the rows of the Arrow files of one part in ``folder``."""

    def __init__(self, folder: Path, *, image: str | None, label: str | None) -> None:
        self.of, self._folder, self._named = str(folder), folder, (image, label)
        self.rule = f"arrow {image!r} {label!r}"

    def files(self) -> list[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        state = _json(self._folder / _STATE)
        if state.get("_indices_files"):
            raise DataError(f"{self.of} is a selection of rows: call flatten_indices() before save_to_disk()")
        said = state.get("_data_files")
        files = [each.get("filename") for each in said if isinstance(each, dict)] if isinstance(said, list) else []
        if not files or not all(isinstance(name, str) and "/" not in name and name not in ("", "..") for name in files):
            raise DataError(f"{self._folder / _STATE} names no files of data")
        return [str(self._folder / str(name)) for name in files]

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        tables = [mapped_table(path) for path in self.files()]
        image, label = self._columns(tables[0].schema)
        rows = [table.num_rows for table in tables]
        if not sum(rows):
            raise DataError(f"{self.of} holds no rows: expected images in column {image!r}")
        for path, table in zip(self.files(), tables, strict=True):
            if table.schema.types != tables[0].schema.types or table.schema.names != tables[0].schema.names:
                raise DataError(f"{path} has other columns than {self.files()[0]}")
            images = encoded_in(table.column(image))
            if images.null_count:
                row = images.is_null().to_pylist().index(True)
                raise DataError(f"{path} row {row} has no {image}: fill the row or remove it")
        names, labels, sorted_as_text = self._labels(tables, label)
        return Listing(
            class_names=names,
            sorted_as_text=sorted_as_text,
            labels=labels,
            shards=np.repeat(np.arange(len(tables), dtype=np.uint32), rows),
            offsets=np.concatenate([np.arange(number, dtype=np.uint64) for number in rows]),
            lengths=np.zeros(sum(rows), dtype=np.uint64),
        )

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        return self.in_place().opener(self.of)

    def in_place(self) -> InPlace:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`."""
        files = self.files()
        image, _ = self._columns(mapped_table(files[0]).schema)
        return InPlace(kind="arrow", root="", files=tuple(map(os.path.abspath, files)), column=image)

    def _columns(self, schema: pa.Schema) -> tuple[str, str]:
        named_image, named_label = self._named
        image = image_column(schema, named_image, of=self.of)
        if is_text(schema.field(image).type):
            raise DataError(f"column {image!r} of {self.of} holds text: expected encoded images")
        kind = schema.field(image).type
        if isinstance(kind, pa.StructType) and not any(
            field.name == "bytes" and is_binary(field.type) for field in kind
        ):
            raise DataError(
                f"column {image!r} of {self.of} names files and holds no pictures: save it by save_to_disk(), which "
                "puts them in"
            )
        return image, label_column(schema, named_label, of=self.of, but=image)

    def _labels(self, tables: Sequence[pa.Table], label: str) -> tuple[tuple[str, ...], Int64s, bool]:
        schema = tables[0].schema
        columns = [table.column(label) for table in tables]
        if any(column.null_count for column in columns):
            raise DataError(f"column {label!r} of {self.of} has rows without a label: fill or remove them")
        if is_text(schema.field(label).type):
            return numbered([text for column in columns for text in column.to_pylist()], of=self.of)
        if not pa.types.is_integer(schema.field(label).type):
            raise DataError(
                f"labels must be integers or text: column {label!r} of {self.of} holds {schema.field(label).type}"
            )
        found = np.concatenate([column.cast(pa.int64(), safe=False).to_numpy() for column in columns])
        if found.min() < 0 or found.max() >= MAX_CLASSES:
            wrong = int(found.min() if found.min() < 0 else found.max())
            raise DataError(f"labels must be integers in [0, {MAX_CLASSES}): {self.of} has {wrong}")
        names = (
            tuple(class_names_of(schema, label, self.of)) or Classes.numbered(1 + int(found.max()), of=self.of).names
        )
        if len(names) <= found.max():
            raise DataError(
                f"{self.of} has the label {found.max()}, but names {len(names)} classes, {names[0]!r} first"
            )
        return names, found, False


def _json(path: Path) -> dict:
    try:
        found = parse_json(read_regular(path, at_most=2**24), where=str(path), error=DataError)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path} is no object of JSON, as save_to_disk writes it: {json.dumps(found)[:60]}")
    return found
