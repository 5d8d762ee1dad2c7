"""Indices of places that were listed and hashed before, kept by what the system says of each of their files.

The index of a place that is no built data set is made once and mapped by whoever opens it next, in whatever process.
It is believed while every file of the place has the path, size, times, inode and device that it had, and while nobody
has written to the index itself; a place with a file that changed within two seconds of being hashed is not kept, since
a second change could fall into the same tick. :mod:`levelfield.data.kept_digests` knows the files one by one, so that
a place in which one changed is not hashed again as a whole.

This is a cache and no truth: it lies beside the digests, ``levelfield verify`` passes it by, and every picture is
compared with its digest when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock

from levelfield.data.canonical import DIGEST_RULE
from levelfield.data.index import Index
from levelfield.data.ingest.format import Format, PairedFormat
from levelfield.data.kept_digests import cached, settled_ns
from levelfield.data.manifest import Contents
from levelfield.records.codec import record
from levelfield.records.errors import LevelfieldError
from levelfield.records.sealed import read_record, write_record

logger = logging.getLogger(__name__)

INDEX_LIMIT_BYTES = 8 * 2**30
"""Of all that is kept; what was used longest ago goes first. 60 to 150 bytes a picture."""

_INDEX_FORM = "index 2"
_INDEX, _MASKS, _TEXTS, _MANIFEST = "index.arrow", "masks.arrow", "texts.arrow", "manifest.json"

Kept: TypeAlias = tuple[tuple[Index, ...], Contents]
"""An index, or those of pictures and of their masks or texts, and what is known of all rows."""


@record
class KeptIndex:
    """``files`` is what the system said of the files that were listed, ``index`` of the indices when they were
    written."""

    files: str
    index: str
    contents: Contents


def stamp(files: Sequence[str], *, within: str = "") -> str | None:
    """What the system says of ``files``, as 32 hexadecimal digits; a path inside ``within`` counts from there.

    None where one cannot be looked at, or changed so lately that it may change again unseen.
    """
    found = hashlib.blake2b(digest_size=16)
    latest, cut, told = settled_ns(), len(within), []
    try:
        for path in files:
            seen = os.stat(path)
            if seen.st_mtime_ns > latest or seen.st_ctime_ns > latest:
                return None
            own = path[cut:] if path.startswith(within) else path
            told.append(f"{own}\0{seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino} {seen.st_dev}\0")
    except OSError:
        return None
    found.update("".join(told).encode("utf-8", "surrogateescape"))
    return found.hexdigest()


class IndexShelf:
    """Where the index of one place and rule is kept, or those of its pictures and their masks, or their texts, if
    anything is kept at all."""

    def __init__(self, form: Format | PairedFormat, *, texted: bool = False) -> None:
        self._names = (_INDEX, _MASKS) if isinstance(form, PairedFormat) else (_INDEX, _TEXTS)[: 1 + texted]
        folder = cached("indices")
        kind = (_TEXTS,) * texted
        named = os.fsencode("\0".join((_INDEX_FORM, DIGEST_RULE, form.rule, os.path.abspath(form.of), *kind)))
        self._folder = folder / hashlib.blake2b(named, digest_size=16).hexdigest() if folder is not None else None

    def read(self, files: str | None) -> Kept | None:
        """The indices of files with the stamp ``files``, mapped; None where there are none to be believed."""
        if self._folder is None or files is None:
            return None
        place = self._folder / files
        try:
            kept = read_record(KeptIndex, place / _MANIFEST)
            if kept.files != files or kept.index != self._own_stamp(place):
                logger.warning("%s was changed after it was written; its place is hashed again", place)
                shutil.rmtree(place, ignore_errors=True)
                return None
            os.utime(place / _MANIFEST)  # it was used: _trim takes others first
            return tuple(Index.open(place / name) for name in self._names), kept.contents
        except FileNotFoundError:
            return None
        except (LevelfieldError, OSError) as error:
            if os.path.lexists(place):
                logger.warning("%s cannot be read (%s); its place is hashed again", place, error)
                shutil.rmtree(place, ignore_errors=True)
            return None

    def keep(self, files: str, indices: Sequence[Index], contents: Contents) -> bool:
        """Keep ``indices`` of files with the stamp ``files``, in the place of what was kept of others before.

        A place that cannot be written to is none.
        """
        if self._folder is None:
            return False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=self._folder, prefix=".new-"))
            try:
                for name, index in zip(self._names, indices, strict=True):
                    index.write(temporary / name)
                    os.chmod(temporary / name, 0o444)  # whoever has it mapped sees what is written to it
                own = self._own_stamp(temporary)
                write_record(temporary / _MANIFEST, KeptIndex(files=files, index=own, contents=contents))
                for old in self._folder.iterdir():
                    if old.is_dir() and old != temporary and not old.name.startswith(".new-"):
                        shutil.rmtree(old, ignore_errors=True)
                os.rename(temporary, self._folder / files)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            _trim(self._folder.parent)
        except (OSError, LevelfieldError) as error:
            logger.debug("the index is not kept: %s", error)
            return False
        return True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While no other process makes the same index; where none can be kept there is nothing to wait for."""
        if self._folder is None:
            yield
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._folder / ".lock")
            lock.acquire()
        except OSError:
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _own_stamp(self, place: Path) -> str:
        """What the system says of indices: whoever writes to one moves its times. Moving their folder does not."""
        told = [os.stat(place / name) for name in self._names]
        return " ".join(f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino} {s.st_dev}" for s in told)


def _trim(shelves: Path) -> None:
    """Remove what was used longest ago until the rest is within the limit."""
    found = []
    for manifest in shelves.glob(f"*/*/{_MANIFEST}"):
        with contextlib.suppress(OSError):
            found.append((manifest.stat().st_mtime_ns, _size_of(manifest.parent), manifest.parent))
    total = 0
    for _, size, folder in sorted(found, reverse=True):
        total += size
        if total > INDEX_LIMIT_BYTES:
            shutil.rmtree(folder, ignore_errors=True)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.arrow"))
