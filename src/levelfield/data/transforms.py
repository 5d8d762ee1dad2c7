"""The one step from uint8 to what a network is fed, and glyphs drawn onto a canvas.

Drawing is NumPy, vectorised, exact in integers, and takes its randomness as arguments, so a picture does not depend on
the batch it is rendered in.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import UInt64s, below

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NORMALISATION: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {
    1: ((0.46,), (0.17,)),
    3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation by number of channels, for pixels in [0, 1]. Colour: ImageNet's, the convention of timm
and torchvision. Grey: measured over 20,000 digit pairs at their defaults, rounded."""

ANGLE_STEPS = 4096
SCALE_STEPS = 1024
_ONE = 1 << 16


def to_float(images: Tensor) -> Tensor:
    """uint8 ``[B, C, H, W]`` to float32, zero mean and unit variance a channel by :data:`NORMALISATION`."""
    pixels = images.float()
    mean, std = _statistics(images.shape[1], images.device, pixels.dtype)
    return pixels.sub_(mean).div_(std)


@functools.cache
def _statistics(channels: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of pixels up to 255, [1, C, 1, 1], sent to the device once: what sends anything there
    in every step makes the host wait, and cannot be captured."""
    import torch

    with torch.inference_mode(False):
        mean, std = (torch.tensor(values, device=device, dtype=dtype).mul_(255) for values in NORMALISATION[channels])
        return mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)


def fed(field: Tensor) -> Tensor:
    """A field as a network takes it: pictures in uint8 by :func:`to_float`, what is float already as it is."""
    return field if field.is_floating_point() else to_float(field)


@dataclass(frozen=True, kw_only=True)
class Affine:
    """How far glyphs are turned (degrees), moved (share of the canvas' side) and scaled (a ratio, up or down)."""

    max_rotation_deg: float
    max_shift: float
    max_scale: float


class SpritePlacer:
    """Draws glyphs onto a window of a canvas, turned, moved and scaled by their own random bits.

    Sprites are ``[S, T, T]`` uint8 with an empty border, finer than the canvas: ``pitch`` sprite pixels to a canvas
    pixel at scale 1. A canvas pixel takes the sprite pixel under its centre, found in 16-bit fixed point. ``centre``
    is (row, column) on a canvas of ``side`` pixels, and the window is the part of the canvas the glyph can reach.
    """

    def __init__(
        self, sprites: NDArray[np.uint8], *, pitch: float, side: int, centre: tuple[float, float], affine: Affine
    ) -> None:
        self.flat, self.tile = sprites.reshape(-1), sprites.shape[-1]
        self._shift = affine.max_shift * side
        reach = _reach(self.tile / pitch, self._shift, affine)
        self.rows, self.columns = (
            slice(max(0, math.floor(c - reach)), min(side, math.ceil(c + reach))) for c in centre
        )
        self._row0, self._column0 = centre[0] - self.rows.start - 0.5, centre[1] - self.columns.start - 0.5
        self._j = np.arange(self.columns.stop - self.columns.start, dtype=np.int32)
        self._i = np.arange(self.rows.stop - self.rows.start, dtype=np.int32)
        limit = math.radians(affine.max_rotation_deg)
        angles = [limit * (2 * step / (ANGLE_STEPS - 1) - 1) for step in range(ANGLE_STEPS)]
        self._cos = np.array([math.cos(angle) for angle in angles]) * _ONE
        self._sin = np.array([math.sin(angle) for angle in angles]) * _ONE
        exponents = [1 - 2 * step / (SCALE_STEPS - 1) for step in range(SCALE_STEPS)]
        self._pitch = np.array([pitch * affine.max_scale**exponent for exponent in exponents])

    def place(self, sprites: NDArray[np.int64], bits: UInt64s | None) -> NDArray[np.uint8]:
        """The window ``[B, rows, columns]`` with glyph ``sprites[b]`` placed by ``bits`` ``[B, 4]``; None: upright."""
        return self.draw(sprites, self.poses(len(sprites), bits))

    def poses(self, count: int, bits: UInt64s | None) -> NDArray[np.int32]:
        """How ``bits`` ``[B, 4]`` place a glyph, int32 ``[B, 4]`` in 16-bit fixed point: the step in sprite columns and
        in sprite rows for a pixel to the right, and the sprite column and row under the window's first pixel."""
        cos, sin, row, column = self._poses(count, bits)
        middle = self.tile / 2 * _ONE
        u = np.rint(middle - cos * column - sin * row)
        v = np.rint(middle + sin * column - cos * row)
        return np.stack([cos, sin, u, v], axis=-1).astype(np.int32)

    def draw(self, sprites: NDArray[np.int64], poses: NDArray[np.int32]) -> NDArray[np.uint8]:
        """The window ``[B, rows, columns]`` with glyph ``sprites[b]`` in pose ``poses[b]``, see :meth:`poses`."""
        across, down, first_u, first_v = poses.T
        u = first_u[:, None] + across[:, None] * self._j
        v = first_v[:, None] - down[:, None] * self._j
        u = u[:, None, :] + (down[:, None] * self._i)[:, :, None]
        v = v[:, None, :] + (across[:, None] * self._i)[:, :, None]
        for coordinate in (u, v):
            coordinate >>= 16
            np.maximum(coordinate, 0, out=coordinate)
            np.minimum(coordinate, self.tile - 1, out=coordinate)
        v *= self.tile
        v += u
        index = v + (sprites * self.tile**2)[:, None, None]
        return self.flat.take(index, mode="clip")

    def _poses(self, count: int, bits: UInt64s | None) -> tuple[NDArray[np.float64], ...]:
        """Cosine and sine times pitch in fixed point, and the centre's row and column in the window."""
        if bits is None:
            pitch = np.full(count, self._pitch[SCALE_STEPS // 2 - 1 : SCALE_STEPS // 2 + 1].prod() ** 0.5)
            return np.rint(pitch * _ONE), 0 * pitch, 0 * pitch + self._row0, 0 * pitch + self._column0
        angle, pitch = below(bits[:, 0], ANGLE_STEPS), self._pitch[below(bits[:, 1], SCALE_STEPS)]
        shifts = (below(bits[:, 2:], 2 * 4096 + 1) / 4096.0 - 1) * self._shift
        return (
            np.rint(self._cos[angle] * pitch),
            np.rint(self._sin[angle] * pitch),
            self._row0 + shifts[:, 0],
            self._column0 + shifts[:, 1],
        )


def _reach(size: float, shift: float, affine: Affine) -> float:
    """The farthest, in canvas pixels along an axis, that ink can lie from the centre before it is moved and after."""
    turn = math.radians(min(affine.max_rotation_deg, 45))
    return size / 2 * affine.max_scale * (math.cos(turn) + math.sin(turn)) + shift
