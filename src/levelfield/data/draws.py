"""Random numbers as pure functions of a key and a counter: no generator, no state, no dependence on who asks first.

A key is a BLAKE2b hash of what the draw is for; counters are mixed by the finaliser of SplitMix64 (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014, with the constants of Stafford's variant 13).
Everything is NumPy and vectorised. These functions are part of every recorded result: change none of them.
"""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Int64s: TypeAlias = NDArray[np.int64]
UInt64s: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS_AND_FACTORS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST_SHIFT = np.uint64(31)


def key_words(count: int, *parts: str | int) -> UInt64s:
    """``count`` (at most 8) independent 64-bit keys for the purpose that ``parts`` spell out."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=True)
    return np.frombuffer(hashlib.blake2b(text.encode(), digest_size=8 * count).digest(), dtype="<u8").astype(np.uint64)


def mix64(values: UInt64s) -> UInt64s:
    """A bijection of 64-bit words in which every input bit reaches every output bit."""
    mixed = values.copy()
    for shift, factor in _SHIFTS_AND_FACTORS:
        mixed ^= mixed >> shift
        mixed *= factor
    mixed ^= mixed >> _LAST_SHIFT
    return mixed


def draw_bits(key: UInt64s, counters: Int64s, count: int) -> UInt64s:
    """``count`` random words for each counter: ``[len(counters), count]``.

    ``key`` holds one word for all counters, or one a counter.
    """
    streams = mix64(counters.astype(np.uint64) * _GOLDEN + key)
    return mix64(streams[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64))


def below(bits: UInt64s, bound: int) -> Int64s:
    """Integers in ``[0, bound)`` for a bound under 2^31, biased by less than ``bound`` / 2^32."""
    return ((bits >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int64)


def unit_interval(bits: UInt64s) -> NDArray[np.float64]:
    """Multiples of 2^-53 in ``[0, 1)``."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
