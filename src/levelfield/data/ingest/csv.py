"""A table that names picture files and their labels: CSV by comma, semicolon or tab, or JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from levelfield.data.ingest.columns import TextsSaid, image_column, label_column, label_column_if_any, text_column
from levelfield.data.ingest.format import InPlace, Listing, Opener
from levelfield.data.ingest.layout import PART_NAMES
from levelfield.data.ingest.named_labels import leads_outside, numbered
from levelfield.data.ingest.tree import is_image
from levelfield.data.manifest import UNLABELLED, Skipped, SkipReason
from levelfield.data.texts import texts_of_cell, told
from levelfield.records.errors import DataError, InputError, quoted_names
from levelfield.scaling.tables.file import read_table_file
from levelfield.scaling.tables.text import TextTable

_PART_COLUMNS = ("split", "part", "set", "subset", "fold")


class PathTable:
    """The table at ``path``; pictures are counted from its folder."""

    def __init__(self, path: Path, *, image: str | None, label: str | None, texts: TextsSaid | None = None) -> None:
        self.path, self._named, self._wanted = path, (image, label), texts
        try:
            self._table = read_table_file(path)
        except InputError as error:
            raise DataError(str(error)) from None

    def parts(self, *, passing_by: bool) -> dict[str, ListedFiles]:
        """The rows of every part that a column of parts names; all of them are for training where there is none.

        Raises:
            DataError: a column is missing or could be several, or a part has another name.
        """
        table, of = self._table, str(self.path)
        if not table.names:
            raise DataError(f"{of} is empty: expected a row that names the columns, and a picture and its label a row")
        for name in filter(is_image, table.names):
            raise DataError(
                f"{of} begins with {name!r}, which names a picture and no column: put a row above it that names the "
                "columns (file,label)"
            )
        schema = pa.schema([(name, pa.string()) for name in table.names])
        named_image, named_label = self._named
        paths_in = [name for name in table.names if _names_images(table, name)]
        image = named_image or (paths_in[0] if len(paths_in) == 1 else None)
        image = image_column(schema, image, of=of)
        unparted, text = _without(schema, _PART_COLUMNS), None
        if self._wanted is None:
            label = label_column(unparted, named_label, of=of, but=image)
        else:
            label = label_column_if_any(unparted, named_label, of=of, but=image)
            text = text_column(unparted, self._wanted.column, of=of, but=(image, label))
        said = [name for name in _PART_COLUMNS if name in table.names and name not in (image, label)]
        rows = {"train": list(range(len(table.places)))}
        if said:
            rows = {}
            for place, cell in enumerate(table.column(said[0]).cells):
                rows.setdefault(PART_NAMES.get(cell.casefold(), ""), []).append(place)
            if "" in rows or "train" not in rows:
                seen = sorted(set(table.column(said[0]).cells))
                raise DataError(
                    f"column {said[0]!r} of {of} names the parts {quoted_names(seen)}: expected train, val, test"
                )
        images, texts = table.column(image).cells, None if text is None else table.column(text).cells
        names, places, as_text = (UNLABELLED,), [0] * len(images), False
        if label is not None:
            labels = table.column(label).cells
            names, numbers, as_text = numbered([cell for cell in labels if cell], of=of)
            found = iter(numbers.tolist())
            places = [next(found) if cell else None for cell in labels]
        listed = [
            NamedFile(images[row], places[row], table.places[row], None if texts is None else texts_of_cell(texts[row]))
            for row in range(len(images))
        ]
        return {
            part: ListedFiles(
                self.path,
                [listed[row] for row in own] if text is None else _joined([listed[row] for row in own], of),
                names,
                as_text,
                rule=f"table {image!r} {label!r} {part}" + ("" if text is None else f" texts {text!r}"),
                passing_by=passing_by,
            )
            for part, own in rows.items()
        }


class NamedFile(NamedTuple):
    """What a row says: a ``path``, the place of its label, where the row stands, and texts where those are wanted."""

    path: str
    label: int | None
    place: str
    texts: tuple[str, ...] | None


def _joined(rows: Sequence[NamedFile], of: str) -> list[NamedFile]:
    """One row a picture, with the texts of all that name it: a table of captions has a row a caption.

    Raises:
        DataError: rows of one picture have different labels.
    """
    found: dict[str, NamedFile] = {}
    for row in rows:
        first = found.setdefault(row.path, row._replace(texts=()))
        if first.label != row.label:
            raise DataError(f"{of} {first.place} and {row.place} give {row.path!r} different labels: mend one of them")
        found[row.path] = first._replace(texts=(*(first.texts or ()), *(row.texts or ())))
    return [row._replace(texts=told(row.texts or ())) for row in found.values()]


class ListedFiles:
    """A :class:`levelfield.data.ingest.format.Format`: files that a table names, each with a label."""

    def __init__(
        self,
        table: Path,
        rows: Sequence[NamedFile],
        names: tuple[str, ...],
        as_text: bool,
        *,
        rule: str,
        passing_by: bool,
    ) -> None:
        self.of, self.rule, self._root = str(table), rule, os.path.dirname(table) or "."
        self._names, self._as_text, self._passing_by = names, as_text, passing_by
        self._skipped: list[Skipped] = []
        named = [row._replace(path=_below(row.path, self._root)) for row in rows]
        self._rows = [row for row in named if self._is_there(row)]

    def files(self) -> list[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`: pictures, and the table, which says their labels."""
        if not self._rows:
            raise DataError(f"{self.of} names no picture that is there")
        return [*(os.path.join(self._root, path) for path in self._paths), self.of]

    @property
    def _paths(self) -> list[str]:
        return [row.path for row in self._rows]

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        number = len(self.files()) - 1
        return Listing(
            class_names=self._names,
            sorted_as_text=self._as_text,
            labels=np.array([row.label or 0 for row in self._rows], dtype=np.int64),
            shards=np.arange(number, dtype=np.uint32),
            offsets=np.zeros(number, dtype=np.uint64),
            lengths=np.zeros(number, dtype=np.uint64),
            names=[os.fsencode(path) for path in self._paths],
            texts=[row.texts for row in self._rows if row.texts is not None] or None,
            skipped=self._skipped,
        )

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        return self.in_place().opener(self.of)

    def in_place(self) -> InPlace:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`."""
        return InPlace(kind="files", root=os.path.abspath(self._root))

    def _is_there(self, row: NamedFile) -> bool:
        path, label, place, texts = row
        why: SkipReason | None = "outside" if leads_outside(path) else None
        why = why or (None if os.path.isfile(os.path.join(self._root, path)) else "missing")
        why = why or ("unlabelled" if label is None else None)
        why = why or ("no-text" if texts == () else None)
        if why is None:
            return True
        if not self._passing_by:
            where = f" ({os.path.abspath(self._root)})" if why == "outside" else ""
            raise DataError(f"{self.of} {place} names {path!r}, which {_SEEN[why]}{where}: mend the row or remove it")
        self._skipped.append(Skipped(path, why))
        return False


_SEEN: Mapping[SkipReason, str] = {
    "outside": "is no path below the folder of the table",
    "missing": "is no file there",
    "unlabelled": "has no label",
    "no-text": "has no text",
}


def _below(path: str, root: str) -> str:
    """``path`` as it is counted from the folder ``root``, if it was written whole, or as Windows writes it."""
    if not leads_outside(path) and "\\" in path and not os.path.lexists(os.path.join(root, path)):
        return path.replace("\\", "/")
    whole = os.path.abspath(root)
    return os.path.relpath(path, whole) if os.path.isabs(path) and path.startswith(f"{whole}/") else path


def _without(schema: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([field for field in schema if field.name not in names])


def _names_images(table: TextTable, name: str) -> bool:
    cells = [cell for cell in table.column(name).cells[:100] if cell]
    return bool(cells) and all(map(is_image, cells))
