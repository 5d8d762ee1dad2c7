"""A shard as it is written: pictures, labels, masks and texts in WebDataset's convention, and where each lies."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from typing import IO

import numpy as np

from levelfield.data.canonical import as_digests, digest_of
from levelfield.data.encoded import format_of
from levelfield.data.index import Index, ListedRows

_ENDINGS = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}
_HEADER = 512


class _Places:
    """Where in a shard what was written lies, and its digests."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._labels: list[int] = []
        self._digests: list[bytes] = []
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._names: list[bytes] = []

    def __len__(self) -> int:
        return len(self._labels)

    def put(self, archive: tarfile.TarFile, file: str, content: bytes, label: int, name: str) -> None:
        """Write ``content`` as ``file``; it is called ``name``."""
        self._offsets.append(archive.offset + _HEADER)
        _put(archive, file, content)
        self._labels.append(label)
        self._digests.append(digest_of(content))
        self._lengths.append(len(content))
        self._names.append(os.fsencode(name))

    def index(self) -> Index:
        """In the order in which it was written."""
        return Index.unordered(
            ListedRows(
                label=np.array(self._labels, dtype=np.int32),
                digest=as_digests(self._digests),
                shard=np.full(len(self._labels), self._number, dtype=np.uint32),
                offset=np.array(self._offsets, dtype=np.uint64),
                length=np.array(self._lengths, dtype=np.uint64),
                names=self._names,
            )
        )


class WrittenShard:
    """What lies in a shard, as it is written."""

    def __init__(self, number: int) -> None:
        self._number, self._pictures, self._masks = number, _Places(number), _Places(number)

    def add(
        self,
        archive: tarfile.TarFile,
        picture: bytes,
        mask: bytes | None,
        *,
        label: int,
        name: str,
        texts: Sequence[str],
    ) -> None:
        """Write a sample: ``KEY.jpg``, ``KEY.cls`` or ``KEY.mask.png`` and, where something is said of it, the first
        text as ``KEY.txt``, and all as ``KEY.json`` where there are several."""
        key = f"{self._number:05d}{len(self._pictures):07d}"
        self._pictures.put(archive, f"{key}.{_ending(picture)}", picture, label, name)
        if mask is None:
            _put(archive, f"{key}.cls", str(label).encode())
        else:
            self._masks.put(archive, f"{key}.mask.{_ending(mask)}", mask, label, name)
        if texts:
            _put(archive, f"{key}.txt", texts[0].encode())
        if len(texts) > 1:
            _put(archive, f"{key}.json", json.dumps({"captions": texts}, ensure_ascii=False).encode())

    def indices(self, *, masked: bool) -> list[Index]:
        """That of the pictures and, where they have some, that of their masks."""
        return [self._pictures.index(), self._masks.index()] if masked else [self._pictures.index()]


def _ending(encoded: bytes) -> str:
    form = format_of(encoded)
    return _ENDINGS.get(form, form.lower())


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


class HashedFile(io.RawIOBase):
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
