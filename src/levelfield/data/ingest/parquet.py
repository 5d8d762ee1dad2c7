"""Encoded images and labels in the columns of Parquet files: bytes, Hugging Face's Image, or paths to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

import numpy as np

from levelfield.data.classes import Classes
from levelfield.data.draws import Int64s
from levelfield.data.ingest.columns import image_column, is_text, label_column
from levelfield.data.ingest.format import InPlace, Listing, Opener
from levelfield.data.ingest.named_labels import leads_outside, numbered
from levelfield.data.ingest.parquet_paths import paths_of
from levelfield.data.stores.parquet import ParquetStore
from levelfield.data.stores.parquet_file import Columns, ParquetFile, parquet_schema
from levelfield.records.errors import DataError

_NONE = np.zeros(0, dtype=np.int64)


class ParquetTable:
    """A :class:`levelfield.data.ingest.format.Format`: the rows of some Parquet files, which messages call ``of``.

    Classes are ``0 .. largest label``, named by the schema's ``class_names`` (a JSON list) or Hugging Face's
    ClassLabel, or the sorted texts of a column of names. Columns that are not named must be the only ones that fit.
    """

    def __init__(self, of: str, paths: Callable[[], Sequence[str]], *, image: str | None, label: str | None) -> None:
        self.of, self._find, self._named = of, paths, (image, label)
        self.rule = f"parquet {image!r} {label!r}"
        self._paths: Sequence[str] = ()

    @classmethod
    def at(cls, path: str, *, image: str | None, label: str | None) -> ParquetTable:
        """The rows of a file, of all ``*.parquet`` of a folder, or of a glob."""
        return cls(path, lambda: [str(each) for each in paths_of(path)], image=image, label=label)

    def files(self) -> Sequence[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        self._paths = self._paths or self._find()
        return self._paths

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        columns, apart = self._columns()
        files = [ParquetFile(path, columns) for path in self.files()]
        rows = [sum(file.num_rows(group) for group in range(file.num_row_groups)) for file in files]
        if not sum(rows):
            raise DataError(f"{self.of} holds no rows: expected images in column {(apart or columns.images[0])!r}")
        names, labels, sorted_as_text = self._labels(files, columns)
        paths = None
        if apart is not None:
            paths = [_below(path, of=self.of) for path in _texts(files, apart)]
        return Listing(
            class_names=names,
            sorted_as_text=sorted_as_text,
            labels=labels,
            shards=np.repeat(np.arange(len(files), dtype=np.uint32), rows),
            offsets=np.concatenate([np.arange(number, dtype=np.uint64) for number in rows]),
            lengths=np.zeros(sum(rows), dtype=np.uint64),
            names=paths,
        )

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        stays = self.in_place()
        if stays is not None:
            return stays.opener(self.of)
        return partial(ParquetStore, self.files(), self._columns()[0], of=self.of)

    def in_place(self) -> InPlace | None:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`: where rows name files, those stay."""
        if self._columns()[1] is None:
            return None
        return InPlace(kind="files", root=os.path.abspath(os.path.dirname(self.files()[0])))

    def _columns(self) -> tuple[Columns, str | None]:
        """The columns to be read, and that of paths where pictures lie apart."""
        named_image, named_label = self._named
        schema = parquet_schema(self.files()[0])
        image = image_column(schema, named_image, of=self.files()[0])
        label = label_column(schema, named_label, of=self.files()[0], but=image)
        texts = tuple(name for name in (image, label) if is_text(schema.field(name).type))
        images = () if image in texts else (image,)
        columns = Columns(images=images, label=None if label in texts else label, texts=texts)
        return columns, image if image in texts else None

    def _labels(self, files: Sequence[ParquetFile], columns: Columns) -> tuple[tuple[str, ...], Int64s, bool]:
        if columns.label is None:
            return numbered(list(_texts(files, columns.texts[-1])), of=self.of)
        found = np.concatenate(
            [_NONE, *chain.from_iterable(map(file.labels, range(file.num_row_groups)) for file in files)]
        )
        return _class_names(files, 1 + int(found.max()), of=self.of), found, False


def _texts(files: Sequence[ParquetFile], name: str) -> Iterable[str]:
    return chain.from_iterable(file.texts(group, name) for file in files for group in range(file.num_row_groups))


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
