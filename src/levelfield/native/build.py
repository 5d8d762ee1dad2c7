"""Compiling the kernels with the machine's own compiler, once a source, compiler and processor.

torch's own compiler does the same, and takes twenty seconds to a minute for each network; this takes two for all. The
library lies in ``$LEVELFIELD_CACHE/native`` (an empty variable keeps none), else in ``levelfield/native`` of
``$XDG_CACHE_HOME`` or ``~/.cache``, beside the digest of its bytes: one that was cut short is built again.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("kernels.c")
COMPILE_SECONDS = 120

_FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
# Sums may be taken in any order, so that they vectorise; what is no number stays none: never -ffinite-math-only.
_REORDER = ("-fassociative-math", "-fno-signed-zeros", "-freciprocal-math")
_THIS_MACHINE = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",), ())
"""What compilers call it; the first that is understood."""


class NoCompilerError(Exception):
    """The kernels cannot be built here; the text says why."""


def built_library() -> tuple[Path, str]:
    """The library and what identifies its code: source, compiler, flags and processor.

    Raises:
        NoCompilerError: there is no C compiler, or it refuses.
    """
    compiler = _compiler()
    identity = _identity(compiler)
    folder = _folder() or _folder_of_this_process()
    path = folder / f"kernels-{identity}.so"
    if not _is_whole(path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _build(compiler, path)
        except OSError as error:
            raise NoCompilerError(f"nothing can be written to {folder}: {error.strerror}") from None
    return path, identity


def _compiler() -> str:
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        if found := shutil.which(name):
            return found
    raise NoCompilerError("no C compiler is installed (cc, gcc or clang)")


def _identity(compiler: str) -> str:
    version = _run([compiler, "--version"]).stdout.partition(b"\n")[0]
    said = (SOURCE.read_bytes(), version, repr((_FLAGS, _REORDER, _THIS_MACHINE)).encode(), _processor())
    return hashlib.blake2b(b"\0".join(said), digest_size=8).hexdigest()


def _processor() -> bytes:
    """What the processor can do: a home directory may be shared by machines that are not alike."""
    told = Path("/proc/cpuinfo")
    if not told.exists():
        return f"{platform.machine()} {platform.processor()}".encode()
    lines = told.read_bytes().splitlines()
    return b"\n".join(next((line for line in lines if line.startswith(key)), b"") for key in (b"model name", b"flags"))


def _folder() -> Path | None:
    own = os.environ.get("LEVELFIELD_CACHE")
    if own is not None:
        return Path(own).expanduser() / "native" if own else None
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "levelfield" / "native"


def _folder_of_this_process() -> Path:
    """A folder that is gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="levelfield-native-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _build(compiler: str, path: Path) -> None:
    """By a temporary name of its own: workers may build at once."""
    said = ""
    for machine in _THIS_MACHINE:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".so")
        os.close(descriptor)
        try:
            command = [compiler, *_FLAGS, *_REORDER, *machine, "-o", temporary, os.fspath(SOURCE), "-lm"]
            ended = _run(command)
            if ended.returncode == 0:
                _digest_file(path).write_text(_digest(Path(temporary)))
                os.replace(temporary, path)
                return
            said = ended.stderr.decode(errors="replace").strip().partition("\n")[0]
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    raise NoCompilerError(f"{compiler} refuses: {said}")


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, capture_output=True, timeout=COMPILE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompilerError(f"{command[0]} cannot be run: {error}") from None


def _is_whole(path: Path) -> bool:
    try:
        return _digest_file(path).read_text() == _digest(path)
    except OSError:
        return False


def _digest_file(path: Path) -> Path:
    return path.with_suffix(".digest")


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
