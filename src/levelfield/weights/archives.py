"""Weights in archives, NumPy's and torch's: what they claim is held against their size before it is made."""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from levelfield.records.errors import WeightsError, first_line, lacks_memory
from levelfield.records.files import most_unpacked, open_regular, regular_stat
from levelfield.weights.pickle_claims import Made, claims_of

MAX_PICKLE_BYTES = 256 * 2**20
"""Of the program in a torch file, which holds no numbers."""

_STORED_BYTES = {
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
}
"""Bytes of a number by the name of torch's storage; of those not named, at least 1."""


def refuse_costly_torch(path: Path) -> None:
    """Refuse a torch file whose pickle asks for more than the file holds, before torch makes what it asks for.

    Raises:
        WeightsError: it does, or is damaged.
    """
    size = regular_stat(path).st_size
    with told(path, "torch file"):
        if not zipfile.is_zipfile(path):
            with open_regular(path) as file:
                for _ in range(3):  # a number, a version, and what system wrote it
                    claims_of(file, path)
                _refuse_storages(claims_of(file, path), {}, size, path)
            return
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            stored = {name.rpartition("/data/")[2]: info.file_size for name, info in members.items()}
            for name, info in members.items():
                if name.endswith("data.pkl"):
                    if info.file_size > MAX_PICKLE_BYTES:
                        raise WeightsError(f"{path} has a pickle of {info.file_size:,} bytes beside its numbers")
                    _refuse_storages(claims_of(io.BytesIO(archive.read(info)), path), stored, 0, path)


def _refuse_storages(asked: Iterable[Made], stored: Mapping[str, int], otherwise: int, path: Path) -> None:
    """``stored`` is how many bytes there are of each storage by name, ``otherwise`` of any other."""
    all_wanted: dict[Any, int] = {}
    for made in asked:
        tag, kind, key, _, number, *_ = made.parts[0].parts if isinstance(made.parts[0], Made) else (None,) * 5
        wanted = _STORED_BYTES.get(str(kind).rpartition(".")[2].removesuffix("Storage"), 1)
        if (
            tag != "storage"
            or not isinstance(number, int)
            or not 0 <= number * wanted <= stored.get(str(key), otherwise)
        ):
            raise WeightsError(f"{path} is a damaged torch file: it asks for {number!s:.30} numbers, which it lacks")
        all_wanted[key] = number * wanted
    refuse_excess(sum(all_wanted.values()), regular_stat(path).st_size, path)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """What is in a zip file, refused where it would unpack to more than its size allows."""
    unpacked = sum(info.file_size for info in archive.infolist())
    refuse_excess(unpacked, regular_stat(path).st_size, path)
    members = {info.filename: info for info in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise WeightsError(f"{path} is a damaged archive: two of its members have one name")
    return members


def refuse_excess(wanted: int, size: int, path: Path) -> None:
    """Refuse a file of ``size`` bytes that claims to hold ``wanted``, unless that many may be stored in it.

    Trained numbers hardly compress, and a few names may share one tensor.
    """
    most = most_unpacked(size)
    if wanted > most:
        raise WeightsError(f"{path} has {size:,} bytes and claims to hold {wanted:,}, expected at most {most:,}")


def read_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays in an ``.npz`` by name.

    Raises:
        WeightsError: it is damaged, holds anything else, or unpacks to more than its size allows.
    """
    with told(path, ".npz"), zipfile.ZipFile(path) as archive:
        members = _members(archive, path)
        return {name.removesuffix(".npy"): _read_npy(archive, info, path) for name, info in members.items()}


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray[Any, Any]:
    """One array, its header held against the bytes that follow before there is an array."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.kind not in "fiub":
            raise WeightsError(
                f"{path} holds more than arrays of numbers, so it was not read: {info.filename} of {dtype}"
            )
        wanted, stored = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
        if wanted != stored or min(shape, default=0) < 0:
            raise WeightsError(f"{path} is a damaged .npz: {info.filename} wants {wanted:,} bytes and has {stored:,}")
        return np.frombuffer(file.read(), dtype).reshape(shape, order="F" if fortran else "C")


@contextlib.contextmanager
def told(path: Path, kind: str) -> Iterator[None]:
    """Turn what a library raises of a damaged file, which may be anything, into one clear message.

    Raises:
        WeightsError: instead of what was raised.
    """
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        if lacks_memory(error):  # which is no fault of the file
            raise
        seen = (first_line(error) or type(error).__name__)[:200]
        raise WeightsError(f"{path} is a damaged {kind} ({seen})") from None
