"""One shard: those of some pictures that can be read, in a tar in WebDataset's convention, and an index of it.

Made by a process of its own from a listing that lies in a file, so that any number of them share it and none holds it.
What says that a shard is done is written last; what a killed process leaves is made again.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from levelfield.data.canonical import DIGEST_BYTES, digest_of
from levelfield.data.draws import Int64s
from levelfield.data.encoded import format_of
from levelfield.data.index import Index, ListedRows
from levelfield.data.ingest.format import Opener
from levelfield.data.ingest.validity import fault_of
from levelfield.data.manifest import Contents, SkipReason
from levelfield.data.order import Permutation
from levelfield.data.stores.base import Store
from levelfield.records.codec import record
from levelfield.records.errors import DataError
from levelfield.records.sealed import write_record

_ENDINGS = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}
_HEADER = 512
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
class ShardTask:
    """Rows ``start`` to ``stop`` of the ``listing``, in a drawn order where ``shuffled``, to be packed into ``tar``, or
    to be looked at alone where they stay ``in_place``; pictures are called by their paths from ``root``."""

    tar: Path
    number: int
    listing: Path
    captions: Path | None
    opener: Opener
    root: str
    start: int
    stop: int
    shuffled: bool
    in_place: bool

    def called(self, listing: Index, store: Store, row: int) -> str:
        """What a picture is called wherever the data set goes: by no path of the machine that built it."""
        return listing.name(row) or os.path.relpath(store.name(row), self.root)

    @property
    def index(self) -> Path:
        return self.tar.with_suffix(".arrow")

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
    texts = _Texts(task.captions)
    skipped: list[SkippedPicture] = []
    readable = _readable(task, listing, store, rows, skipped)
    for leftover in (task.tar, task.index):
        leftover.unlink(missing_ok=True)
    if task.in_place:
        index, num_bytes, sha256 = _looked_at(listing, readable), 0, ""
    else:
        index, num_bytes, sha256 = _packed(task, listing, store, readable, texts)
    index.write(task.index)
    write_record(
        task.done,
        PackedShard(num_bytes=num_bytes, sha256=sha256, examples=len(index), skipped=tuple(skipped)),
    )
    return len(rows)


def _packed(
    task: ShardTask, listing: Index, store: Store, readable: Iterator[tuple[int, bytes]], texts: _Texts
) -> tuple[Index, int, str]:
    """The index of what is written into the tar, how many bytes that has, and their SHA-256."""
    written = _Written(task.number)
    with open(task.tar, "xb") as file:
        hashed = _Hashed(file)
        with tarfile.open(fileobj=hashed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for row, encoded in readable:
                name = task.called(listing, store, row)
                written.add(archive, encoded, int(listing.labels[row]), name, texts.of(row))
        file.flush()
        os.fsync(file.fileno())
    return Index.unordered(written.rows()), hashed.place, hashed.sha256.hexdigest()


def _looked_at(listing: Index, readable: Iterator[tuple[int, bytes]]) -> Index:
    """The rows of ``listing`` that can be read, with their digests."""
    found = [(row, digest_of(encoded)) for row, encoded in readable]
    rows = np.array([row for row, _ in found], dtype=np.int64)
    names = [listing.name(row) for row, _ in found]
    digests = np.frombuffer(b"".join(digest for _, digest in found), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
    return Index.unordered(
        ListedRows(
            label=listing.labels[rows],
            digest=digests,
            shard=listing.shards[rows],
            offset=listing.offsets[rows],
            length=listing.lengths[rows],
            names=None if None in names else [os.fsencode(name or "") for name in names],
        )
    )


def _readable(
    task: ShardTask, listing: Index, store: Store, rows: Int64s, skipped: list[SkippedPicture]
) -> Iterator[tuple[int, bytes]]:
    def skip(row: int, why: SkipReason, said: str) -> None:
        skipped.append(SkippedPicture(name=_told(task.called(listing, store, row)), why=why, said=_told(said)))

    for row in rows.tolist():
        try:
            encoded = store.read(row)
        except OSError as error:
            skip(row, "unreadable", str(error.strerror or error))
            continue
        fault = fault_of(encoded)
        if fault is None:
            yield row, encoded
        else:
            skip(row, fault.why, fault.said)


def _told(text: str) -> str:
    """``text`` as a record can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8", "replace")


class _Written:
    """What lies in a shard, as it is written."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.labels: list[int] = []
        self._digests: list[bytes] = []
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._names: list[bytes] = []

    def add(self, archive: tarfile.TarFile, encoded: bytes, label: int, name: str, caption: str) -> None:
        """Write a sample: ``KEY.jpg``, ``KEY.cls`` and, where there is a caption, ``KEY.txt``."""
        key = f"{self._number:05d}{len(self.labels):07d}"
        form = format_of(encoded)
        self._offsets.append(archive.offset + _HEADER)
        _put(archive, f"{key}.{_ENDINGS.get(form, form.lower())}", encoded)
        _put(archive, f"{key}.cls", str(label).encode())
        if caption:
            _put(archive, f"{key}.txt", caption.encode("utf-8", "replace"))
        self.labels.append(label)
        self._digests.append(digest_of(encoded))
        self._lengths.append(len(encoded))
        self._names.append(os.fsencode(name))

    def rows(self) -> ListedRows:
        digests = np.frombuffer(b"".join(self._digests), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
        return ListedRows(
            label=np.array(self.labels, dtype=np.int32),
            digest=digests,
            shard=np.full(len(self.labels), self._number, dtype=np.uint32),
            offset=np.array(self._offsets, dtype=np.uint64),
            length=np.array(self._lengths, dtype=np.uint64),
            names=self._names,
        )


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


class _Hashed(io.RawIOBase):
    """A file that is written from its beginning to its end, and what it holds in all."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file, self.place, self.sha256 = file, 0, hashlib.sha256()

    def write(self, content: bytes, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.sha256.update(content)
        self.place += len(content)
        return self._file.write(content)

    def tell(self) -> int:
        return self.place


class _Texts:
    """The captions of a listing, by row, in an Arrow file of one column; none where there is no file."""

    def __init__(self, path: Path | None) -> None:
        self._index = None if path is None else Index.open(path)

    def of(self, row: int) -> str:
        return "" if self._index is None else self._index.name(row) or ""


def check_names(names: list[str]) -> None:
    """Refuse classes whose names no manifest can hold.

    Raises:
        DataError: one is no text in UTF-8.
    """
    for name in names:
        if name != _told(name):
            raise DataError(f"the class {name!r} is called by bytes that are no UTF-8: rename its folder")
