"""Encoded images and labels in the columns of Parquet files: bytes, Hugging Face's Image, or paths to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import chain

import numpy as np

from levelfield.data.classes import Classes
from levelfield.data.draws import Int64s
from levelfield.data.ingest.columns import TextsSaid, image_column, label_column, label_column_if_any, text_column
from levelfield.data.ingest.format import InPlace, Listing, Opener
from levelfield.data.ingest.named_labels import leads_outside, numbered
from levelfield.data.ingest.parquet_paths import paths_of
from levelfield.data.manifest import UNLABELLED
from levelfield.data.stores.parquet import ParquetStore
from levelfield.data.stores.parquet_file import Columns, ParquetFile, is_text, names_paths, parquet_schema
from levelfield.records.errors import DataError

_NONE = np.zeros(0, dtype=np.int64)


class ParquetTable:
    """A :class:`levelfield.data.ingest.format.Format`: the rows of some Parquet files, which messages call ``of``.

    Classes are ``0 .. largest label``, named by the schema's ``class_names`` (a JSON list) or Hugging Face's
    ClassLabel, or the sorted texts of a column of names. Columns that are not named must be the only ones that fit.
    """

    def __init__(
        self,
        of: str,
        paths: Callable[[], Sequence[str]],
        *,
        image: str | None,
        label: str | None,
        texts: TextsSaid | None = None,
    ) -> None:
        self.of, self._find, self._named, self._wanted = of, paths, (image, label), texts
        self.rule = f"parquet {image!r} {label!r}" + ("" if texts is None else f" texts {texts.column!r}")

    @classmethod
    def at(cls, path: str, *, image: str | None, label: str | None, texts: TextsSaid | None = None) -> ParquetTable:
        """The rows of a file, of all ``*.parquet`` of a folder, or of a glob."""
        return cls(path, lambda: [str(each) for each in paths_of(path)], image=image, label=label, texts=texts)

    def files(self) -> Sequence[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`: where rows name files these, then the tables."""
        root = self._root()
        return [*(os.path.join(root, os.fsdecode(path)) for path in self._named_files or ()), *self._tables]

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        files = [ParquetFile(path, self._columns) for path in self._tables]
        rows = [sum(map(file.num_rows, range(file.num_row_groups))) for file in files]
        number, paths = sum(rows), self._named_files
        if not number:
            raise DataError(f"{self.of} holds no rows: expected images in column {self._columns.names[0]!r}")
        names, labels, sorted_as_text = self._labels(files, self._columns)
        shards = np.repeat(np.arange(len(files), dtype=np.uint32), rows)
        offsets = np.concatenate([np.arange(each, dtype=np.uint64) for each in rows])
        return Listing(
            class_names=names,
            sorted_as_text=sorted_as_text,
            labels=labels,
            shards=shards if paths is None else np.arange(number, dtype=np.uint32),
            offsets=offsets if paths is None else np.zeros(number, dtype=np.uint64),
            lengths=np.zeros(number, dtype=np.uint64),
            names=paths,
            texts=None if self._columns.said is None else list(_said(files)),
        )

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        stays = self.in_place()
        return (
            partial(ParquetStore, self._tables, self._columns, of=self.of) if stays is None else stays.opener(self.of)
        )

    def in_place(self) -> InPlace | None:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`: where rows name files, those stay."""
        return None if self._columns.paths is None else InPlace(kind="files", root=os.path.abspath(self._root()))

    def _root(self) -> str:
        """What paths count from."""
        return os.path.dirname(self._tables[0])

    @cached_property
    def _tables(self) -> Sequence[str]:
        return self._find()

    @cached_property
    def _named_files(self) -> list[bytes] | None:
        """The picture files that rows name, where they name some."""
        name = self._columns.paths
        if name is None:
            return None
        files = (ParquetFile(path, self._columns) for path in self._tables)
        paths = chain.from_iterable(file.paths(group, name) for file in files for group in range(file.num_row_groups))
        return [_below(path, of=self.of) for path in paths]

    @cached_property
    def _columns(self) -> Columns:
        """The columns to be read."""
        first, (named_image, named_label) = self._tables[0], self._named
        schema = parquet_schema(first)
        image = image_column(schema, named_image, of=first)
        texted = self._wanted is not None
        label = (label_column_if_any if texted else label_column)(schema, named_label, of=first, but=image)
        apart = is_text(schema.field(image).type) or (
            names_paths(schema.field(image).type) and ParquetFile(first, Columns(paths=image)).names_files(image)
        )
        texts = (label,) if label is not None and is_text(schema.field(label).type) else ()
        said = None
        if self._wanted is not None:
            said = text_column(schema, self._wanted.column, of=first, but=(image, label))
        return Columns(
            said=said,
            images=() if apart else (image,),
            paths=image if apart else None,
            label=None if texts else label,
            texts=texts,
        )

    def _labels(self, files: Sequence[ParquetFile], columns: Columns) -> tuple[tuple[str, ...], Int64s, bool]:
        if columns.label is None and not columns.texts:
            number = sum(file.num_rows(group) for file in files for group in range(file.num_row_groups))
            return (UNLABELLED,), np.zeros(number, dtype=np.int64), False
        if columns.label is None:
            return numbered(list(_texts(files, columns.texts[-1])), of=self.of)
        found = np.concatenate(
            [_NONE, *chain.from_iterable(map(file.labels, range(file.num_row_groups)) for file in files)]
        )
        return _class_names(files, 1 + int(found.max()), of=self.of), found, False


def _texts(files: Sequence[ParquetFile], name: str) -> Iterable[str]:
    return chain.from_iterable(file.texts(group, name) for file in files for group in range(file.num_row_groups))


def _said(files: Sequence[ParquetFile]) -> Iterable[tuple[str, ...]]:
    return chain.from_iterable(file.said(group) for file in files for group in range(file.num_row_groups))


def _below(path: str, *, of: str) -> bytes:
    if leads_outside(path):
        raise DataError(f"{of} names {path!r}, which is no path below the folder of the table: write it from there")
    return os.fsencode(path)


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
