"""A path of sizes of Vision Transformers, from a few thousand parameters to half a billion.

Source: from width 192 on depth grows with width about as from Ti to H (arXiv 2010.11929, 2106.04560); below nobody has
published shapes, and networks of so few channels were found to want depth 1 (studies/0001_digit_pairs).
"""

from __future__ import annotations

from levelfield.records.errors import SpecError

_DEPTHS = {
    8: 1,
    12: 1,
    16: 1,
    24: 1,
    32: 1,
    40: 2,
    48: 2,
    64: 2,
    80: 3,
    96: 4,
    128: 4,
    160: 6,
    192: 8,
    256: 9,
    320: 10,
    384: 12,
    512: 12,
    640: 14,
    768: 14,
    1024: 18,
    1280: 24,
}
_MOST_PATCHES = 16
"""Along a side: beyond, attention takes more than everything else of a small network."""


def path(resolution: int) -> tuple[str, ...]:
    """Sizes for images of ``resolution`` pixels, each one to three times as dear as the one before."""
    patch, _ = patches(resolution)
    return tuple(f"vit:w{width}-d{depth}-p{patch}" for width, depth in _DEPTHS.items())


def patches(resolution: int) -> tuple[int, tuple[int, ...]]:
    """The patch size to start from, and all that cut an image of ``resolution`` pixels into 2 to 16 whole ones a side.

    One patch would be no transformer: nothing attends to anything.
    4 patches a side suit 32 px (studies/0001_digit_pairs), 14 are published for 224 px: half the square root of the
    side in px, about.

    Raises:
        SpecError: no patches do.
    """
    sizes = [
        size for size in range(1, resolution // 2 + 1) if resolution % size == 0 and resolution <= _MOST_PATCHES * size
    ]
    if not sizes:
        raise SpecError(f"vit: no whole patches cut an image of {resolution} px into 2 to {_MOST_PATCHES} a side")
    wanted = resolution / (4 * (resolution / 32) ** 0.64)
    return min(sizes, key=lambda size: (abs(size - wanted), size)), tuple(sizes)
