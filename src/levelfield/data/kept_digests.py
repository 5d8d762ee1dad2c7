"""Digests of files that were hashed before, kept by what the system says of each file.

Opening a source must tell whether its content is still the same, and reading every byte in every process is not cheap.
So the digests of a file are kept under its path, size, times of change, inode and device: whoever writes to a file
changes its ``ctime``, and no call sets that back. A file that was changed within two seconds of being hashed is hashed
again the next time, since a second change could fall into the same tick.

This is a cache and no truth: a damaged or unwritable one is as good as none, ``levelfield verify`` passes it by, and
every picture is compared with its digest when it is decoded. It lies in ``$LEVELFIELD_CACHE/digests`` (an empty
variable keeps none), else in ``levelfield/digests`` of ``$XDG_CACHE_HOME`` or ``~/.cache``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.records.files import read_regular

logger = logging.getLogger(__name__)

LIMIT_BYTES = 2**30
"""Of all that is kept; what was used longest ago goes first. 40 bytes a file: room for 25 million."""

RACY_NS = 2 * 10**9
"""No file system's clock ticks more coarsely (FAT: 2 s)."""

_SIZE = 16
_MAGIC = b"levelfield digests 1\n"

Digests = NDArray[np.uint8]
"""[rows, 16]"""


class KeptDigests:
    """The digests of the files of one ``place``, of a ``kind``: what is hashed of a file, and by which rule.

    With ``rehash`` nothing kept is believed, and everything is kept anew.
    """

    def __init__(self, place: str | Path, kind: str, *, rehash: bool = False) -> None:
        folder, named = cached("digests"), f"{kind}\0{os.path.abspath(place)}".encode()
        self._path = folder / f"{hashlib.blake2b(named, digest_size=_SIZE).hexdigest()}.digests" if folder else None
        self._known = {} if rehash or self._path is None else _read(self._path)
        self._kept: dict[bytes, Digests] = {}
        self._learnt = False

    def of(self, path: str | Path, compute: Callable[[], Sequence[bytes]], *, rows: int = 1) -> Digests:
        """What ``compute`` gives for the ``rows`` of the file at ``path``, uint8 [rows, 16]; not computed where known.

        A file that cannot be looked at is left to ``compute``, which says what is wrong with it.
        """
        settled, key = settled_ns(), _key(path)
        found = self._known.get(key.digest) if key else None
        if found is None or len(found) != rows:
            found = np.frombuffer(b"".join(compute()), dtype=np.uint8).reshape(-1, _SIZE)
            if key is None or key.changed_ns >= settled or _key(path) != key:
                return found
            self._learnt = True
        assert key is not None
        self._kept[key.digest] = found
        return found

    def save(self) -> None:
        """Keep what was learnt; a place that cannot be written to is none."""
        if self._path is None or not self._learnt:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _write(self._path, _packed(self._kept))
            _trim(self._path.parent)
        except OSError as error:
            logger.debug("digests are not kept: %s", error)


def cached(kind: str) -> Path | None:
    """Where something of a ``kind`` is kept; None where nothing is."""
    own = os.environ.get("LEVELFIELD_CACHE")
    if own is not None:
        return Path(own).expanduser() / kind if own else None
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "levelfield" / kind


def settled_ns() -> int:
    """What changed after this time may change again without another time of change."""
    return time.time_ns() - RACY_NS


def forget_digests() -> None:
    """Drop everything kept, the indices that were made of it, too: something in it was found to be wrong."""
    for path in _files(cached("digests")):
        with contextlib.suppress(OSError):
            path.unlink()
    indices = cached("indices")
    if indices is not None:
        shutil.rmtree(indices, ignore_errors=True)


class _Key(NamedTuple):
    digest: bytes
    changed_ns: int


def _key(path: str | Path) -> _Key | None:
    """What the system says of the file at ``path``."""
    try:
        seen = os.stat(path)
    except OSError:
        return None
    said = (os.fspath(path), seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, seen.st_dev)
    digest = hashlib.blake2b(repr(said).encode("utf-8", "surrogateescape"), digest_size=_SIZE).digest()
    return _Key(digest, max(seen.st_mtime_ns, seen.st_ctime_ns))


def _packed(kept: Mapping[bytes, Digests]) -> bytes:
    rows = np.array([len(digests) for digests in kept.values()], dtype="<u8")
    parts = (b"".join(kept), rows.tobytes(), b"".join(digests.tobytes() for digests in kept.values()))
    payload = np.uint64(len(kept)).astype("<u8").tobytes() + b"".join(parts)
    return _MAGIC + hashlib.blake2b(payload, digest_size=_SIZE).digest() + payload


def _read(path: Path) -> dict[bytes, Digests]:
    """What :func:`_packed` wrote; nothing where it is missing, damaged or cannot be read."""
    try:
        content = read_regular(path, at_most=LIMIT_BYTES)
        os.utime(path)  # it was used: _trim takes others first
    except OSError:
        return {}
    start = len(_MAGIC) + _SIZE
    payload = content[start:]
    if content[:start] != _MAGIC + hashlib.blake2b(payload, digest_size=_SIZE).digest():
        logger.warning("%s is damaged; its files are hashed again", path)
        return {}
    number = int(np.frombuffer(payload, dtype="<u8", count=1)[0])
    keys_end = 8 + number * _SIZE
    rows = np.frombuffer(payload, dtype="<u8", count=number, offset=keys_end).astype(np.int64)
    digests = np.frombuffer(payload, dtype=np.uint8, offset=keys_end + 8 * number).reshape(-1, _SIZE)
    ends = np.cumsum(rows).tolist()
    starts = [0, *ends[:-1]]
    keys = (payload[place : place + _SIZE] for place in range(8, keys_end, _SIZE))
    return {key: digests[first:end] for key, first, end in zip(keys, starts, ends, strict=False)}


def _write(path: Path, content: bytes) -> None:
    """By a temporary name of its own: workers may write the same file at once."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _trim(folder: Path) -> None:
    """Remove what was used longest ago until the rest is within the limit."""
    found = sorted(((path.stat().st_mtime_ns, path.stat().st_size, path) for path in _files(folder)), reverse=True)
    total = 0
    for _, size, path in found:
        total += size
        if total > LIMIT_BYTES:
            path.unlink(missing_ok=True)


def _files(folder: Path | None) -> list[Path]:
    return sorted(folder.glob("*.digests")) if folder is not None else []
