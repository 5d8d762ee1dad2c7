"""Choosing, setting up and naming the device a trial runs on."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from levelfield.records.errors import SpecError


def resolve_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu`` or ``cuda`` (``cuda:1``), set up; auto takes a GPU where there is one.

    Raises:
        SpecError: the name is unknown, or there is no such device here.
    """
    compute_float32_in_float32()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise SpecError(f"unknown device {name!r}; choose auto, cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise SpecError("device 'cuda' was asked for, but torch sees no GPU here; use --device cpu or auto")
    return torch.device(name)


def compute_float32_in_float32() -> None:
    """Make a float32 trial compute what its record says, on every device of this process.

    By default torch lets cuDNN round what convolutions multiply to the 10 bits of TensorFloat-32, and matrix products
    not: ConvNets would silently train at 3e-4 where ViTs train at 1e-6. Whoever wants speed asks for bfloat16.

    Source: torch documentation, notes/numerical_accuracy ("TensorFloat-32 on NVIDIA Ampere and later devices").
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def device_name(device: torch.device) -> str:
    """The hardware's own name, for the record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return f"CPU {line.partition(':')[2].strip()}"
    return f"CPU {platform.processor() or platform.machine()}"
