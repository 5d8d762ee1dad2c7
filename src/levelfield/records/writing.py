"""Files and folders as a study keeps them: written whole or not at all, held by one process, set aside when damaged."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from levelfield.records.errors import StoreError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENXIO)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` so that a reader or a crash sees the old content or the new, never a part.

    Raises:
        StoreError: the disk is full, or the directory cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with told_of(path):
            # What a crash left under this name is not opened: it may be a pipe that nobody reads.
            temporary.unlink(missing_ok=True)
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            fsync_directory(path.parent)
    except StoreError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def open_to_append(path: Path) -> Iterator[IO[str]]:
    """``path``, opened to append text.

    Raises:
        StoreError: the disk is full, or the file cannot be written.
    """
    with told_of(path), open(path, "a") as file:
        yield file


def is_there(path: Path) -> bool:
    """Whether anything has that name, a broken link too."""
    return os.path.lexists(path)


def set_aside(path: Path) -> Path:
    """Rename whatever lies at ``path`` to ``<name>.damaged-N``, the first N that is free, and give back the new path.

    Raises:
        StoreError: the system refuses.
    """
    number = 1
    while is_there(aside := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    with told_of(path):
        os.rename(path, aside)
        fsync_directory(path.parent)
    return aside


@contextlib.contextmanager
def hold(path: Path, timeout_s: float, message: str) -> Iterator[None]:
    """Hold the lock file at ``path`` for this process; a killed holder lets go at once.

    Raises:
        StoreError: with ``message``, another process holds it for longer than ``timeout_s``.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with told_of(path):
        try:
            lock.acquire(timeout=timeout_s)
        except Timeout:
            raise StoreError(message) from None
    try:
        yield
    finally:
        lock.release()


def make_directory(path: Path, *, parents: bool = True) -> None:
    """Make ``path``, and its ``parents`` where they may be missing.

    Raises:
        StoreError: the system refuses.
    """
    try:
        path.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the directory {path}: {error.strerror}; choose another with --dir") from error


def publish_once(source: Path, target: Path) -> bool:
    """Give the whole file ``source`` the name ``target``, too, if nothing has it yet: of all who try one succeeds.

    Where a file system has no links, ``target`` is made and then filled, which is as exclusive; a crash in between
    leaves a file that says nothing.

    Raises:
        FileNotFoundError: ``source`` is gone.
        StoreError: the system refuses.
    """
    with told_of(target, but=FileNotFoundError):
        try:
            os.link(source, target)
        except FileExistsError:
            # NFS may carry out a request, lose the answer, and refuse the request that is sent again.
            return os.path.samestat(os.stat(source), os.lstat(target))
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            content = source.read_bytes()
            try:
                with open(target, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except FileExistsError:
                return False
        fsync_directory(target.parent)
    return True


@contextlib.contextmanager
def told_of(path: Path, *, but: type[OSError] | tuple[()] = ()) -> Iterator[None]:
    """Turn what the system refuses into one clear message."""
    try:
        yield
    except but:
        raise
    except OSError as error:
        remedy = "see to the permissions there"
        if error.errno in _NO_ROOM:
            remedy = "free space there"
        elif error.errno in _IN_THE_WAY:
            remedy = "move away what lies there"
        raise StoreError(f"cannot write {path}: {error.strerror}; {remedy}, then run again") from error


def fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
