"""Points of an iterated function system by the chaos game, in whole numbers, many systems and chains at once.

Barnsley, "Fractals everywhere", 1988: whoever applies maps of the system at random, to any point, soon walks on its
attractor. A chain settles for :data:`SETTLING` steps, is then cut into :data:`BRANCHES`, which go on with maps of their
own, and every step of them is a point. All arithmetic is of int32: points in 12 bits after the point and below 2^17,
coefficients in 12 bits, so that no product overflows and NumPy and torch agree to the last bit.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, draw_bits

Systems: TypeAlias = NDArray[np.int32]
"""int32 ``[B, SLOTS, 6]``: a, b, c, d, e, f of x' = a x + b y + e, y' = c x + d y + f, in 12 bits after the point."""

SLOTS = 8
"""A system holds a map in one slot or more, by how often it is applied; three random bits choose one."""
SETTLING = 20
BRANCHES = 8
STEPS = 20
_BITS, _CHOICES_A_WORD = 3, 20
POINTS_A_PIXEL = 2
_FRACTION = 12


def num_chains(side: int) -> int:
    """Chains before they branch: their points are about two a pixel."""
    return max(1, round(POINTS_A_PIXEL * side * side / (BRANCHES * STEPS)))


def points_of(systems: Systems, key: UInt64s, ids: Int64s, *, side: int) -> NDArray[np.int32]:
    """Points int32 ``[2, B, points]`` of ``systems`` ``[B, ...]``, drawn by ``key`` and ``ids`` ``[B]`` alone.

    One word chooses twenty maps: a chain has a word, and each of its branches another.
    """
    chains = num_chains(side)
    words = draw_bits(key, ids, chains * (1 + BRANCHES))
    flat = systems.reshape(-1, 6)
    first = (np.arange(len(ids), dtype=np.int64) * SLOTS)[:, None]
    x, y = np.zeros((2, len(ids), chains), dtype=np.int32)
    for step in range(SETTLING):
        x, y = _moved(flat, first + chosen(words[:, :chains], step), x, y)
    x, y = (np.repeat(each, BRANCHES, axis=1) for each in (x, y))
    points = np.empty((2, STEPS, *x.shape), dtype=np.int32)
    for step in range(STEPS):
        x, y = _moved(flat, first + chosen(words[:, chains:], step), x, y)
        points[0, step], points[1, step] = x, y
    return points.transpose(0, 2, 1, 3).reshape(2, len(ids), -1)


def chosen(words: UInt64s, step: int) -> Int64s:
    """The slots that ``words`` choose at ``step``."""
    return ((words >> np.uint64(_BITS * step)) & np.uint64(SLOTS - 1)).astype(np.int64)


def _moved(
    systems: NDArray[np.int32], slots: Int64s, x: NDArray[np.int32], y: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    a, b, c, d, e, f = np.moveaxis(systems.take(slots, axis=0), -1, 0)
    return ((a * x + b * y) >> _FRACTION) + e, ((c * x + d * y) >> _FRACTION) + f


def to_pixels(points: NDArray[np.int32], *, side: int) -> NDArray[np.int32]:
    """The pixel, row by row, that each of ``points`` ``[2, B, points]`` falls into: ``[B, points]``.

    The larger extent of the points of a picture fills its side, the other one stands in the middle.
    """
    low, high = points.min(2, keepdims=True), points.max(2, keepdims=True)
    span = np.maximum((high - low).max(0), 1) + 1
    scale = (np.int32(side) << np.int32(16)) // span
    offset = (span - 1 - (high - low)) >> 1
    columns, rows = ((points - low + offset) * scale) >> 16
    return rows * side + columns
