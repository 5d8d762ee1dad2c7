"""Opening what others have put there: regular files only, read once and up to a stated size.

A pipe waits for ever, a device may never end, and a directory is no content. They are told by kind before anything is
opened, links are followed, and what grows while it is read is read no further than its limit.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

MAX_RECORD_BYTES = 256 * 2**20
"""Text that is read whole: TOML, JSON, CSV. A table of a million runs is smaller."""

UNPACKED_RATIO, UNPACKED_SLACK_BYTES = 8, 64 * 2**20
"""What hardly compresses, such as encoded images and trained numbers, unpacks to no more than so many times its size
and this."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class FileRefusedError(OSError):
    """What lies there is no regular file, or a larger one than is read: ``strerror`` says what it is, and the text
    names the place, too.

    An OSError, so that whoever reads files meets it where it meets a missing one.
    """

    def __init__(self, number: int, path: str | os.PathLike[str], seen: str) -> None:
        super().__init__(number, seen, os.fspath(path))

    def __str__(self) -> str:
        return f"{self.filename} {self.strerror}"


def regular_stat(path: str | os.PathLike[str]) -> os.stat_result:
    """The stat of the regular file at ``path``, links followed; nothing is opened.

    Raises:
        FileRefusedError: it is of another kind, or a link to nothing or to itself.
        OSError: it is missing or may not be looked at.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(path):
            raise FileRefusedError(
                error.errno, path, f"is a link to {os.readlink(path)!r}, where there is no file"
            ) from None
        raise
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "of another kind")
        number = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise FileRefusedError(number, path, f"is {kind}, expected a regular file; it was not opened")
    return found


_GROWTH_BYTES = 1 << 16
"""How much more than it held is asked of a file that may be growing."""


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The regular file at ``path``, opened to read; see :func:`regular_stat` for what is raised."""
    return os.fdopen(_opened(path), "rb")


def _opened(path: str | os.PathLike[str]) -> int:
    regular_stat(path)
    # What has become a pipe since is not waited for, and is refused below.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileRefusedError(errno.EINVAL, path, "became something else than a file while it was opened")
    return descriptor


def read_regular(path: str | os.PathLike[str], *, at_most: int = MAX_RECORD_BYTES) -> bytes:
    """All bytes of the regular file at ``path``, of which there may be ``at_most``.

    Raises:
        FileRefusedError: see :func:`regular_stat`; or it is larger.
        OSError: it is missing or cannot be read.
    """
    descriptor = _opened(path)
    try:
        size = os.fstat(descriptor).st_size
        content = b"".join(_parts(descriptor, size, at_most)) if size <= at_most else b""
    finally:
        os.close(descriptor)
    if max(size, len(content)) > at_most:
        seen = max(size, len(content))
        raise FileRefusedError(errno.EFBIG, path, f"has {seen:,} bytes or more, expected at most {at_most:,}")
    return content


def _parts(descriptor: int, size: int, at_most: int) -> Iterator[bytes]:
    """What a file of ``size`` holds, one byte more than ``at_most`` at the most: it may grow while it is read.

    Python takes the memory that it is asked to fill, so it is asked for what is there.
    """
    left = at_most + 1
    while left and (part := os.read(descriptor, min(left, size + _GROWTH_BYTES))):
        yield part
        left -= len(part)


def most_unpacked(size: int) -> int:
    """The bytes that a file of ``size`` bytes may unpack to, where its content hardly compresses."""
    return UNPACKED_RATIO * size + UNPACKED_SLACK_BYTES


def walk(folder: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """:func:`os.walk` that follows links, and ends: each folder is entered once.

    Raises:
        FileRefusedError: links lead to a folder a second time, or round a loop.
    """
    seen: dict[tuple[int, int], str] = {}
    for directory, inner, files in os.walk(folder, followlinks=True):
        found = os.stat(directory)
        if (before := seen.setdefault((found.st_dev, found.st_ino), directory)) != directory:
            raise FileRefusedError(errno.ELOOP, directory, f"is the same folder as {before}, by a link: remove it")
        yield directory, inner, files
