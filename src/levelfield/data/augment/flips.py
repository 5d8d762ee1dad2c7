"""Flips, and crops by a few pixels, of pictures that have their size already: for small ones."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits

CROP_PADDING = 1 / 8
"""Of the image's side, on each edge: the 4 of 32 pixels of He et al., "Deep residual learning", 2016, section 4.2."""


def augment_photos(
    images: NDArray[np.uint8], kind: Literal["none", "flip", "crop-flip"], keys: UInt64s, ids: Int64s
) -> NDArray[np.uint8]:
    """``images`` ``[B, C, H, W]`` flipped or not; with "crop-flip" first padded by reflection and cropped."""
    if kind == "none" or not len(ids):
        return images
    bits = draw_bits(keys, ids, 3)
    if kind == "crop-flip":
        images = _shifted(images, bits[:, 1:])
    flipped = below(bits[:, 0], 2).astype(bool)
    return np.where(flipped[:, None, None, None], images[..., ::-1], images)


def _shifted(images: NDArray[np.uint8], bits: UInt64s) -> NDArray[np.uint8]:
    side = images.shape[-1]
    pad = min(round(side * CROP_PADDING), side - 1)
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
    windows = sliding_window_view(padded, images.shape[2:], axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    offsets = below(bits, 2 * pad + 1)
    return windows[np.arange(len(images)), offsets[:, 0], offsets[:, 1]]
