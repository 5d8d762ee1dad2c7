"""One Parquet file of images: its columns checked, its row groups read in pieces of bounded size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from levelfield.data.draws import Int64s
from levelfield.data.stores.parquet_claims import read_claims
from levelfield.data.texts import told
from levelfield.records.codec import parse_json
from levelfield.records.errors import DataError, did_you_mean, first_line, lacks_memory

MAX_CLASSES = 1_000_000
"""A larger label is a hash or an identifier, not the number of a class."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are called: encoded ``images``, of which the first are pictures, ``paths`` of those
    that lie apart, a ``label`` where there is one, ``texts``, and what is ``said`` of pictures, one text or a list."""

    images: tuple[str, ...] = ()
    label: str | None = None
    texts: tuple[str, ...] = ()
    paths: str | None = None
    said: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        alone = (name for name in (self.paths, self.label, self.said) if name is not None)
        return (*self.images, *self.texts, *alone)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of that type holds text, spelt out or by a dictionary, as pandas writes categories."""
    if isinstance(kind, pa.DictionaryType):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column of that type holds bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def holds_texts(kind: pa.DataType) -> bool:
    """Whether a column of that type holds text, or lists of it."""
    lists = isinstance(kind, (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType))
    return is_text(kind.value_type if lists else kind)


def names_paths(kind: pa.DataType) -> bool:
    """Whether a column of that type is Hugging Face's Image with a place for paths."""
    if not isinstance(kind, pa.StructType) or kind.get_field_index("path") < 0:
        return False
    return is_text(kind.field("path").type)


def _part(column: pa.ChunkedArray, name: str) -> list[Any]:
    """The values of a field of a column of structs, None in the rows that have none."""
    place = column.type.get_field_index(name)
    if place < 0:
        return [None] * len(column)
    return _spelt_once(pa.chunked_array([chunk.flatten()[place] for chunk in column.chunks], column.type[place].type))


def _spelt_once(column: pa.ChunkedArray) -> list[Any]:
    """The values of ``column``, equal ones of a dictionary as one object."""
    found: list[Any] = []
    for chunk in column.chunks:
        if isinstance(chunk, pa.DictionaryArray):
            known = chunk.dictionary.to_pylist()
            found += [None if place is None else known[place] for place in chunk.indices.to_pylist()]
        else:
            found += chunk.to_pylist()
    return found


def parquet_schema(path: str | Path) -> pa.Schema:
    """The columns of the Parquet file at ``path`` and their types.

    Raises:
        DataError: it is no Parquet, or damaged.
    """
    try:
        return pq.read_schema(path)
    except Exception as error:
        if lacks_memory(error):
            raise
        raise DataError(
            f"{path} cannot be read as Parquet: {(first_line(error) or type(error).__name__)[:200]}"
        ) from None


class ParquetFile:
    """The file at ``path``. ``class_names`` are those that its schema names, and none where it names none.

    Raises:
        DataError: it is damaged, claims more than its size allows, or lacks a column of the right kind.
    """

    def __init__(self, path: str | Path, columns: Columns) -> None:
        self.path, self._columns = path, columns
        with self._told():
            self._parquet = pq.ParquetFile(path)
            self._schema = self._parquet.schema_arrow
        self._spelling: dict[str, pq.ParquetFile] = {}
        self.num_row_groups = self._parquet.num_row_groups
        for name in columns.names:
            times = self._schema.names.count(name)
            if times == 0:
                raise DataError(f"{path} has no column {name!r}{did_you_mean(name, self._schema.names)}")
            if times > 1:
                raise DataError(f"{path} has {times} columns {name!r}: expected one")
        self._check_types()
        self._claims = read_claims(path, columns.names, holds_images=bool(columns.images))
        if len(self._claims.num_rows) != self.num_row_groups:
            raise DataError(f"{path} cannot be read as Parquet: its row groups are damaged")
        self.class_names = class_names_of(self._schema, columns.label, path)
        self.ignore_index = None if columns.label else _ignore_index(self._schema, path)

    def num_rows(self, group: int) -> int:
        """The rows of a row group, as it claims; whoever reads a column of it compares."""
        return self._claims.num_rows[group]

    def labels(self, group: int) -> Int64s:
        """The labels of a row group, in [0, MAX_CLASSES)."""
        name = self._columns.label
        assert name is not None
        with self._told(f"row group {group} of "):
            column = self._parquet.read_row_group(group, columns=[name]).column(name)
            labels = column.cast(pa.int64(), safe=False).fill_null(-1).to_numpy()
        self._check_rows(group, len(labels))
        wrong = (labels < 0) | (labels >= MAX_CLASSES)
        if wrong.any():
            inside = int(np.argmax(wrong))
            row = sum(self._claims.num_rows[:group]) + inside
            seen = column[inside].as_py()
            raise DataError(f"labels must be integers in [0, {MAX_CLASSES}): {self.path} row {row} has {seen}")
        return labels

    def texts(self, group: int, name: str) -> list[str]:
        """What the text column called ``name`` says in a row group."""
        with self._told(f"row group {group} of "):
            texts = _spelt_once(self._texts(name).read_row_group(group, columns=[name]).column(name))
        self._check_rows(group, len(texts))
        if None in texts:
            row = sum(self._claims.num_rows[:group]) + texts.index(None)
            raise DataError(f"{self.path} row {row} has nothing in column {name!r}: fill it or remove the row")
        return texts

    def said(self, group: int) -> list[tuple[str, ...]]:
        """The texts of every row of a row group, none where it has none."""
        name = self._columns.said
        assert name is not None
        with self._told(f"row group {group} of "):
            found = _spelt_once(self._parquet.read_row_group(group, columns=[name], use_threads=False).column(name))
        self._check_rows(group, len(found))
        lists = ([each] if isinstance(each, str) else each or () for each in found)
        return [told(text for text in texts if text is not None) for texts in lists]

    def paths(self, group: int, name: str) -> list[str]:
        """What the rows of a row group name in the column of paths called ``name``.

        Raises:
            DataError: a row holds a picture itself, or names none.
        """
        if not isinstance(self._schema.field(name).type, pa.StructType):
            return self.texts(group, name)
        with self._told(f"row group {group} of "):
            column = self._texts(f"{name}.path").read_row_group(group, columns=[name]).column(name)
            paths, held = (_part(column, part) for part in ("path", "bytes"))
        self._check_rows(group, len(paths))
        first = sum(self._claims.num_rows[:group])
        for row, (path, bytes_) in enumerate(zip(paths, held, strict=True), start=first):
            if bytes_ is not None:
                raise DataError(f"{self.path} row {row} holds a picture in {name!r}, and rows before it name files")
            if path is None:
                raise DataError(f"{self.path} row {row} has no {name}: fill the row or remove it")
        return paths

    def names_files(self, name: str) -> bool:
        """Whether the first row of the column called ``name`` names a file and holds no picture itself."""
        with self._told():
            for batch in self._parquet.iter_batches(1, columns=[name], use_threads=False):
                for row in batch.column(0):
                    first = row.as_py() or {}
                    return first.get("bytes") is None and first.get("path") is not None
        return False

    def _texts(self, name: str) -> pq.ParquetFile:
        """The file, its text column called ``name`` as a dictionary: one text may stand in millions of rows."""
        if name not in self._spelling:
            self._spelling[name] = pq.ParquetFile(self.path, read_dictionary=[name])
        return self._spelling[name]

    def encoded(self, group: int, name: str) -> pa.ChunkedArray:
        """The encoded images of a row group in the column called ``name``.

        A dictionary may spell one image out for every row, so no more rows are read at once than stay within what the
        file may unpack to if each were as large as all of the dictionary.
        """
        found: list[pa.Array] = []
        total = 0
        with self._told(f"row group {group} of "):
            for batch in self._parquet.iter_batches(
                self._rows_at_once(group), row_groups=[group], columns=[name], use_threads=False
            ):
                column = batch.column(0)
                if isinstance(column, pa.StructArray):
                    column = column.flatten()[column.type.get_field_index("bytes")]
                found.append(column)
                total += column.nbytes
                if total > self._claims.most_bytes:
                    raise DataError(
                        f"row group {group} of {self.path} unpacks to {total:,} bytes or more: it is no data"
                    )
        images = pa.chunked_array(found, type=None if found else pa.binary())
        self._check_rows(group, len(images))
        return images

    def _rows_at_once(self, group: int) -> int:
        within = self._claims.most_bytes // (1 + self._claims.dictionary_bytes[group])
        return max(1, min(self._claims.num_rows[group], within))

    def _check_rows(self, group: int, seen: int) -> None:
        if (claimed := self._claims.num_rows[group]) != seen:
            raise DataError(f"row group {group} of {self.path} claims {claimed} rows and has {seen}")

    def _check_types(self) -> None:
        images, label, texts = self._columns.images, self._columns.label, self._columns.texts
        kinds = {name: self._schema.field(name).type for name in self._columns.names}
        if label is not None and not pa.types.is_integer(kinds[label]):
            raise DataError(f"labels must be integers: column {label!r} of {self.path} holds {kinds[label]}")
        for name in images:
            kind = kinds[name]
            if isinstance(kind, pa.StructType) and kind.get_field_index("bytes") >= 0:
                kind = kind.field("bytes").type
            if not is_binary(kind):
                place = f"column {name!r} of {self.path}"
                raise DataError(f"images must be encoded bytes (JPEG, PNG, …): {place} holds {kind}")
        if self._columns.paths is not None:
            kind = kinds[self._columns.paths]
            if not (is_text(kind) or names_paths(kind)):
                raise DataError(f"column {self._columns.paths!r} of {self.path} must hold paths, saw {kind}")
        for name in texts:
            if not is_text(kinds[name]):
                raise DataError(f"column {name!r} of {self.path} must hold text, saw {kinds[name]}")

        said = self._columns.said
        if said is not None and not holds_texts(kinds[said]):
            raise DataError(f"column {said!r} of {self.path} must hold text, or lists of it, saw {kinds[said]}")

    @contextlib.contextmanager
    def _told(self, part: str = "") -> Iterator[None]:
        """Turn what Arrow raises of a damaged file, which may be anything, into one clear message."""
        try:
            yield
        except DataError:
            raise
        except Exception as error:
            if lacks_memory(error):  # which is no fault of the file
                raise
            said = "cannot be read" if part else "cannot be read as Parquet"
            seen = (first_line(error) or type(error).__name__)[:200]
            raise DataError(f"{part}{self.path} {said}: {seen}") from None


def class_names_of(schema: pa.Schema, label_column: str | None, path: str | Path) -> Sequence[str]:
    """The names of the classes of ``label_column`` that a schema gives, none where it gives none.

    Raises:
        DataError: what it says of them is damaged.
    """
    metadata = schema.metadata or {}
    names: Any = _json(metadata, b"class_names", path) or []
    if not names and b"huggingface" in metadata:
        names = _json(metadata, b"huggingface", path)
        for key in ("info", "features", label_column, "names"):
            names = names.get(key) if isinstance(names, dict) else None
    if not isinstance(names, list):
        return []
    if len(names) > MAX_CLASSES:
        raise DataError(f"{path} names {len(names):,} classes, expected at most {MAX_CLASSES:,}")
    return [str(name) for name in names]


def _ignore_index(schema: pa.Schema, path: str | Path) -> int | None:
    """The value of pixels of no class that the schema names, None where it names none."""
    found = _json(schema.metadata or {}, b"ignore_index", path)
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= 255):
        return found
    raise DataError(f"the metadata 'ignore_index' of {path} must be a number from 0 to 255, saw {found!r}")


def _json(metadata: Any, key: bytes, path: str | Path) -> Any:
    if key not in metadata:
        return None
    return parse_json(metadata[key], where=f"the metadata {key.decode()!r} of {path}", error=DataError)
