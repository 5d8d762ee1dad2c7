"""A box of a picture resized to a square: the one resize of training, evaluation and answers.

It is torch's antialiased resize of uint8, which takes half of Pillow's time, lets go of the GIL, and gives the same
bits with every vector unit of x86 that was tried. The box is cut out first, so what lies beyond it has no part in the
result and costs nothing; the price is that of box and square, whatever the picture's shape.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Filter: TypeAlias = Literal["bicubic", "bilinear"]


class Box(NamedTuple):
    """Whole pixels of a picture: ``width`` x ``height`` of them from ``left`` and ``top`` on."""

    left: int
    top: int
    width: int
    height: int


def centre_square(width: int, height: int) -> Box:
    """The largest square in the middle."""
    side = min(width, height)
    return Box((width - side) // 2, (height - side) // 2, side, side)


def covering(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """``pixels`` [height, width, channels] as a square [channels, side, side] that its middle covers."""
    height, width = pixels.shape[:2]
    return resized(pixels, centre_square(width, height), side)


def resized(pixels: NDArray[np.uint8], box: Box, side: int, *, filter: Filter = "bicubic") -> NDArray[np.uint8]:
    """What ``box`` cuts out of ``pixels`` [height, width, channels] as a square [channels, side, side].

    A box that has the size is left alone, to the last bit.
    """
    return resized_to(pixels, box, (side, side), filter=filter)


def resized_to(
    pixels: NDArray[np.uint8], box: Box, size: tuple[int, int], *, filter: Filter = "bicubic"
) -> NDArray[np.uint8]:
    """The same for any ``size`` (width, height): [channels, height, width]."""
    import torch
    import torch.nn.functional as F

    left, top, width, height = box
    cut = pixels[top : top + height, left : left + width]
    if (width, height) == size:
        return np.ascontiguousarray(cut.transpose(2, 0, 1))
    # rows side by side are read faster than they are copied, and torch warns of arrays that cannot be written
    cut = cut if cut.flags.c_contiguous and cut.flags.writeable else cut.copy()
    tensor = torch.from_numpy(cut).permute(2, 0, 1)
    if 1 in size:  # torch 2.15 fails on a side of one pixel where channels are together: each by itself, to equal bits
        return F.interpolate(tensor[:, None], (size[1], size[0]), mode=filter, antialias=True)[:, 0].numpy()
    return F.interpolate(tensor[None], (size[1], size[0]), mode=filter, antialias=True)[0].numpy()


def nearest_to(classes: NDArray[np.uint8], box: Box, size: tuple[int, int]) -> NDArray[np.uint8]:
    """What ``box`` cuts out of ``classes`` [height, width], as [height, width] of ``size`` (width, height): each pixel
    the one under its centre, since a mean of classes is none."""
    rows, columns = (
        first + np.minimum((2 * np.arange(gets) + 1) * has // (2 * gets), has - 1)
        for first, has, gets in ((box.top, box.height, size[1]), (box.left, box.width, size[0]))
    )
    return classes[rows[:, None], columns]
