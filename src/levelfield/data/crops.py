"""Pictures with masks brought to one square: the whole of one fitted in, or a random crop of it at a random size.

A mask moves with its picture and takes the nearest pixel, since a mean of classes is none; what a square shows beyond
its picture is grey and belongs to no class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits
from levelfield.data.resize import Box, nearest_to, resized_to
from levelfield.records.fields import IGNORED

OUTSIDE = 128
"""The grey of what lies beyond a picture."""

CANVAS_SIDES = 2
"""A canvas to crop from has so many sides of the square: the largest size of a picture."""


class FittedPair(NamedTuple):
    """A picture fitted into a square: ``pixels`` uint8 [S, S, 3] and ``mask`` uint8 [S, S] from the top left corner on,
    of which ``width`` and ``height`` are its own."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    width: int
    height: int

    @property
    def nbytes(self) -> int:
        """Of both arrays."""
        return self.pixels.nbytes + self.mask.nbytes


def fitted(picture: NDArray[np.uint8], mask: NDArray[np.uint8], side: int) -> FittedPair:
    """``picture`` [H, W, 3] and its ``mask`` [H, W], resized so that the longer side has ``side`` pixels.

    Sizes are rounded to whole pixels, one at least; a picture that has the size is left alone.
    """
    longest = max(mask.shape)
    height, width = (max(1, (2 * length * side + longest) // (2 * longest)) for length in mask.shape)
    whole = Box(0, 0, mask.shape[1], mask.shape[0])
    pixels, classes = _empty(side)
    pixels[:height, :width] = resized_to(picture, whole, (width, height)).transpose(1, 2, 0)
    classes[:height, :width] = nearest_to(mask, whole, (width, height))
    return FittedPair(pixels, classes, width, height)


def centred(canvas: FittedPair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The pixels and the mask of ``canvas`` with the picture in the middle."""
    side = len(canvas.mask)
    shift = ((side - canvas.height) // 2, (side - canvas.width) // 2)
    return np.roll(canvas.pixels, shift, axis=(0, 1)), np.roll(canvas.mask, shift, axis=(0, 1))


def crop_bits(keys: UInt64s, ids: Int64s) -> UInt64s:
    """What :func:`scaled_crop` draws by, ``[B, 4]``: a function of the augmentation keys and the example ids alone."""
    return draw_bits(keys, ids, 4)


def scaled_crop(canvas: FittedPair, side: int, bits: UInt64s) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A square of ``side`` pixels of ``canvas``, drawn by ``bits`` [4]: flipped or not, size and place.

    The picture's longer side is brought to a length drawn evenly from half to twice the square's. Along each axis the
    square then lies anywhere within the picture, or the picture anywhere within the square. All draws are integers.

    Source: scales of 0.5 to 2, crop and flip are customary in segmentation (arXiv 1706.05587, section 4.1).
    """
    least = max(1, side // 2)
    longer = least + int(below(bits[1], CANVAS_SIDES * side - least + 1))
    (x, left, across), (y, top, down) = (
        _placed(length, longer, max(canvas.width, canvas.height), side, draw)
        for length, draw in ((canvas.width, bits[2]), (canvas.height, bits[3]))
    )
    box, size = Box(left, top, across, down), (x.stop - x.start, y.stop - y.start)
    pixels, classes = _empty(side)
    pixels[y, x] = resized_to(canvas.pixels, box, size, filter="bilinear").transpose(1, 2, 0)
    classes[y, x] = nearest_to(canvas.mask, box, size)
    return (pixels[:, ::-1], classes[:, ::-1]) if below(bits[0], 2) else (pixels, classes)


def _placed(length: int, longer: int, longest: int, side: int, draw: UInt64s) -> tuple[slice, int, int]:
    """Along one axis: which pixels of the square the picture takes, and the first of the canvas' and how many."""
    scaled = max(1, (2 * length * longer + longest) // (2 * longest))
    start = int(below(draw, abs(scaled - side) + 1))
    if scaled <= side:
        return slice(start, start + scaled), 0, length
    takes = (2 * side * length + scaled) // (2 * scaled)
    return slice(0, side), start * (length - takes) // (scaled - side), takes


def _empty(side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.full((side, side, 3), OUTSIDE, dtype=np.uint8), np.full((side, side), IGNORED, dtype=np.uint8)
