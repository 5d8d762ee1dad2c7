"""What lies in tar files, by one walk over their headers; no link is followed and no name leads outside."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from levelfield.data.ingest.named_labels import leads_outside
from levelfield.data.manifest import Skipped
from levelfield.records.errors import DataError, first_line
from levelfield.records.files import FileRefusedError, open_regular

MAX_MEMBERS = 2**27
"""Of all the tars of a data set."""

MAX_HEADER_BYTES = 2**20
"""What a member may say of itself beside its 512 bytes; tarfile reads all of it."""

MAX_NAME = 4096
"""Characters of a member's name, as of a path."""


class Member(NamedTuple):
    """A regular file in tar number ``shard``: ``length`` bytes from ``offset``."""

    name: str
    shard: int
    offset: int
    length: int


class Members(NamedTuple):
    """All regular files of some tars in the order of their bytes, and what else was there."""

    files: tuple[Member, ...]
    skipped: tuple[Skipped, ...]


def members_of(paths: Sequence[str]) -> Members:
    """What lies in the tars at ``paths``.

    Raises:
        DataError: one is no tar that can be read at random, is damaged, or there are too many files.
    """
    stats = tuple((path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in paths)
    return _members(stats)


@lru_cache(maxsize=4)
def _members(stats: tuple[tuple[str, int, int], ...]) -> Members:
    files: list[Member] = []
    skipped: list[Skipped] = []
    for shard, (path, _, _) in enumerate(stats):
        for info in _headers(path):
            why = _why_skipped(info)
            if why is not None:
                skipped.append(Skipped(f"{info.name[:MAX_NAME]} in {os.path.basename(path)}", why))
            elif not info.isdir():
                files.append(Member(_plain(info.name), shard, info.offset_data, info.size))
        if len(files) > MAX_MEMBERS:
            raise DataError(f"{path} and those before it hold more than {MAX_MEMBERS:,} files: build it in parts")
    return Members(tuple(files), tuple(skipped))


def _headers(path: str) -> Iterator[tarfile.TarInfo]:
    try:
        with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
            size = os.fstat(file.fileno()).st_size
            while (info := archive.next()) is not None:
                archive.members = []  # pyright: ignore[reportAttributeAccessIssue]  # it keeps every header otherwise
                if info.offset_data + info.size > size and info.isreg():
                    raise DataError(f"{path} is cut off in {info.name!r}: fetch it again")
                yield info
            if not _ends(file, archive.offset, size):
                raise DataError(f"{path} is damaged after byte {archive.offset:,}: fetch it again")
    except DataError:
        raise
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    except tarfile.ReadError as error:
        packed = path.endswith((".gz", ".tgz", ".bz2", ".xz", ".zst"))
        todo = "unpack it (gunzip, xz -d): a packed archive cannot be read at random" if packed else "is it one?"
        raise DataError(f"{path} cannot be read as a tar ({first_line(error)}): {todo}") from None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # headers that are damaged make tarfile stumble over whatever they claim
        raise DataError(f"{path} cannot be read as a tar ({first_line(error)[:200]})") from None


class _Header(tarfile.TarInfo):
    """A header whose name, however it is written, is no longer than a name is."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        long = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
        if self.type in long and self.size > MAX_HEADER_BYTES:
            raise DataError(f"a header of {self.size:,} bytes, expected at most {MAX_HEADER_BYTES:,}")
        return super()._proc_member(archive)  # pyright: ignore[reportAttributeAccessIssue]


def _ends(file, offset: int, size: int) -> bool:
    """Whether what follows the last header is the end: zeros, or nothing."""
    file.seek(min(offset, size))
    return not any(file.read(512))


def _why_skipped(info: tarfile.TarInfo):
    if leads_outside(info.name) or len(info.name) > MAX_NAME:
        return "outside"
    if info.issym() or info.islnk():
        return "link"
    if info.sparse is not None or info.type == tarfile.GNUTYPE_SPARSE:
        return "sparse"
    return None if info.isreg() or info.isdir() else "special"


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))
