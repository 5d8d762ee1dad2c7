"""Reading a pickle of NumPy arrays without letting it run anything.

A pickle is a program: it names functions and calls them. Here it may name only what rebuilds an array, and each such
name stands for a function of ours.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import WeightsError


def read_pickled_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a pickled (nested) dictionary, each by its keys joined with "/".

    Raises:
        WeightsError: the pickle wants anything but dictionaries and arrays of numbers, and the message says what; or
            it is damaged. Nothing it names has been run.
    """
    with path.open("rb") as file:
        try:
            value = _ArraysOnly(file, path).load()
        except WeightsError:
            raise
        except Exception as error:
            raise WeightsError(f"{path} is a damaged pickle ({error})") from None
    if not isinstance(value, Mapping):
        raise WeightsError(f"{path} holds a {type(value).__name__}, expected a dictionary of arrays")
    return dict(_flat(value, (), path))


class _ArraysOnly(pickle.Unpickler):
    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if allowed is None:
            raise WeightsError(
                f"{self._path} wants to run {module}.{name}, which weights never need; nothing was run. Convert it "
                "where you trust it, to safetensors or to an .npz of plain arrays"
            )
        return allowed

    def persistent_load(self, pid: Any) -> Any:
        raise WeightsError(f"{self._path} refers to data outside itself ({pid!r}); it is no pickle of arrays")


def _encode(text: str, encoding: str) -> bytes:
    """What protocol 2 writes for bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes are written as latin1, saw {encoding!r}")
    return text.encode("latin1")


def _array(kind: Any, shape: Any, dtype: Any) -> NDArray[Any]:
    """An array still to be filled by the pickle's own state."""
    if kind is not np.ndarray:
        raise ValueError(f"expected numpy.ndarray, saw {kind!r}")
    return np.ndarray.__new__(np.ndarray, shape, _plain_dtype(np.dtype(dtype)))


def _scalar(dtype: Any, content: bytes) -> Any:
    return np.frombuffer(content, _plain_dtype(np.dtype(dtype)), count=1)[0]


def _from_buffer(content: Any, dtype: Any, shape: Any, order: str) -> NDArray[Any]:
    return np.frombuffer(content, _plain_dtype(np.dtype(dtype))).reshape(shape, order="F" if order == "F" else "C")


def _dtype(text: str, align: bool = False, copy: bool = True) -> np.dtype[Any]:
    """A dtype of its own: the pickle goes on to set its byte order, and must not set that of one shared by all."""
    return _plain_dtype(np.dtype(text, align=False, copy=True))


def _plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, saw dtype {dtype}")
    return dtype


_ALLOWED: dict[tuple[str, str], Callable[..., Any] | type] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}


def _flat(value: Mapping[Any, Any], place: tuple[str, ...], path: Path) -> list[tuple[str, NDArray[Any]]]:
    found: list[tuple[str, NDArray[Any]]] = []
    for key, item in value.items():
        here = (*place, str(key))
        if isinstance(item, Mapping):
            found += _flat(item, here, path)
        elif isinstance(item, (np.ndarray, np.generic)) and item.dtype.kind in "fiub":
            found.append(("/".join(here), np.asarray(item)))
        else:
            raise WeightsError(f"{path}: {'/'.join(here)} is a {type(item).__name__}, expected an array of numbers")
    return found
