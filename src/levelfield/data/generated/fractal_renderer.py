"""Fractals rendered where they are trained on: the same whole numbers, gathered and added by torch on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from levelfield.data.draws import Int64s, UInt64s
from levelfield.data.generated.chaos import BRANCHES, SETTLING, SLOTS, STEPS, num_chains
from levelfield.data.generated.fractals import BRIGHTEST_HALVINGS, Fractals, Instances
from levelfield.data.source import Examples, Source, check_ids
from levelfield.records.data import Split

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FACTORS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))


def fractals_on(source: Fractals, device: torch.device) -> Source:
    """``source``, whose pictures are made on ``device`` and are tensors there; equal to the last bit."""
    made: Any = FractalsOnDevice(source, device)
    return made


class FractalsOnDevice:
    """``source`` with pictures made on ``device``: the images of a batch are a uint8 tensor [B, 1, H, W] there.

    Systems are changed on the CPU and sent over, some 200 bytes a picture; points are drawn on the device.
    """

    def __init__(self, source: Fractals, device: torch.device) -> None:
        self._source, self._device = source, device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        instances, labels = self._source.drawn(split, check_ids(ids, self._source.split_sizes[split], split))
        images: Any = self._rendered(instances)
        return Examples({"image": images, "label": labels}, np.ones(len(ids), dtype=bool))

    def _rendered(self, instances: Instances) -> Tensor:
        side, number = self._source.resolution, len(instances.ids)
        x, y = self._points(instances, num_chains(side))
        low = torch.stack([x.amin(1), y.amin(1)])[:, :, None]
        extent = torch.stack([x.amax(1), y.amax(1)])[:, :, None] - low
        span = extent.amax(0).clamp(min=1) + 1
        scale, offset = torch.div(side << 16, span, rounding_mode="floor").to(torch.int32), (span - 1 - extent) >> 1
        columns, rows = ((torch.stack([x, y]) - low + offset) * scale) >> 16
        firsts = torch.arange(number, device=self._device)[:, None] * side**2
        places = (firsts + rows * side + columns).flatten()
        counts = torch.zeros(number * side**2, dtype=torch.int32, device=self._device)
        counts.index_add_(0, places, torch.ones_like(places, dtype=torch.int32))
        counts = counts.view(number, side, side)
        if instances.patches is not None:
            counts = _painted(counts, self._sent(instances.patches))
        flips = self._sent(instances.flips)
        for axis in (1, 2):
            counts = torch.where(flips[:, axis - 1, None, None], counts.flip(axis), counts)
        full = torch.full_like(counts, 255)
        return (255 - (full >> counts.clamp(max=BRIGHTEST_HALVINGS))).to(torch.uint8)[:, None]

    def _points(self, instances: Instances, chains: int) -> tuple[Tensor, Tensor]:
        """See :func:`levelfield.data.generated.chaos.points_of`; x and y, ``[B, points]`` each."""
        words = _words(int(instances.key[0]), self._sent(instances.ids), chains * (1 + BRANCHES))
        flat = self._sent(instances.systems).view(-1, 6)
        first = torch.arange(len(instances.ids), device=self._device)[:, None] * SLOTS
        x, y = torch.zeros((2, len(instances.ids), chains), dtype=torch.int32, device=self._device)
        for step in range(SETTLING):
            x, y = _moved(flat, first + ((words[:, :chains] >> 3 * step) & 7), x, y)
        x, y = (each.repeat_interleave(BRANCHES, dim=1) for each in (x, y))
        found = []
        for step in range(STEPS):
            x, y = _moved(flat, first + ((words[:, chains:] >> 3 * step) & 7), x, y)
            found.append((x, y))
        return torch.cat([x for x, _ in found], 1), torch.cat([y for _, y in found], 1)

    def _sent(self, numbers: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self._device, non_blocking=True)


def _moved(systems: Tensor, slots: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    a, b, c, d, e, f = systems[slots].unbind(-1)
    return ((a * x + b * y) >> 12) + e, ((c * x + d * y) >> 12) + f


def _words(key: int, ids: Tensor, count: int) -> Tensor:
    """:func:`levelfield.data.draws.draw_bits` in int64, whose arithmetic wraps as that of uint64 does."""
    signed = key - 2**64 if key >= 2**63 else key
    streams = _mixed(ids * _GOLDEN + signed)
    steps = torch.arange(1, count + 1, device=ids.device) * _GOLDEN
    return _mixed(streams[:, None] + steps)


def _mixed(values: Tensor) -> Tensor:
    for shift, factor in _FACTORS:
        values = (values ^ _shifted(values, shift)) * factor
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, bits: int) -> Tensor:
    """A shift to the right that fills up with zeros."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _painted(counts: Tensor, patches: Tensor) -> Tensor:
    side = counts.shape[1]
    around = torch.nn.functional.pad(counts, (1, 1, 1, 1))
    painted = torch.zeros_like(counts)
    for row in range(3):
        for column in range(3):
            painted += around[:, row : row + side, column : column + side] * patches[:, row, column, None, None]
    return painted
