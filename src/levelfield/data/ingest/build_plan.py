"""Into which shards a data set is cut, decided once: a build that goes on makes what the one before it would have."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from levelfield.data.canonical import DIGEST_BYTES, DIGEST_RULE
from levelfield.data.index import Index, ListedRows
from levelfield.data.ingest.format import Format, InPlace, Listing, PairedFormat
from levelfield.data.ingest.packing import SkippedPicture, check_names
from levelfield.data.ingest.validity import decoders
from levelfield.data.ingest.with_texts import rows_of_texts
from levelfield.data.manifest import MaskFacts
from levelfield.records.codec import later, record
from levelfield.records.errors import LevelfieldError
from levelfield.records.sealed import read_record, write_record

_MOST_IN_SHARD = 10**6
_PLAN = "plan.json"


@record
class MasksPlan:
    """The masks of a part: what they mean, and where they stay if they do."""

    facts: MaskFacts
    in_place: InPlace | None = later(default=None)


@record
class PartPlan:
    """The shards that a part of a listing is cut into: ``rows`` in all, ``rows_each`` in one."""

    rows: int
    rows_each: int
    shuffled: bool
    texts: bool
    class_names: tuple[str, ...]
    sorted_as_text: bool
    in_place: InPlace | None = later(default=None)
    masks: MasksPlan | None = later(default=None)


@record
class BuildPlan:
    """What a build that was begun was to make: of which files (by what the system said of them) and rule."""

    source: str
    parts: dict[str, PartPlan]
    skipped: tuple[SkippedPicture, ...]


def planned(forms: Mapping[str, Format | PairedFormat], work: Path, shard_bytes: int, *, in_place: bool) -> BuildPlan:
    """The plan that was begun, where its source is as it was; else a new one, and what was made by the old is gone."""
    source = hashlib.blake2b(f"{DIGEST_RULE} {decoders()} {shard_bytes} {in_place}".encode(), digest_size=16)
    for part, form in sorted(forms.items()):
        source.update(f"\0{part}\0{form.rule}\0".encode("utf-8", "surrogateescape"))
        for path in form.files():
            seen = os.stat(path)
            told = f"{path} {seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}\0"
            source.update(told.encode("utf-8", "surrogateescape"))
    try:
        plan = read_record(BuildPlan, work / _PLAN)
        if plan.source == source.hexdigest():
            return plan
    except LevelfieldError:
        pass
    for old in work.iterdir():
        if old.name != ".lock":
            old.unlink()
    parts: dict[str, PartPlan] = {}
    skipped: list[SkippedPicture] = []
    for part, form in forms.items():
        pictures = form.pictures if isinstance(form, PairedFormat) else form
        listing = pictures.listed()
        check_names(list(listing.class_names))
        cut = _cut(pictures, listing, shard_bytes, in_place=in_place)
        _write_listing(listing, work, part)
        if isinstance(form, PairedFormat):
            check_names(list(form.facts.names))
            _write_listing(form.masks.listed(), work, f"{part}.masks")
            masks = MasksPlan(facts=form.facts, in_place=form.masks.in_place() if in_place else None)
            cut = dataclasses.replace(cut, masks=masks)
        parts[part] = cut
        skipped += [SkippedPicture(name=repr(each.name)[1:-1], why=each.why) for each in listing.skipped]
    unique = tuple(dict.fromkeys(skipped))  # parts of one archive tell of the same files
    plan = BuildPlan(source=source.hexdigest(), parts=parts, skipped=unique)
    write_record(work / _PLAN, plan)
    return plan


def _cut(form: Format, listing: Listing, shard_bytes: int, *, in_place: bool) -> PartPlan:
    total = sum(os.stat(path).st_size for path in form.files())
    each = max(1, min(_MOST_IN_SHARD, shard_bytes * len(listing) // max(1, total)))
    return PartPlan(
        rows=len(listing),
        rows_each=each,
        shuffled=form.in_place() is not None and not in_place,
        in_place=form.in_place() if in_place else None,
        texts=listing.texts is not None,
        class_names=listing.class_names,
        sorted_as_text=listing.sorted_as_text,
    )


def _write_listing(listing: Listing, work: Path, part: str) -> None:
    number = len(listing)
    rows = ListedRows(
        label=listing.labels.astype(np.int32),
        digest=np.zeros((number, DIGEST_BYTES), dtype=np.uint8),
        shard=listing.shards,
        offset=listing.offsets,
        length=listing.lengths,
        names=listing.names,
    )
    Index.unordered(rows).write(work / f"{part}.listing.arrow")
    if listing.texts is not None:
        Index.unordered(rows_of_texts(listing.texts, rows.label)).write(work / f"{part}.texts.listing.arrow")
