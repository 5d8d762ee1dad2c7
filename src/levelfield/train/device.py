"""Choosing, setting up and naming the device a trial runs on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

from levelfield.records.errors import SpecError


def resolve_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu`` or ``cuda`` (``cuda:1``), set up; auto takes a GPU where there is one. Of
    several processes that torchrun has started on a machine each takes a GPU of its own.

    Raises:
        SpecError: the name is unknown, or there is no such device here.
    """
    compute_as_recorded()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise SpecError(f"unknown device {name!r}; choose auto, cpu or cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise SpecError("device 'cuda' was asked for, but torch sees no GPU here; use --device cpu or auto")
    own = os.environ.get("LOCAL_RANK") if dist.is_torchelastic_launched() else None
    return torch.device("cuda", int(own)) if name == "cuda" and own is not None else torch.device(name)


def compute_as_recorded() -> None:
    """Make a trial compute what its record says, and the same bits again when it is repeated, on every device.

    By default torch lets cuDNN round what convolutions multiply to the 10 bits of TensorFloat-32, and matrix products
    not: ConvNets would silently train at 3e-4 where ViTs train at 1e-6. Whoever wants speed asks for bfloat16. It also
    lets cuDNN add up gradients in any order, or choose its kernels by the clock: on an H200 six float32 steps of an
    NFNet then differed from run to run, and a resumed trial from an undisturbed one.

    Source: torch documentation, notes/numerical_accuracy ("TensorFloat-32 on NVIDIA Ampere and later devices") and
    notes/randomness ("CUDA convolution determinism"); benchmarks/results/gpu_h200_202611.md.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


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


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``tensor`` of the host on ``device``, without waiting for what is queued there: only from pinned memory is it
    copied in its turn."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def watch_memory(device: torch.device) -> Callable[[], int | None]:
    """From now on: what gives the most bytes that this process has held since; None where nothing tells.

    On a GPU it is what tensors took; on a CPU all of the process (its highest RSS, by Linux), which is not begun anew,
    since others read it, too: None where the process had held more before.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: torch.cuda.max_memory_allocated(device)
    before = _highest_rss() or 0

    def risen() -> int | None:
        highest = _highest_rss()
        return highest if highest is not None and highest > before else None

    return risen


def _highest_rss() -> int | None:
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return None
