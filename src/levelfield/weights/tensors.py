"""Any weight file as a dictionary of finite tensors, by its content and not its name; nothing in it is run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from levelfield.records.errors import WeightsError
from levelfield.weights.unpickle import read_pickled_arrays

Format: TypeAlias = Literal["safetensors", "torch", "npz", "pickle"]

# What torch.save wrote before it wrote zip files: a pickle that begins with this number (torch/serialization.py).
_TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[:-1]
_WRAPPERS = ("state_dict", "model", "module", "state_dict_ema", "model_ema")
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
_SHOWN = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightFile:
    """The tensors of a file by name, all on the CPU and finite, and the text that its header carries."""

    path: Path
    format: Format
    tensors: Mapping[str, Tensor]
    header: Mapping[str, str]


def read_tensors(path: Path, *, key: str | None = None) -> WeightFile:
    """The tensors in ``path``: safetensors, a torch file, or a pickle or .npz of NumPy arrays.

    A training checkpoint holds several sets of weights: ``key`` says which ("state_dict_ema").

    Raises:
        WeightsError: there is no such file, it is damaged, reading it would run code, it holds no tensors, or numbers
            that are not finite.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is no directory of a trial and no file of weights ({path.absolute()})")
    format = _format_of(path)
    header: dict[str, str] = {}
    if format == "safetensors":
        tensors, header = _read_safetensors(path)
    elif format == "torch":
        tensors = _unwrapped(_read_torch(path), path, key)
    else:
        arrays = _read_npz(path) if format == "npz" else read_pickled_arrays(path)
        tensors = {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors")
    _refuse_not_finite(tensors, path)
    return WeightFile(path=path, format=format, tensors=tensors, header=header)


def _format_of(path: Path) -> Format:
    with path.open("rb") as file:
        head = file.read(32)
    # First, as the header's length, which safetensors begin with, can end in the first bytes of any other format.
    if head[4:9] == b"\0\0\0\0{":
        return "safetensors"
    if head[:2] == b"PK":
        with _told(path, "zip file", (zipfile.BadZipFile,)), zipfile.ZipFile(path) as archive:
            return "npz" if any(name.endswith(".npy") for name in archive.namelist()) else "torch"
    if head.startswith(_TORCH_LEGACY):
        return "torch"
    if head[:1] == b"\x80":
        return "pickle"
    raise WeightsError(
        f"{path} begins like no weight file ({head[:8]!r}): expected safetensors, a torch file, an .npz or a pickle"
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with _told(path, "safetensors file", (SafetensorError, OSError)), safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = next((line for line in str(error).splitlines() if "GLOBAL" in line), str(error).splitlines()[0])
        raise WeightsError(
            f"{path} cannot be read without running code, so it was not read, and nothing was run: {wanted.strip()}. "
            "Save its state dict alone where you trust it, at best as safetensors"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AssertionError) as error:
        raise WeightsError(f"{path} is a damaged torch file ({str(error).splitlines()[0]})") from None


def _read_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except ValueError as error:
        raise WeightsError(f"{path} holds more than arrays of numbers, so it was not read ({error})") from None
    except (OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise WeightsError(f"{path} is a damaged .npz ({error})") from None


def _unwrapped(value: Any, path: Path, key: str | None) -> dict[str, Tensor]:
    """The state dict within a checkpoint, under the names that the bare network has."""
    if not isinstance(value, Mapping):
        raise WeightsError(f"{path} holds a {type(value).__name__}, expected a state dict")
    wrapped = [name for name in _WRAPPERS if isinstance(value.get(name), Mapping)]
    if key is not None:
        if not isinstance(value.get(key), Mapping):
            raise WeightsError(f"{path} has no state dict {key!r}; it holds {', '.join(map(repr, wrapped)) or 'none'}")
        value = value[key]
    elif len(wrapped) > 1:
        raise WeightsError(f"{path} holds several sets of weights, {', '.join(wrapped)}: say which with --key")
    elif wrapped:
        value = value[wrapped[0]]
    others = [str(name) for name, item in value.items() if not isinstance(item, Tensor)]
    if others:
        raise WeightsError(f"{path} holds more than tensors: {', '.join(others[:_SHOWN])}; expected a state dict")
    tensors = {str(name): tensor for name, tensor in value.items()}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise WeightsError(f"{path} holds numbers that are not finite, in {', '.join(bad[:_SHOWN])}{more}")


class _told:
    """Turn what a library says of a damaged file into one clear message."""

    def __init__(self, path: Path, kind: str, errors: tuple[type[BaseException], ...]) -> None:
        self.path, self.kind, self.errors = path, kind, errors

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self.errors):
            raise WeightsError(f"{self.path} is a damaged {self.kind} ({error})") from None
