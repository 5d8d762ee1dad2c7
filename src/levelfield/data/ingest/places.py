"""The one door: what lies at a place, in its training and its held-out part, for whichever verb asks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from levelfield.data.ingest.folder import ClassFolders, existing_folder
from levelfield.data.ingest.format import Format
from levelfield.data.ingest.layout import is_parquet, parts_of
from levelfield.data.ingest.opening import opened
from levelfield.data.ingest.parquet import ParquetTable
from levelfield.data.stores.base import Store

logger = logging.getLogger(__name__)

IMAGE_COLUMN, LABEL_COLUMN = "image", "label"
"""What columns of a table are called where nothing is said."""


@dataclass(frozen=True, kw_only=True)
class PlaceSaid:
    """What a user says of where pictures lie, where held-out ones do if apart, and what columns are called."""

    path: str
    report_path: str | None = None
    image_column: str = IMAGE_COLUMN
    label_column: str = LABEL_COLUMN


def stores_at(place: PlaceSaid, *, parquet: bool, rehash: bool = False) -> tuple[Store, Store | None]:
    """The training pictures at a place and, where the data has its own, the held-out ones.

    A folder that holds nothing but ``train`` and some of ``test``, ``val`` and ``validation`` is such a data set:
    train is the training part and, unless ``report_path`` says otherwise, the first of test, val and validation that
    exists is the report split; the others are not used.

    Raises:
        DataError: something is missing, or is laid out otherwise.
    """
    forms = _tables(place) if parquet else _folders(place)
    train, report = (None if form is None else opened(form, rehash=rehash) for form in forms)
    assert train is not None
    return train, report


def judged_at(place: PlaceSaid) -> Store:
    """All labelled pictures at a place to be judged on: of a data set in parts the held-out one.

    Raises:
        DataError: see :func:`stores_at`.
    """
    parquet = is_parquet(place.path)
    train, held_out = _tables(place) if parquet else _folders(place)
    return opened(held_out or train)


def _tables(place: PlaceSaid) -> tuple[Format, Format | None]:
    def table(path: str) -> Format:
        return ParquetTable(path, image_column=place.image_column, label_column=place.label_column)

    return table(place.path), None if place.report_path is None else table(place.report_path)


def _folders(place: PlaceSaid) -> tuple[Format, Format | None]:
    parts = parts_of(existing_folder(place.path))
    held_out: Path | None = parts.held_out
    if place.report_path is not None:
        held_out = existing_folder(place.report_path)
    for name in parts.unused if place.report_path is None else ():
        logger.warning("%s is not used: the report split is %s", parts.train.with_name(name), held_out)
    return ClassFolders(parts.train), None if held_out is None else ClassFolders(held_out)
