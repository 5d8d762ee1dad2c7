"""One shard: those of some pictures that can be read, in a tar in WebDataset's convention, and an index of it.

Made by a process of its own from a listing that lies in a file, so that any number of them share it and none holds it.
What says that a shard is done is written last; what a killed process leaves is made again.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from levelfield.data.canonical import as_digests, digest_of
from levelfield.data.draws import Int64s
from levelfield.data.index import Index
from levelfield.data.ingest.format import Opener
from levelfield.data.ingest.shard_tar import HashedFile, WrittenShard
from levelfield.data.ingest.validity import fault_of, fault_of_pair
from levelfield.data.ingest.with_texts import texts_at
from levelfield.data.manifest import Contents, MaskFacts, SkipReason
from levelfield.data.order import Permutation
from levelfield.data.stores.base import Store
from levelfield.records.codec import record
from levelfield.records.errors import DataError
from levelfield.records.sealed import write_record

_NO_CONTENTS = Contents(class_names=(), num_by_class=(), twins=0, fingerprint="")


@record
class SkippedPicture:
    """A file that is none of the pictures: its name, a reason's code, and what was seen."""

    name: str
    why: SkipReason
    said: str = ""


@record
class PackedShard:
    """A shard that is done: ``num_bytes`` and ``sha256`` of the tar, how many pictures are in it, and what was left
    out."""

    num_bytes: int
    sha256: str
    examples: int
    skipped: tuple[SkippedPicture, ...]


@dataclass(frozen=True, kw_only=True)
class MasksTask:
    """The masks of the pictures of a listing, in a ``listing`` of their own, row by row, and what they mean."""

    listing: Path
    opener: Opener
    facts: MaskFacts


class _Sample(NamedTuple):
    """A picture that can be used, in a row of the listing, and its mask, where there are masks."""

    row: int
    picture: bytes
    mask: bytes | None


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Rows ``start`` to ``stop`` of the ``listing``, in a drawn order where ``shuffled``, to be packed into ``tar``, or
    to be looked at alone where they stay ``in_place``; pictures are called by their paths from ``root``."""

    tar: Path
    number: int
    listing: Path
    texts: Path | None
    opener: Opener
    root: str
    start: int
    stop: int
    shuffled: bool
    in_place: bool
    masks: MasksTask | None = None

    def called(self, listing: Index, store: Store, row: int) -> str:
        """What a picture is called wherever the data set goes: by no path of the machine that built it."""
        return listing.name(row) or os.path.relpath(store.name(row), self.root)

    @property
    def index(self) -> Path:
        return self.tar.with_suffix(".arrow")

    @property
    def mask_index(self) -> Path:
        return self.tar.with_suffix(".masks.arrow")

    @property
    def text_index(self) -> Path:
        return self.tar.with_suffix(".texts.arrow")

    @property
    def made(self) -> tuple[Path, ...]:
        """What belongs beside the manifest once it is there."""
        return self.tar, self.index, self.mask_index, self.text_index

    @property
    def done(self) -> Path:
        return self.tar.with_suffix(".json")


def pack(task: ShardTask) -> int:
    """Make the shard and give back how many rows it took.

    Raises:
        DataError: a container is damaged, which is no fault of one picture.
        OSError: the shard cannot be written.
    """
    listing = Index.open(task.listing)
    store = task.opener(listing, _NO_CONTENTS)
    rows = np.arange(task.start, task.stop)
    if task.shuffled:
        rows = Permutation.of(len(listing), "pack").forward(rows)
    texts = None if task.texts is None else Index.open(task.texts)
    skipped: list[SkippedPicture] = []
    taken: list[int] = []
    readable = _noted(_readable(task, listing, store, rows, skipped), taken)
    for leftover in task.made:
        leftover.unlink(missing_ok=True)
    if task.in_place:
        found, num_bytes, sha256 = _looked_at(task, listing, readable), 0, ""
    else:
        found, num_bytes, sha256 = _packed(task, listing, store, readable, texts)
    for path, index in zip((task.index, task.mask_index), found, strict=False):
        index.write(path)
    if texts is not None:
        places = np.array(taken, dtype=np.int64)
        Index.unordered(texts.rows(places, texts.digests[places])).write(task.text_index)
    write_record(
        task.done,
        PackedShard(num_bytes=num_bytes, sha256=sha256, examples=len(found[0]), skipped=tuple(skipped)),
    )
    return len(rows)


def _packed(
    task: ShardTask, listing: Index, store: Store, readable: Iterator[_Sample], texts: Index | None
) -> tuple[list[Index], int, str]:
    """The index of the pictures that are written into the tar, that of their masks where there are some, how many
    bytes the tar has, and their SHA-256."""
    written = WrittenShard(task.number)
    with open(task.tar, "xb") as file:
        hashed = HashedFile(file)
        with tarfile.open(fileobj=hashed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for sample in readable:
                name = task.called(listing, store, sample.row)
                label, said = int(listing.labels[sample.row]), () if texts is None else texts_at(texts, sample.row)
                written.add(archive, sample.picture, sample.mask, label=label, name=name, texts=said)
        file.flush()
        os.fsync(file.fileno())
    return written.indices(masked=task.masks is not None), hashed.place, hashed.sha256.hexdigest()


def _looked_at(task: ShardTask, listing: Index, readable: Iterator[_Sample]) -> list[Index]:
    """The rows of ``listing`` that can be read, with their digests, and those of the listing of masks."""
    found = [(each.row, digest_of(each.picture), digest_of(each.mask or b"")) for each in readable]
    rows = np.array([row for row, _, _ in found], dtype=np.int64)
    indices = [Index.unordered(listing.rows(rows, as_digests([digest for _, digest, _ in found])))]
    if task.masks is not None:
        theirs = Index.open(task.masks.listing).rows(rows, as_digests([digest for _, _, digest in found]))
        indices.append(Index.unordered(theirs))
    return indices


def _readable(
    task: ShardTask, listing: Index, store: Store, rows: Int64s, skipped: list[SkippedPicture]
) -> Iterator[_Sample]:
    def skip(row: int, why: SkipReason, said: str) -> None:
        skipped.append(SkippedPicture(name=_told(task.called(listing, store, row)), why=why, said=_told(said)))

    said = task.masks
    masks = None if said is None else said.opener(Index.open(said.listing), _NO_CONTENTS)
    for row in rows.tolist():
        try:
            encoded, mask = store.read(row), None if masks is None else masks.read(row)
        except OSError as error:
            skip(row, "unreadable", str(error.strerror or error))
            continue
        fault = fault_of(encoded) if said is None or mask is None else fault_of_pair(encoded, mask, said.facts)
        if fault is None:
            yield _Sample(row, encoded, mask)
        else:
            skip(row, fault.why, fault.said)


def _noted(samples: Iterator[_Sample], rows: list[int]) -> Iterator[_Sample]:
    """``samples``, whose ``rows`` are kept."""
    for sample in samples:
        rows.append(sample.row)
        yield sample


def _told(text: str) -> str:
    """``text`` as a record can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8", "replace")


def check_names(names: list[str]) -> None:
    """Refuse classes whose names no manifest can hold.

    Raises:
        DataError: one is no text in UTF-8.
    """
    for name in names:
        if name != _told(name):
            raise DataError(f"the class {name!r} is called by bytes that are no UTF-8: rename its folder")
