"""RandAugment on uint8: Pillow's own operations, each with the arguments that timm's policy gives it.

Given the same operations, magnitudes, signs and filters, pixels equal timm's to the last bit; which are drawn is a
function of key and id, with timm's probabilities. Source: timm 1.0, ``data/auto_augment.py``, after Cubuk et al., arXiv
1909.13719; what an affine operation leaves empty takes ImageNet's mean, as ``transforms_imagenet_train`` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from scipy.special import ndtri

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words, mix64, unit_interval
from levelfield.records.augment import MOST_MAGNITUDE, RandAugment

FILL = (124, 116, 104)
"""255 times ImageNet's mean, rounded."""

SKIPPED = 0.5
"""How often an operation is left out."""

_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_WORDS = 5
_KEY = key_words(1, "randaugment")[0]


class Drawn(NamedTuple):
    """One operation: its ``name``, at which ``magnitude`` of 10, negated or not, by which filter if it is affine."""

    name: str
    magnitude: float
    negated: bool
    filter: Image.Resampling


def rand_augmented(images: NDArray[np.uint8], policy: RandAugment, keys: UInt64s, ids: Int64s) -> NDArray[np.uint8]:
    """``images`` ``[B, 3, R, R]`` changed by ``policy``, each by its key and its id."""
    changed = images.copy()
    for place, operations in enumerate(drawn(policy, keys, ids)):
        if operations:
            picture = Image.fromarray(np.ascontiguousarray(images[place].transpose(1, 2, 0)))
            for operation in operations:
                picture = applied(picture, operation, increasing=policy.increasing)
            changed[place] = np.asarray(picture).transpose(2, 0, 1)
    return changed


def drawn(policy: RandAugment, keys: UInt64s, ids: Int64s) -> list[list[Drawn]]:
    """The operations on each of ``ids`` [B]; those that are left out are not among them."""
    bits = draw_bits(mix64(keys ^ _KEY), ids, policy.layers * _WORDS).reshape(len(ids), policy.layers, _WORDS)
    chosen, negated, filters = (below(bits[..., word], bound) for word, bound in ((0, len(NAMES)), (2, 2), (3, 2)))
    kept = unit_interval(bits[..., 1]) >= SKIPPED
    magnitudes = np.full(chosen.shape, float(policy.magnitude))
    if policy.deviation:
        magnitudes += policy.deviation * ndtri(unit_interval(bits[..., 4]) + 2.0**-54)
    magnitudes = magnitudes.clip(0, MOST_MAGNITUDE)
    return [
        [
            Drawn(NAMES[chosen[row, layer]], float(magnitudes[row, layer]), bool(negated[row, layer]), _FILTERS[each])
            for layer, each in enumerate(filters[row].tolist())
            if kept[row, layer]
        ]
        for row in range(len(ids))
    ]


def applied(picture: Image.Image, operation: Drawn, *, increasing: bool) -> Image.Image:
    """``picture`` in RGB after one operation."""
    name, magnitude, negated, _ = operation
    level = magnitude / MOST_MAGNITUDE
    signed = -level if negated else level
    if name in _AFFINE:
        return _AFFINE[name](picture, signed, operation.filter)
    if name in _ENHANCED:
        return _ENHANCED[name](picture).enhance(max(0.1, 1.0 + signed * 0.9) if increasing else level * 1.8 + 0.1)
    if name == "posterize":
        kept = int(level * 4)
        dropped = (1 << (4 + kept if increasing else 8 - kept)) - 1  # all eight, sometimes, which Pillow refuses
        return picture.point([value & ~dropped for value in range(256)] * 3)
    if name == "solarize":
        threshold = min(256, int(level * 256))
        return ImageOps.solarize(picture, 256 - threshold if increasing else threshold)
    if name == "solarize-add":
        added = min(128, int(level * 110))
        return picture.point([min(255, value + added) if value < 128 else value for value in range(256)] * 3)
    return _PLAIN[name](picture)


def _moved(picture: Image.Image, matrix: tuple[float, ...], filter: Image.Resampling) -> Image.Image:
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, resample=filter, fillcolor=FILL)


_Affine = Callable[[Image.Image, float, Image.Resampling], Image.Image]
_AFFINE: dict[str, _Affine] = {
    "rotate": lambda picture, level, filter: picture.rotate(level * 30.0, resample=filter, fillcolor=FILL),
    "shear-x": lambda picture, level, filter: _moved(picture, (1, level * 0.3, 0, 0, 1, 0), filter),
    "shear-y": lambda picture, level, filter: _moved(picture, (1, 0, 0, level * 0.3, 1, 0), filter),
    "translate-x": lambda picture, level, filter: _moved(
        picture, (1, 0, level * 0.45 * picture.width, 0, 1, 0), filter
    ),
    "translate-y": lambda picture, level, filter: _moved(
        picture, (1, 0, 0, 0, 1, level * 0.45 * picture.height), filter
    ),
}
_ENHANCED = {
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "brightness": ImageEnhance.Brightness,
    "sharpness": ImageEnhance.Sharpness,
}
_PLAIN: dict[str, Callable[[Image.Image], Image.Image]] = {
    "auto-contrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "invert": ImageOps.invert,
}
NAMES = (*_PLAIN, *_AFFINE, *_ENHANCED, "posterize", "solarize", "solarize-add")
"""The fifteen operations, each drawn as often."""
