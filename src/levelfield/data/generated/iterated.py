"""Iterated function systems: the classes of fractals, drawn by number and kept as whole numbers.

A system has 2 to 6 maps x -> A x + b of the plane. A is a turn, a shrinking along two axes, a mirroring and a turn
again; how much all maps of a system shrink together is held in the band where points neither collapse into dust nor
blur into a cloud, as Anderson and Farrell, "Improving fractal pre-training", 2022 (arXiv 2110.03091), found:
the sum of first singular values and twice the second ones is from (5 + n) / 2 to (6 + n) / 2 for n maps. b is uniform.

Of :data:`SYSTEMS_TRIED` systems that a class draws, its own is the first that fills a share of :data:`LEAST_FILLED` of
the picture (Kataoka et al., "Pre-training without natural images", 2020, arXiv 2101.08515), else the fullest.

Sine and cosine are of whole steps of a turn, and what follows is rounded to 12 bits once, so that all machines draw the
same systems.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, unit_interval
from levelfield.data.generated.chaos import SLOTS, Systems, points_of, to_pixels

LEAST_MAPS, MOST_MAPS = 2, 6
LARGEST_SINGULAR = 0.95
"""Keeps every map contracting, so that points stay within 28 units: sqrt(2) / (1 - 0.95)."""
SYSTEMS_TRIED = 16
LEAST_FILLED = 0.2
_TESTED_SIDE = 32
_ANGLES = 4096
_COSINES, _SINES = (
    np.array([of(step * 2 * math.pi / _ANGLES) for step in range(_ANGLES)]) for of in (math.cos, math.sin)
)
_ONE = 1 << 12


def systems_of(key: UInt64s, classes: Int64s) -> Systems:
    """The systems of ``classes`` ``[K]``."""
    chosen = np.empty((len(classes), SLOTS, 6), dtype=np.int32)
    fullest = np.full(len(classes), -1.0)
    open_places = np.arange(len(classes))
    for candidate in range(SYSTEMS_TRIED):
        drawn = _drawn(key, classes[open_places] * SYSTEMS_TRIED + candidate)
        filled = _filled(key, drawn, classes[open_places])
        fuller = filled > fullest[open_places]
        chosen[open_places[fuller]] = drawn[fuller]
        fullest[open_places] = np.maximum(filled, fullest[open_places])
        open_places = open_places[filled < LEAST_FILLED]
        if not len(open_places):
            break
    return chosen


def _drawn(key: UInt64s, numbers: Int64s) -> Systems:
    """One candidate for each of ``numbers`` ``[K]``."""
    bits = draw_bits(key, numbers, 2 + 7 * MOST_MAPS)
    count = LEAST_MAPS + below(bits[:, 0], MOST_MAPS - LEAST_MAPS + 1)
    there = np.arange(MOST_MAPS) < count[:, None]
    own = bits[:, 2:].reshape(len(numbers), MOST_MAPS, 7)
    first, second = _singular_values(unit_interval(own[..., :2]), unit_interval(bits[:, 1]), there)
    cos, sin = _COSINES, _SINES
    outer, inner = below(own[..., 2], _ANGLES), below(own[..., 3], _ANGLES)
    mirror = np.where(below(own[..., 4], 2) == 1, -1.0, 1.0)
    matrix = (
        cos[outer] * first * cos[inner] - sin[outer] * second * sin[inner],
        (-cos[outer] * first * sin[inner] - sin[outer] * second * cos[inner]) * mirror,
        sin[outer] * first * cos[inner] + cos[outer] * second * sin[inner],
        (-sin[outer] * first * sin[inner] + cos[outer] * second * cos[inner]) * mirror,
    )
    shift = 2 * unit_interval(own[..., 5:]) - 1
    maps = np.rint(np.stack([*matrix, shift[..., 0], shift[..., 1]], axis=-1) * _ONE).astype(np.int32)
    slots = _slots(np.where(there, first * second, 0.0), there)
    return np.take_along_axis(maps, slots[:, :, None], axis=1)


def _singular_values(
    drawn: NDArray[np.float64], at: NDArray[np.float64], there: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``drawn`` ``[K, maps, 2]`` moved evenly towards 1 or 0 until their weighted sum is where it should be."""
    first, second = drawn.max(-1), drawn.min(-1)
    count = there.sum(1)
    wanted = (5 + count + at) / 2
    total = np.where(there, first + 2 * second, 0.0).sum(1)
    up = ((wanted - total) / (3 * count - total))[:, None]
    down = (wanted / total)[:, None]
    found = (np.where(up > 0, each + up * (1 - each), each * down) for each in (first, second))
    larger, smaller = (np.minimum(each, LARGEST_SINGULAR) for each in found)
    return larger, smaller


def _slots(areas: NDArray[np.float64], there: NDArray[np.bool_]) -> Int64s:
    """Which map each slot holds, ``[K, SLOTS]``: one at least a map, the rest by the areas they shrink to."""
    shares = areas / areas.sum(1, keepdims=True)
    spare = SLOTS - there.sum(1, keepdims=True)
    exact = shares * spare
    given = np.floor(exact).astype(np.int64)
    left = spare[:, 0] - given.sum(1)
    order = np.argsort(-(exact - given), axis=1, kind="stable")
    extra = np.empty_like(given)
    np.put_along_axis(extra, order, (np.arange(areas.shape[1]) < left[:, None]).astype(np.int64), axis=1)
    held = np.where(there, given + extra + 1, 0)
    return (np.cumsum(held, axis=1)[:, None, :] <= np.arange(SLOTS)[None, :, None]).sum(2)


def _filled(key: UInt64s, systems: Systems, classes: Int64s) -> NDArray[np.float64]:
    """The share of pixels that points of ``systems`` fall into."""
    points = points_of(systems, key, classes, side=_TESTED_SIDE)
    pixels = to_pixels(points, side=_TESTED_SIDE)
    hit = np.zeros((len(classes), _TESTED_SIDE**2), dtype=bool)
    np.put_along_axis(hit, pixels.astype(np.int64), True, axis=1)
    return hit.mean(1)
