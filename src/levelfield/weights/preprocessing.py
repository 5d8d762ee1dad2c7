"""From a picture to what a network was trained to be fed. It travels with the weights: without it they are worth less.

Source: timm 1.0 data/transforms_factory.py, ``transforms_imagenet_eval``; "cover" is that of our own data room. What
others published was evaluated with Pillow's resize, whose bits are not those of our own: each keeps its own.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.encoded import MAX_PIXELS
from levelfield.data.resize import covering
from levelfield.data.transforms import NORMALISATION
from levelfield.records.codec import record
from levelfield.records.data_bounds import LARGEST_SIDE
from levelfield.records.errors import expect

CropMode: TypeAlias = Literal["cover", "center", "squash"]
Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_RESAMPLING = {name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")}

MIN_CROP = 0.1
"""Of the resized side; published networks keep 0.8 or more. The less is kept, the larger the rest is made."""

_REACH = 3
"""Pixels that a filter reaches either way; that of Lanczos."""


@record
class Preprocessing:
    """Resize, crop, scale: pixels in [0, 1] less ``mean`` over ``std``, one each a channel.

    ``crop_mode`` "center" resizes the shorter side to resolution / crop_pct and crops the middle; "squash" resizes both
    sides to that, whatever the picture's shape; "cover" takes the square in the middle and resizes that, as our own
    data is; its crop_pct is 1, and it is bicubic.
    ``orientation`` records that pictures are turned upright first, as their EXIF says.
    """

    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bicubic"
    crop_pct: float = 1.0
    crop_mode: CropMode = "center"
    orientation: Literal["exif"] = "exif"

    def __post_init__(self) -> None:
        sized = 1 <= self.resolution <= LARGEST_SIDE
        expect(sized, "preprocessing.resolution", f"from 1 to {LARGEST_SIDE} pixels", self.resolution)
        expect(self.crop_mode in ("cover", "center", "squash"), "preprocessing.crop_mode", "known", self.crop_mode)
        expect(self.interpolation in _RESAMPLING, "preprocessing.interpolation", "known", self.interpolation)
        expect(len(self.mean) in (1, 3), "preprocessing.mean", "1 or 3 numbers", self.mean)
        expect(len(self.std) == len(self.mean), "preprocessing.std", "as many numbers as mean", self.std)
        finite = all(math.isfinite(number) for number in (*self.mean, *self.std))
        expect(finite, "preprocessing.mean and std", "finite", (self.mean, self.std))
        expect(min(self.std) > 0, "preprocessing.std", "positive", self.std)
        expect(MIN_CROP <= self.crop_pct <= 1, "preprocessing.crop_pct", f"in [{MIN_CROP}, 1]", self.crop_pct)
        covers = self.crop_mode != "cover" or self.crop_pct == 1
        expect(covers, "preprocessing.crop_pct", "1 where crop_mode is 'cover'", self.crop_pct)
        covers = self.crop_mode != "cover" or self.interpolation == "bicubic"
        expect(covers, "preprocessing.interpolation", "bicubic where crop_mode is 'cover'", self.interpolation)

    @classmethod
    def of_training(cls, *, resolution: int, in_channels: int) -> Preprocessing:
        """What networks that Levelfield trains are fed."""
        expect(in_channels in NORMALISATION, "channels of an image", "1 or 3", in_channels)
        mean, std = NORMALISATION[in_channels]
        return cls(resolution=resolution, mean=mean, std=std, crop_mode="cover")

    def pixels(self, shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``shown`` [height, width, channels], as :func:`levelfield.data.decode.decode` gives it, as uint8 [channels,
        resolution, resolution], not scaled yet."""
        if self.crop_mode == "cover":
            return covering(shown, self.resolution)
        picture = Image.fromarray(shown[..., 0] if shown.shape[-1] == 1 else shown)
        width, height = size = self._size(*picture.size)
        corner = round((width - self.resolution) / 2), round((height - self.resolution) / 2)
        square = _resized_square(picture, size, corner, self.resolution, _RESAMPLING[self.interpolation])
        pixels = np.asarray(square)
        return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))

    def apply(self, shown: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The same as the network takes it, float32 [channels, resolution, resolution]."""
        return self.scale(self.pixels(shown))

    def scale(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """uint8 [..., channels, height, width] to float32, zero mean and unit variance a channel."""
        shape = (-1, 1, 1)
        mean, std = (np.array(values, dtype=np.float32).reshape(shape) for values in (self.mean, self.std))
        return (pixels.astype(np.float32) / np.float32(255) - mean) / std

    def _size(self, width: int, height: int) -> tuple[int, int]:
        side = math.floor(self.resolution / self.crop_pct)
        if self.crop_mode == "squash":
            return side, side
        short = min(width, height)
        return int(side * width / short), int(side * height / short)


def _resized_square(
    picture: Image.Image, size: tuple[int, int], corner: tuple[int, int], side: int, resampling: Image.Resampling
) -> Image.Image:
    """The square of ``side`` pixels at ``corner`` of ``picture`` resized to ``size`` by Pillow.

    A long, thin picture whose resized whole would be larger than any picture may be is cut first: what the square
    needs is resized alone, to the same pixels but for rounding. So the price is that of the picture and the square.
    """
    (width, height), (left, top) = size, corner
    if width * height <= MAX_PIXELS:
        whole = picture if size == picture.size else picture.resize(size, resampling)
        return whole.crop((left, top, left + side, top + side))
    columns, x = _needed(left, side, picture.width, width)
    rows, y = _needed(top, side, picture.height, height)
    part = picture.crop((columns[0], rows[0], columns[1], rows[1]))
    return part.resize((side, side), resampling, box=(x[0], y[0], x[1], y[1]))


def _needed(start: int, side: int, has: int, gets: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """Of ``has`` pixels in a line that becomes ``gets``: the first and last that decide ``side`` of those from
    ``start``, and where among them these begin and end."""
    scale = has / gets
    begin, end = start * scale, min((start + side) * scale, has)
    reach = math.ceil(_REACH * max(scale, 1)) + 1
    first, last = max(0, math.floor(begin) - reach), min(has, math.ceil(end) + reach)
    return (first, last), (begin - first, end - first)
