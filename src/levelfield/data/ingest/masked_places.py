"""The same door as :mod:`levelfield.data.ingest.places`, for pictures with masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from levelfield.data.ingest.built import BUILDING, BuiltPart, is_built, read_manifest
from levelfield.data.ingest.far import far_parts
from levelfield.data.ingest.format import PairedFormat
from levelfield.data.ingest.layout import is_parquet
from levelfield.data.ingest.mask_classes import MasksSaid
from levelfield.data.ingest.masked_parquet import paired_columns
from levelfield.data.ingest.named_files import files_named
from levelfield.data.ingest.opening import opened_pairs
from levelfield.data.ingest.pairs import is_paired, paired_folders
from levelfield.data.ingest.pairs_tar import is_paired_tars, paired_tars
from levelfield.data.manifest import Skipped
from levelfield.data.stores.masked import MaskedStore
from levelfield.data.stores.remote import is_far
from levelfield.records.data import Split
from levelfield.records.errors import DataError, quoted_names

MaskedPart: TypeAlias = PairedFormat | BuiltPart

_SPLITS: Mapping[str, Split] = {"train": "train", "val": "select", "test": "report"}


@dataclass(frozen=True, kw_only=True)
class MaskedPlaceSaid:
    """What a user says of where pictures with masks lie, what columns of a table are called, and what masks mean."""

    path: str
    report_path: str | None = None
    image_column: str | None = None
    mask_column: str | None = None
    split_column: str | None = None
    sequence_column: str | None = None
    masks: MasksSaid = field(default_factory=MasksSaid)


def masked_stores_at(place: MaskedPlaceSaid, *, rehash: bool = False) -> dict[Split, MaskedStore]:
    """The pictures at a place by the split that each part of them is; those of ``report_path`` report.

    Raises:
        DataError: something is missing, laid out otherwise, or parts differ in what masks mean.
    """
    parts = masked_forms_at(place, place.path)
    if place.report_path is not None:
        apart = masked_forms_at(place, place.report_path)
        if len(apart) > 1:
            raise DataError(f"{place.report_path} holds the parts {quoted_names(list(apart))}: name the held-out one")
        (parts["test"],) = apart.values()
    found: dict[Split, MaskedStore] = {_SPLITS[part]: opened_pairs(form, rehash=rehash) for part, form in parts.items()}
    ours = found["train"].facts
    for store in found.values():
        theirs = store.facts
        if (theirs.names, theirs.ignore_index) != (ours.names, ours.ignore_index):
            raise DataError(
                f"the masks of {place.report_path or 'a part'} have {len(theirs.names)} classes and "
                f"{theirs.ignore_index} for none, those of {place.path} {len(ours.names)} and {ours.ignore_index}, or "
                "other names: say them alike"
            )
    return found


def listed_pairs(place: MaskedPlaceSaid) -> dict[str, PairedFormat]:
    """The parts of what lies at a place that is to be built: what is no pair is left out and counted.

    Raises:
        DataError: see :func:`masked_forms_at`; or it was built already.
    """
    found: dict[str, PairedFormat] = {}
    for part, form in masked_forms_at(place, place.path, passing_by=True).items():
        if isinstance(form, BuiltPart):
            raise DataError(f"{place.path} was built already: use it as it is")
        found[part] = form
    return found


def looked_at_pairs(place: MaskedPlaceSaid) -> tuple[dict[str, MaskedStore], list[Skipped]]:
    """The pictures with masks of every part of what lies at a place, and what beside them is none.

    Raises:
        DataError: see :func:`masked_forms_at`.
    """
    stores: dict[str, MaskedStore] = {}
    skipped: list[Skipped] = []
    for part, form in masked_forms_at(place, place.path, passing_by=True).items():
        stores[part] = opened_pairs(form)
        if not isinstance(form, BuiltPart):
            skipped += form.pictures.listed().skipped
    return stores, skipped


def is_masked_place(path: str) -> bool:
    """Whether pictures with masks lie at ``path``, as far as that can be told: pairs in folders or tars, or built of
    such."""
    if is_far(path):
        return any(part.facts.masks is not None for part in far_parts(path).values())
    where = Path(path).expanduser()
    if where.is_dir() and is_built(where):
        return any(facts.masks is not None for facts in read_manifest(where).parts.values())
    if is_parquet(path):
        return False
    if where.is_dir() and is_paired(where):
        return True
    tars = files_named(path, ".tar")
    return bool(tars) and is_paired_tars(tars, of=path)


def masked_forms_at(place: MaskedPlaceSaid, path: str, *, passing_by: bool = False) -> dict[str, MaskedPart]:
    """The parts of what lies at ``path``, "train" among them; with ``passing_by`` what is no pair is left out.

    Raises:
        DataError: nothing is there, or what is there is not understood.
    """
    where = Path(path).expanduser()
    if is_far(path) or (where.is_dir() and is_built(where)):
        _refuse_columns(place, path)
        built = far_parts(path) if is_far(path) else _built_parts(where)
        for form in built.values():
            _refuse_other_facts(place, form)
        return dict(built)
    if (where / BUILDING).is_dir():
        raise DataError(f"{path} is not built to its end: run `levelfield data build` again, which goes on")
    if is_parquet(path):
        named = {
            "image": place.image_column,
            "mask": place.mask_column,
            "split": place.split_column,
            "sequence": place.sequence_column,
        }
        return dict(paired_columns(path, place.masks, **named))
    _refuse_columns(place, path)
    tars = [] if where.is_dir() and is_paired(where) else files_named(path, ".tar")
    if tars:
        return dict(paired_tars(tars, place.masks, of=path))
    if not where.is_dir():
        raise DataError(
            f"path {path!r} is not a folder here ({where.absolute()}): expected images and masks in it, or tars or "
            "Parquet of such"
        )
    return dict(paired_folders(where, place.masks, passing_by=passing_by))


def _built_parts(folder: Path) -> dict[str, BuiltPart]:
    return {part: BuiltPart(folder, part, facts) for part, facts in read_manifest(folder).parts.items()}


def _refuse_other_facts(place: MaskedPlaceSaid, form: BuiltPart) -> None:
    masks, said = form.facts.masks, place.masks
    if masks is None:
        raise DataError(f"{form.of} holds labelled pictures and no masks: say source = 'images'")
    if said.num_classes not in (None, len(masks.facts.names)):
        raise DataError(f"{form.of} has {len(masks.facts.names)} classes, and num_classes says {said.num_classes}")
    if said.ignore_index not in (None, masks.facts.ignore_index):
        raise DataError(f"{form.of} ignores {masks.facts.ignore_index}, and ignore_index says {said.ignore_index}")


def _refuse_columns(place: MaskedPlaceSaid, path: str) -> None:
    for name in ("image_column", "mask_column", "split_column", "sequence_column"):
        if getattr(place, name) is not None:
            raise DataError(f"{name} names a column of Parquet, and {path} is none: leave it out")
