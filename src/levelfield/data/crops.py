"""Pictures with masks brought to one square: the whole of one fitted in, or a random crop of it at a random size.

A mask moves with its picture and takes the nearest pixel, since a mean of classes is none; what a square shows beyond
its picture is grey and belongs to no class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits
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


def fitted(picture: Image.Image, mask: Image.Image, side: int) -> FittedPair:
    """``picture`` in RGB and its ``mask`` of one byte a pixel, resized so that the longer side has ``side`` pixels.

    Sizes are rounded to whole pixels, one at least; a picture that has the size is left alone.
    """
    longest = max(picture.size)
    width, height = (max(1, (2 * length * side + longest) // (2 * longest)) for length in picture.size)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        mask = mask.resize((width, height), Image.Resampling.NEAREST)
    pixels, classes = _empty(side)
    pixels[:height, :width], classes[:height, :width] = np.asarray(picture), np.asarray(mask)
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
    (x, across), (y, down) = (
        _placed(length, longer, max(canvas.width, canvas.height), side, draw)
        for length, draw in ((canvas.width, bits[2]), (canvas.height, bits[3]))
    )
    box = (across[0], down[0], across[1], down[1])
    size = (x.stop - x.start, y.stop - y.start)
    pixels, classes = _empty(side)
    shown = np.ascontiguousarray(canvas.pixels[: canvas.height, : canvas.width])
    said = np.ascontiguousarray(canvas.mask[: canvas.height, : canvas.width])
    pixels[y, x] = np.asarray(Image.fromarray(shown).resize(size, Image.Resampling.BILINEAR, box=box))
    classes[y, x] = np.asarray(Image.fromarray(said).resize(size, Image.Resampling.NEAREST, box=box))
    return (pixels[:, ::-1], classes[:, ::-1]) if below(bits[0], 2) else (pixels, classes)


def _placed(length: int, longer: int, longest: int, side: int, draw: UInt64s) -> tuple[slice, tuple[float, float]]:
    """Along one axis: which pixels of the square the picture takes, and where these begin and end in the canvas."""
    scaled = max(1, (2 * length * longer + longest) // (2 * longest))
    start = int(below(draw, abs(scaled - side) + 1))
    if scaled <= side:
        return slice(start, start + scaled), (0.0, float(length))
    return slice(0, side), (start * length / scaled, min((start + side) * length / scaled, float(length)))


def _empty(side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.full((side, side, 3), OUTSIDE, dtype=np.uint8), np.full((side, side), IGNORED, dtype=np.uint8)
