"""What devices can do at best, each number with its source, and what a computation costs on them."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.errors import SpecError, did_you_mean

Precision: TypeAlias = Literal["bfloat16", "float16", "tensorfloat32", "float32"]


@record
class Device:
    """One device as it is rented. ``peaks`` are dense (no structured sparsity) FLOP/s by precision.

    A precision the source does not state is absent. ``called`` is a pattern of the whole of what drivers call it.
    """

    name: str
    title: str
    peaks: tuple[tuple[Precision, float], ...]
    source: str
    called: str = ""

    def peak(self, precision: Precision) -> float:
        """FLOP/s at best.

        Raises:
            SpecError: the table has no such figure for this device.
        """
        known = dict(self.peaks)
        if precision not in known:
            raise SpecError(f"no {precision} peak is known for {self.name}{did_you_mean(precision, known)}")
        return known[precision]


_TPU = "Google Cloud TPU documentation, system architecture"

DEVICES = (
    Device(
        name="tpu-v3-core",
        title="TPU v3, one core",
        peaks=(("bfloat16", 61.5e12),),
        source=f"{_TPU}: 123 TFLOP/s a chip of two cores",
    ),
    Device(
        name="tpu-v4-core",
        title="TPU v4, one core",
        peaks=(("bfloat16", 137.5e12),),
        source=f"{_TPU}: 275 TFLOP/s a chip of two cores",
    ),
    Device(
        name="tpu-v5e",
        title="TPU v5e, one chip",
        peaks=(("bfloat16", 197e12),),
        source=f"{_TPU}",
    ),
    Device(
        name="tpu-v5p",
        title="TPU v5p, one chip",
        peaks=(("bfloat16", 459e12),),
        source=f"{_TPU}",
    ),
    Device(
        name="v100",
        title="NVIDIA V100 SXM2",
        peaks=(("float16", 125e12), ("float32", 15.7e12)),
        source="NVIDIA V100 datasheet",
        called=r"Tesla V100-SXM2-(16|32)GB",
    ),
    Device(
        name="a100",
        title="NVIDIA A100 SXM",
        peaks=(("bfloat16", 312e12), ("float16", 312e12), ("tensorfloat32", 156e12), ("float32", 19.5e12)),
        source="NVIDIA A100 datasheet",
        called=r"NVIDIA A100-SXM4-(40|80)GB",
    ),
    Device(
        name="h100",
        title="NVIDIA H100 SXM5",
        peaks=(("bfloat16", 989.4e12), ("float16", 989.4e12), ("tensorfloat32", 494.7e12), ("float32", 66.9e12)),
        source="NVIDIA H100 architecture whitepaper, dense figures",
        called=r"NVIDIA H100 80GB HBM3",
    ),
    Device(
        name="h100-pcie",
        title="NVIDIA H100 PCIe",
        peaks=(("bfloat16", 756e12), ("float16", 756e12), ("tensorfloat32", 378e12), ("float32", 51.2e12)),
        source="NVIDIA H100 architecture whitepaper, dense figures",
        called=r"NVIDIA H100 PCIe",
    ),
    Device(
        name="h200",
        title="NVIDIA H200 SXM",
        peaks=(("bfloat16", 989.4e12), ("float16", 989.4e12), ("tensorfloat32", 494.7e12), ("float32", 66.9e12)),
        source="NVIDIA H200 datasheet: the compute of the H100 SXM5",
        called=r"NVIDIA H200",
    ),
    Device(
        name="b200",
        title="NVIDIA B200 SXM",
        peaks=(("bfloat16", 2.25e15), ("float16", 2.25e15), ("tensorfloat32", 1.125e15), ("float32", 75e12)),
        source="NVIDIA HGX B200 datasheet, an eighth of the board, half of the sparse figure",
        called=r"NVIDIA B200",
    ),
    Device(
        name="rtx-3090",
        title="NVIDIA GeForce RTX 3090",
        peaks=(("bfloat16", 71e12), ("float16", 71e12), ("tensorfloat32", 35.6e12), ("float32", 35.6e12)),
        source="NVIDIA GA102 architecture whitepaper, dense, float32 accumulation",
        called=r"NVIDIA GeForce RTX 3090",
    ),
    Device(
        name="rtx-4090",
        title="NVIDIA GeForce RTX 4090",
        peaks=(("bfloat16", 165.2e12), ("float16", 165.2e12), ("tensorfloat32", 82.6e12), ("float32", 82.6e12)),
        source="NVIDIA Ada architecture whitepaper, dense, float32 accumulation",
        called=r"NVIDIA GeForce RTX 4090",
    ),
)


def device(name: str) -> Device:
    """The row of the table called ``name``.

    Raises:
        SpecError: there is none; the message names the nearest.
    """
    for row in DEVICES:
        if row.name == name.lower():
            return row
    raise SpecError(f"no peak is known for device {name!r}{did_you_mean(name.lower(), [row.name for row in DEVICES])}")


def device_called(hardware: str) -> Device | None:
    """The row of what a driver calls ``hardware`` ("NVIDIA H100 80GB HBM3"); None where no peak is known for it."""
    return next((row for row in DEVICES if row.called and re.fullmatch(row.called, hardware)), None)


def device_hours(flops: float, device_name: str, *, utilisation: float, precision: Precision = "bfloat16") -> float:
    """Hours of one device that ``flops`` take at ``utilisation``, the share of its peak that is reached.

    Raises:
        SpecError: the device or its precision is unknown, or ``utilisation`` is not in (0, 1].
    """
    if not 0 < utilisation <= 1:
        raise SpecError(f"utilisation is a share of the peak, in (0, 1]; saw {utilisation!r}")
    return flops / (device(device_name).peak(precision) * utilisation) / 3600
