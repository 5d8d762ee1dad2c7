"""Random resized crop: a box of random area and shape, anywhere in the original picture, resized to the square.

Source: Szegedy et al., "Going deeper with convolutions", 2015, section 6; areas, ratios and tries as torchvision's and
timm's ``RandomResizedCrop`` have them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits
from levelfield.data.resize import Box

RATIOS = (3 / 4, 4 / 3)
"""Width over height of a box, drawn evenly in the logarithm."""

CROP_TRIES = 10
"""Boxes that are drawn until one fits; then it is the middle of the picture, at the nearest of those ratios."""

_WORDS = 4
_LOG_RATIOS = tuple(math.log(ratio) for ratio in RATIOS)


def crop_draws(keys: UInt64s, ids: Int64s) -> tuple[list[bool], list[list[int]]]:
    """What each of ``ids`` [B] is cropped by: whether it is flipped, and the words that draw its box."""
    bits = draw_bits(keys, ids, 1 + CROP_TRIES * _WORDS)
    return below(bits[:, 0], 2).astype(bool).tolist(), bits[:, 1:].tolist()


def random_box(width: int, height: int, words: Sequence[int], *, least_area: float) -> Box:
    """The box that ``words`` (:func:`crop_draws`) draw in a picture; its area is ``least_area`` of it to the whole."""
    low, high = _LOG_RATIOS
    for first in range(0, CROP_TRIES * _WORDS, _WORDS):
        area, ratio, left, top = words[first : first + _WORDS]
        pixels = (least_area + (1 - least_area) * _unit(area)) * (width * height)
        aspect = math.exp(low + (high - low) * _unit(ratio))
        across, down = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 1 <= across <= width and 1 <= down <= height:
            return Box(_below(left, width - across + 1), _below(top, height - down + 1), across, down)
    return middle_box(width, height)


def middle_box(width: int, height: int) -> Box:
    """The largest box in the middle whose ratio is one of those that are drawn."""
    across, down = width, height
    if width / height < RATIOS[0]:
        down = round(width / RATIOS[0])
    elif width / height > RATIOS[1]:
        across = round(height * RATIOS[1])
    return Box((width - across) // 2, (height - down) // 2, across, down)


def _unit(word: int) -> float:
    """A multiple of 2^-53 in [0, 1); see :func:`levelfield.data.draws.unit_interval`."""
    return (word >> 11) * 2.0**-53


def _below(word: int, bound: int) -> int:
    """A whole number in [0, bound); see :func:`levelfield.data.draws.below`."""
    return (word >> 32) * bound >> 32
