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
from safetensors import safe_open
from torch import Tensor

from levelfield.records.errors import WeightsError
from levelfield.records.files import open_regular, regular_stat
from levelfield.weights.archives import read_npz, refuse_costly_torch, refuse_excess, told
from levelfield.weights.card import HEADER
from levelfield.weights.unpickle import read_pickled_arrays
from levelfield.weights.wrappers import bare_tensors

Format: TypeAlias = Literal["safetensors", "torch", "npz", "pickle"]

# What torch.save wrote before it wrote zip files: a pickle that begins with this number (torch/serialization.py).
_TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[:-1]
_SHOWN = 5

_NUMBERS = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool}
    | {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
)


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
    try:
        size = regular_stat(path).st_size
    except FileNotFoundError:
        raise WeightsError(f"{path} is no directory of a trial and no file of weights ({path.absolute()})") from None
    except OSError as error:
        raise WeightsError(f"{path} {error.strerror}: name a file of weights or a directory of a trial") from None
    format = _format_of(path)
    header: dict[str, str] = {}
    if format == "safetensors":
        tensors, header = _read_safetensors(path)
        tensors = tensors if HEADER in header else bare_tensors(tensors, where=str(path), key=key)
    elif format == "torch":
        tensors = bare_tensors(_read_torch(path), where=str(path), key=key)
    else:
        arrays = read_npz(path) if format == "npz" else read_pickled_arrays(path)
        tensors = {name: _of_array(name, array, path) for name, array in arrays.items()}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors")
    _refuse_what_is_not_stored(tensors, path, size)
    _refuse_not_finite(tensors, path)
    return WeightFile(path=path, format=format, tensors=tensors, header=header)


def _format_of(path: Path) -> Format:
    with told(path, "file"), open_regular(path) as file:
        head = file.read(32)
    # First, as the header's length, which safetensors begin with, can end in the first bytes of any other format.
    if head[4:9] == b"\0\0\0\0{":
        return "safetensors"
    if head[:2] == b"PK":
        with told(path, "zip file"), zipfile.ZipFile(path) as archive:
            return "npz" if any(name.endswith(".npy") for name in archive.namelist()) else "torch"
    if head.startswith(_TORCH_LEGACY):
        return "torch"
    if head[:1] == b"\x80":
        return "pickle"
    raise WeightsError(
        f"{path} begins like no weight file ({head[:8]!r}): expected safetensors, a torch file, an .npz or a pickle"
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with told(path, "safetensors file"), safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def _read_torch(path: Path) -> Any:
    refuse_costly_torch(path)
    with told(path, "torch file"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            lines = str(error).splitlines()
            wanted = next((line for line in lines if "GLOBAL" in line), lines[0])
            raise WeightsError(
                f"{path} cannot be read without running code, so it was not read, and nothing was run: "
                f"{wanted.strip()}. Save its state dict alone where you trust it, at best as safetensors"
            ) from None


def _of_array(name: str, array: np.ndarray[Any, Any], path: Path) -> Tensor:
    if array.dtype.itemsize > 8:
        raise WeightsError(f"{path}: {name} holds {array.dtype}, which torch has not; save it as float32")
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def _refuse_what_is_not_stored(tensors: Mapping[str, Tensor], path: Path, size: int) -> None:
    """Refuse tensors that are no plain numbers, and views of a few stored ones as many."""
    total = 0
    for name, tensor in tensors.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_nested
        if not plain or tensor.dtype not in _NUMBERS:
            kind = f"{tensor.dtype} ({tensor.layout}, on {tensor.device})".replace("torch.", "")
            raise WeightsError(f"{path}: {name} is a tensor of {kind}, expected plain numbers such as float32")
        wanted, stored = tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes()
        if wanted > stored:
            raise WeightsError(f"{path}: {name} shows {stored:,} stored bytes as {wanted:,}; save it contiguous")
        total += wanted
    refuse_excess(total, size, path)


def _refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise WeightsError(f"{path} holds numbers that are not finite, in {', '.join(bad[:_SHOWN])}{more}")
