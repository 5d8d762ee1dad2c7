"""Digit strings rendered where they are trained on: whole numbers gathered and added by torch, on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.data.draws import Int64s, UInt64s
from levelfield.data.generated.digit_strings import BACKGROUND, DigitStrings, Drawing
from levelfield.data.source import Examples, Source, check_ids
from levelfield.data.transforms import SpritePlacer
from levelfield.records.data import Split


def rendered_on(source: DigitStrings, device: torch.device) -> Source:
    """``source``, whose pictures are made on ``device`` and are tensors there; equal to the last bit."""
    rendered: Any = RenderedOnDevice(source, device)
    return rendered


class RenderedOnDevice:
    """``source`` with pictures made on ``device``: the images of a batch are a uint8 tensor [B, 1, H, W] there.

    It is the same data: everything else is asked of ``source``. What is random is drawn on the CPU and sent over, some
    150 bytes a picture.
    """

    def __init__(self, source: DigitStrings, device: torch.device) -> None:
        self._source, self._device = source, device
        side = source.resolution
        noise = source.noise.wrapped
        self._noise, self._noise_strides = torch.from_numpy(noise).to(device).flatten(), noise[0].shape
        steps = torch.arange(side, device=device)
        self._window = steps[:, None] * noise.shape[2] + steps
        self._placers = [_DevicePlacer(placer, device) for placer in source.placers]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        drawing, labels = self._source.drawn(split, check_ids(ids, self._source.split_sizes[split], split))
        images: Any = self._rendered(drawing)
        return Examples({"image": images, "label": labels}, np.ones(len(ids), dtype=bool))

    def _rendered(self, drawing: Drawing) -> Tensor:
        height, width = self._noise_strides
        tile, row, column = np.moveaxis(drawing.crops, -1, 0)
        first = self._sent((tile * height + row) * width + column)
        canvas = self._noise[first[:, :, None, None] + self._window].sum(1, dtype=torch.int16) + BACKGROUND
        for placer, glyphs, poses in zip(self._placers, drawing.glyphs, drawing.poses, strict=True):
            canvas[:, placer.rows, placer.columns] += placer.draw(self._sent(glyphs), self._sent(poses))
        return canvas.clamp_(0, 255).to(torch.uint8)[:, None]

    def _sent(self, numbers: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self._device, non_blocking=True)


class _DevicePlacer:
    """See :class:`levelfield.data.transforms.SpritePlacer`, whose :meth:`draw` this repeats on a device."""

    def __init__(self, placer: SpritePlacer, device: torch.device) -> None:
        self.rows, self.columns, self._tile = placer.rows, placer.columns, placer.tile
        self._flat = torch.from_numpy(placer.flat).to(device)
        self._i = torch.arange(placer.rows.stop - placer.rows.start, dtype=torch.int32, device=device)[:, None]
        self._j = torch.arange(placer.columns.stop - placer.columns.start, dtype=torch.int32, device=device)

    def draw(self, sprites: Tensor, poses: Tensor) -> Tensor:
        across, down, first_u, first_v = poses[:, :, None, None].unbind(1)
        u = (first_u + across * self._j + down * self._i) >> 16
        v = (first_v - down * self._j + across * self._i) >> 16
        inside = v.clamp_(0, self._tile - 1) * self._tile + u.clamp_(0, self._tile - 1)
        return self._flat[inside + (sprites * self._tile**2)[:, None, None]]
