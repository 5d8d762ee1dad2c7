"""Reading a pickle of NumPy arrays without letting it run anything.

A pickle is a program: it names functions and calls them. Here it may name only what rebuilds an array, and each such
name stands for a function of ours; no object of NumPy's is handed to it before it is whole.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import WeightsError, lacks_memory
from levelfield.records.files import open_regular
from levelfield.weights.pickle_claims import claims_of


def read_pickled_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a pickled (nested) dictionary, each by its keys joined with "/".

    Raises:
        WeightsError: the pickle wants anything but dictionaries and arrays of numbers, and the message says what; or
            it is damaged, or costs more than its length. Nothing it names has been run.
    """
    with open_regular(path) as file:
        claims_of(file, path)
        file.seek(0)
        try:
            value = _ArraysOnly(file, path).load()
        except WeightsError:
            raise
        except Exception as error:
            if lacks_memory(error):  # which is no fault of the file
                raise
            raise WeightsError(f"{path} is a damaged pickle ({error})") from None
    if not isinstance(value, Mapping):
        raise WeightsError(f"{path} holds a {type(value).__name__}, expected a dictionary of arrays")
    found = _flat(value, (), path)
    arrays = dict(found)
    if len(arrays) < len(found):
        raise WeightsError(f"{path} holds two arrays of one name, when the keys to them are joined by /")
    return arrays


class _ArraysOnly(pickle.Unpickler):
    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        now = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        allowed = _ALLOWED.get((now, name))
        if allowed is None:
            raise WeightsError(
                f"{self._path} wants to run {module}.{name}, which weights never need; nothing was run. Convert it "
                "where you trust it, to safetensors or to an .npz of plain arrays"
            )
        return allowed

    def persistent_load(self, pid: Any) -> Any:
        raise WeightsError(f"{self._path} refers to data outside itself; it is no pickle of arrays")


class _Dtype:
    """A dtype that the pickle may set the byte order of, and nothing else."""

    def __init__(self, text: str, align: bool = False, copy: bool = True) -> None:
        self.plain = _plain_dtype(np.dtype(text))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, *rest = state
        if order not in ("<", ">", "|", "=") or any(part not in (None, -1, 0) for part in rest):
            raise ValueError(f"expected a dtype of plain numbers, saw the state {state!r:.80}")
        self.plain = self.plain.newbyteorder(order)


class _Array:
    """An array still to be filled by the pickle's own state."""

    def __init__(self, kind: Any, shape: Any, dtype: Any) -> None:
        if kind is not _Array:
            raise ValueError("expected numpy.ndarray to be rebuilt")
        self.whole: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, content = state[-4:]
        self.whole = _from_buffer(content, dtype, shape, "F" if fortran else "C")


def _encode(text: str, encoding: str) -> bytes:
    """What protocol 2 writes for bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes are written as latin1, saw {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What protocol 2 calls for bytes of an empty array."""
    return b""


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    return np.frombuffer(content, dtype.plain, count=1)[0]


def _from_buffer(content: Any, dtype: _Dtype, shape: Any, order: str) -> NDArray[Any]:
    return np.frombuffer(content, dtype.plain).reshape(shape, order="F" if order == "F" else "C")


def _plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, saw dtype {dtype}")
    return dtype


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
}


def _flat(value: Mapping[Any, Any], place: tuple[str, ...], path: Path) -> list[tuple[str, NDArray[Any]]]:
    found: list[tuple[str, NDArray[Any]]] = []
    for key, item in value.items():
        here = (*place, str(key))
        whole = item.whole if isinstance(item, _Array) else item
        if isinstance(whole, Mapping):
            found += _flat(whole, here, path)
        elif isinstance(whole, (np.ndarray, np.generic)):
            found.append(("/".join(here), np.asarray(whole)))
        else:
            raise WeightsError(f"{path}: {'/'.join(here)} is a {type(item).__name__}, expected an array of numbers")
    return found
