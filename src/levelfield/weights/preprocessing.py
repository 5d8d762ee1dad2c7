"""From a picture to what a network was trained to be fed. It travels with the weights: without it they are worth less.

Source: timm 1.0 data/transforms_factory.py, ``transforms_imagenet_eval``; "cover" is that of our own data room.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.pictures import as_shown, resized_square
from levelfield.data.transforms import NORMALISATION
from levelfield.records.codec import record
from levelfield.records.data_bounds import LARGEST_SIDE
from levelfield.records.errors import expect

CropMode: TypeAlias = Literal["cover", "center", "squash"]
Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_RESAMPLING = {name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "lanczos")}

MIN_CROP = 0.1
"""Of the resized side; published networks keep 0.8 or more. The less is kept, the larger the rest is made."""


@record
class Preprocessing:
    """Resize, crop, scale: pixels in [0, 1] less ``mean`` over ``std``, one each a channel.

    ``crop_mode`` "center" resizes the shorter side to resolution / crop_pct and crops the middle; "squash" resizes both
    sides to that, whatever the picture's shape; "cover" is what our own data is resized by, and its crop_pct is 1.
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

    @classmethod
    def of_training(cls, *, resolution: int, in_channels: int) -> Preprocessing:
        """What networks that Levelfield trains are fed."""
        expect(in_channels in NORMALISATION, "channels of an image", "1 or 3", in_channels)
        mean, std = NORMALISATION[in_channels]
        return cls(resolution=resolution, mean=mean, std=std, crop_mode="cover")

    def pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """``picture`` as uint8 [channels, resolution, resolution], not scaled yet.

        Raises:
            UnreadablePictureError: its pixels have no agreed 8 bits a channel.
        """
        picture = as_shown(picture, channels=len(self.mean))
        width, height = size = self._size(*picture.size)
        corner = self._offset(width), self._offset(height)
        pixels = np.asarray(resized_square(picture, size, corner, self.resolution, _RESAMPLING[self.interpolation]))
        return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))

    def apply(self, picture: Image.Image) -> NDArray[np.float32]:
        """``picture`` as the network takes it, float32 [channels, resolution, resolution]."""
        return self.scale(self.pixels(picture))

    def scale(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """uint8 [..., channels, height, width] to float32, zero mean and unit variance a channel."""
        shape = (-1, 1, 1)
        mean, std = (np.array(values, dtype=np.float32).reshape(shape) for values in (self.mean, self.std))
        return (pixels.astype(np.float32) / np.float32(255) - mean) / std

    def _size(self, width: int, height: int) -> tuple[int, int]:
        side = self.resolution if self.crop_mode == "cover" else math.floor(self.resolution / self.crop_pct)
        if self.crop_mode == "squash":
            return side, side
        short = min(width, height)
        if self.crop_mode == "cover":
            scale = side / short
            return max(side, round(width * scale)), max(side, round(height * scale))
        return int(side * width / short), int(side * height / short)

    def _offset(self, length: int) -> int:
        spare = length - self.resolution
        return spare // 2 if self.crop_mode == "cover" else round(spare / 2)
