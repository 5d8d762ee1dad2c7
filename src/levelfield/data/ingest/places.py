"""The one door: what lies at a place, in its training and its held-out part, for whichever verb asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from levelfield.data.ingest.arrow import ArrowTable, is_saved_to_disk, saved_parts
from levelfield.data.ingest.built import BUILDING, BuiltPart, is_built, read_manifest
from levelfield.data.ingest.columns import TextsSaid
from levelfield.data.ingest.csv import PathTable
from levelfield.data.ingest.far import far_parts
from levelfield.data.ingest.folder import ClassFolders, existing_folder
from levelfield.data.ingest.format import Format
from levelfield.data.ingest.layout import PART_NAMES, is_parquet, part_of, parts_of
from levelfield.data.ingest.named_files import before_pattern, files_named, is_pattern
from levelfield.data.ingest.opening import opened, opened_texted
from levelfield.data.ingest.pairs import is_paired
from levelfield.data.ingest.pairs_tar import is_paired_tars
from levelfield.data.ingest.parquet import ParquetTable
from levelfield.data.ingest.parquet_paths import parquet_files
from levelfield.data.ingest.tar import tar_parts
from levelfield.data.ingest.tree import DiskFolder
from levelfield.data.manifest import Skipped
from levelfield.data.said import say
from levelfield.data.stores.base import Store
from levelfield.data.stores.remote import is_far
from levelfield.data.stores.texted import TextedStore
from levelfield.records.data import Split
from levelfield.records.errors import DataError, quoted_names

_TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
_PAIRS = (
    "{} holds pictures and their masks, which are no classes: say source = 'masked-images' (--task segmentation), or "
    "call the folders otherwise if they are classes"
)
_SPLITS: Mapping[str, Split] = {"train": "train", "val": "select", "test": "report"}
_PACKED = (".zip", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


@dataclass(frozen=True, kw_only=True)
class PlaceSaid:
    """What a user says of where pictures lie, where held-out ones do if apart, and what columns are called.

    A column that is not named must be called as is usual, or be the only one that fits. ``texts`` asks for what is said
    of pictures, which then need no label.
    """

    path: str
    report_path: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    texts: TextsSaid | None = None


class TextCounts(NamedTuple):
    """So many texts of so many pictures."""

    texts: int
    pictures: int


Part: TypeAlias = Format | BuiltPart


def _refuse_masks(parts: Mapping[str, Part], path: str) -> None:
    """Refuse to take pictures that have masks for labelled ones."""
    if any(isinstance(form, BuiltPart) and form.facts.masks is not None for form in parts.values()):
        raise DataError(f"{path} holds pictures with masks and no labels: say source = 'masked-images'")


def stores_at(place: PlaceSaid, *, rehash: bool = False) -> tuple[Store, Store | None]:
    """The training pictures at a place and, where the data has its own, the held-out ones.

    Of a data set in parts these are train and, unless ``report_path`` says otherwise, the first of test and val that
    there is; the other is not used, which is said.

    Raises:
        DataError: something is missing, or is laid out otherwise.
    """
    parts = forms_at(place, place.path)
    _refuse_masks(parts, place.path)
    held_out = _held_out(parts, place)
    if place.report_path is not None:
        apart = forms_at(place, place.report_path)
        if len(apart) > 1:
            raise DataError(f"{place.report_path} holds the parts {quoted_names(list(apart))}: name the held-out one")
        (held_out,) = apart.values()
    train = opened(parts["train"], rehash=rehash)
    return train, None if held_out is None else opened(held_out, rehash=rehash)


def texted_at(place: PlaceSaid, *, rehash: bool = False) -> dict[Split, TextedStore]:
    """The pictures at a place with what is said of them, by the split that each part is: test reports, or what lies at
    ``report_path``; val selects.

    Raises:
        DataError: something is missing, or is laid out otherwise.
    """
    parts = forms_at(place, place.path)
    if place.report_path is not None:
        apart = forms_at(place, place.report_path)
        if len(apart) > 1:
            raise DataError(f"{place.report_path} holds the parts {quoted_names(list(apart))}: name the held-out one")
        (parts["test"],) = apart.values()
    _refuse_masks(parts, place.path)
    return {_SPLITS[part]: opened_texted(form, rehash=rehash) for part, form in parts.items()}


def judged_at(place: PlaceSaid) -> Store:
    """All labelled pictures at a place to be judged on: of a data set in parts the held-out one.

    Raises:
        DataError: see :func:`stores_at`.
    """
    parts = forms_at(place, place.path)
    _refuse_masks(parts, place.path)
    return opened(_held_out(parts, place) or parts["train"])


def listed_forms(place: PlaceSaid) -> dict[str, Format]:
    """The parts of what lies at a place that is to be built: what is no picture is left out and counted.

    Raises:
        DataError: see :func:`forms_at`; or it was built already.
    """
    found: dict[str, Format] = {}
    for part, form in forms_at(place, place.path, passing_by=True).items():
        if isinstance(form, BuiltPart):
            raise DataError(f"{place.path} was built already: use it as it is, or build its tars ({form.folder})")
        found[part] = form
    return found


def looked_at(place: PlaceSaid) -> tuple[dict[str, Store], list[Skipped]]:
    """The pictures of every part of what lies at a place, and what beside them is none.

    Raises:
        DataError: see :func:`forms_at`.
    """
    stores: dict[str, Store] = {}
    skipped: dict[Skipped, None] = {}
    for part, form in forms_at(place, place.path, passing_by=True).items():
        stores[part] = opened(form)
        if not isinstance(form, BuiltPart):
            skipped |= dict.fromkeys(form.listed().skipped)
    return stores, list(skipped)


def texts_counted(place: PlaceSaid) -> dict[str, TextCounts]:
    """How much is said of the pictures of every part of which anything is.

    Raises:
        DataError: see :func:`forms_at`.
    """
    found: dict[str, TextCounts] = {}
    for part, form in forms_at(place, place.path, passing_by=True).items():
        if isinstance(form, BuiltPart):
            if (said := form.facts.texts) is not None:
                found[part] = TextCounts(texts=said.num_texts, pictures=said.contents.num_examples)
        elif texts := form.listed().texts:
            found[part] = TextCounts(texts=sum(map(len, texts)), pictures=sum(map(bool, texts)))
    return found


def _held_out(parts: Mapping[str, Part], place: PlaceSaid) -> Part | None:
    held_out = [part for part in ("test", "val") if part in parts]
    for unused in held_out[1:] if place.report_path is None else ():
        say(f"{unused} of {place.path} is not used: the report split is {held_out[0]}")
    return parts[held_out[0]] if held_out else None


def forms_at(place: PlaceSaid, path: str, *, passing_by: bool = False) -> dict[str, Part]:
    """The parts of what lies at ``path``, "train" among them; with ``passing_by`` what is no picture is left out.

    Raises:
        DataError: nothing is there, or what is there is not understood.
    """
    if is_far(path):
        _refuse_columns(place, path)
        return dict(far_parts(path))
    where, columns = Path(path).expanduser(), _columns(place)
    if is_parquet(path):
        return _tables(path, columns)
    if where.is_dir() and is_built(where):
        _refuse_columns(place, path)
        return {part: BuiltPart(where, part, facts) for part, facts in read_manifest(where).parts.items()}
    if (where / BUILDING).is_dir():
        raise DataError(f"{path} is not built to its end: run `levelfield data build` again, which goes on")
    if where.is_dir() and is_saved_to_disk(where):
        if place.texts is not None:
            raise DataError(f"{path} is what save_to_disk leaves, of which texts are not read: write it as Parquet")
        return {part: ArrowTable(folder, **columns) for part, folder in saved_parts(where).items()}
    tars = files_named(path, ".tar")
    if tars:
        _refuse_columns(place, path, but_labels=True)
        if is_paired_tars(tars, of=path):
            raise DataError(_PAIRS.format(path))
        return dict(tar_parts(tars, of=path, label=place.label_column, text=place.texts and place.texts.column))
    if where.is_file() and where.suffix.lower() in _TABLES:
        return dict(PathTable(where, **columns).parts(passing_by=passing_by))
    if where.is_file() and where.suffix.lower() in _PACKED:
        raise DataError(f"{path} is packed and cannot be read at random: unpack it, and name what was in it")
    if is_pattern(path) or not where.is_dir():
        raise DataError(
            f"path {path!r} is not a folder here ({where.absolute()}), and names no tar, Parquet or table of files"
        )
    _refuse_columns(place, path)
    if place.texts is not None:
        raise DataError(
            f"{path} is a folder of pictures, of which nothing is said there: name a table of paths and texts in it, "
            "tars of KEY.jpg and KEY.txt, or Parquet"
        )
    if is_paired(where):
        raise DataError(_PAIRS.format(path))
    return _folders(path, passing_by=passing_by)


def _columns(place: PlaceSaid) -> dict[str, Any]:
    named: dict[str, Any] = {"image": place.image_column, "label": place.label_column}
    return named if place.texts is None else {**named, "texts": place.texts}


def _tables(path: str, columns: Mapping[str, Any]) -> dict[str, Part]:
    """One table, or one a part where a folder or a pattern names files that are called after parts, as a hub's are."""
    place = before_pattern(path)
    by_part: dict[str, list[str]] = {}
    for file in parquet_files(path):
        by_part.setdefault(PART_NAMES.get(part_of(file.relative_to(place)) or "", ""), []).append(str(file))
    if set(by_part) <= {""} or len(by_part) == 1:
        return {"train": ParquetTable.at(path, **columns)}
    if "" in by_part or "train" not in by_part:
        seen = quoted_names([str(Path(own[0]).relative_to(place)) for own in by_part.values()])
        raise DataError(f"{place} holds parts of a data set, {seen}, and nothing says which to train on: name it")
    return {
        part: ParquetTable(f"{path} ({part})", lambda own=own: own, **columns) for part, own in sorted(by_part.items())
    }


def _folders(path: str, *, passing_by: bool) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part, folder in parts_of(existing_folder(path)).items():
        assert isinstance(folder, DiskFolder)
        found[part] = ClassFolders(folder, passing_by=passing_by)
    return found


def _refuse_columns(place: PlaceSaid, path: str, *, but_labels: bool = False) -> None:
    for name, said in (("image_column", place.image_column), ("label_column", place.label_column)):
        if said is not None and not (but_labels and name == "label_column"):
            raise DataError(f"{name} names a column of a table, and {path} is none: leave it out")
