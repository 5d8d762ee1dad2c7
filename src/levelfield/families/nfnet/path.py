"""A path of sizes of NFNets, from a thousand parameters to a few hundred million.

Source: from width 256 on blocks are spread over stages as in F0 (1, 2, 6, 3; arXiv 2102.06171), with fewer in the last
two, whose maps are small here; below nobody has published shapes, and one block in each of two stages was found to do
(studies/0001_digit_pairs).
"""

from __future__ import annotations

_DEPTHS = {
    **dict.fromkeys((4, 6, 8, 12, 16, 24, 32, 40), "1x1"),
    **dict.fromkeys((48, 64, 80, 96), "1x2"),
    **dict.fromkeys((128, 160, 192), "1x2x2"),
    **dict.fromkeys((256, 320, 384, 512, 640, 768), "1x2x4x2"),
}
_STRIDES = (1, 2, 4, 8, 16)
_MAP_SIDE = 8
"""Pixels along a side of the first stage's map, to start from; 56 as published would take most of a small network's
compute at its lowest layers."""


def path(resolution: int) -> tuple[str, ...]:
    """Sizes for images of ``resolution`` pixels, each one to three times as dear as the one before."""
    stride, _ = strides(resolution)
    return tuple(f"nfnet:w{width}-d{depth}-s{stride}" for width, depth in _DEPTHS.items())


def strides(resolution: int) -> tuple[int, tuple[int, ...]]:
    """The stride of the stem to start from, and all that leave 2 pixels a side of an image of ``resolution``."""
    allowed = [stride for stride in _STRIDES if resolution >= 2 * stride]
    return min(allowed, key=lambda stride: (abs(stride - resolution / _MAP_SIDE), stride)), tuple(allowed)
