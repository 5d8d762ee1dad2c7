"""Which held-out pictures look like one that is trained on: other bytes, the same picture, found without comparing all.

A picture becomes 64 bits, each saying whether a pixel of its 9 x 8 grey thumbnail is brighter than its left neighbour
(the difference hash): another size, quality or file format changes few of them. Pictures of whose bits at most
:data:`MOST_BITS` differ agree in one of four bands of 16 whole, so only those that share a band are compared; of a band
that very many share (blank pictures, one logo) no more than :data:`MOST_IN_BAND` are. What is found is confirmed by the
correlation of larger thumbnails, since small pictures may share a hash by chance.

Source: N. Krawetz, "Kind of Like That", hackerfactor.com, 2013, for the hash; the bands are the pigeonhole principle.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_BITS = 3
MOST_IN_BAND = 64
"""Pictures of one band that a picture is compared with: the price stays linear whatever the data."""
MOST_TRIED = 4
"""Of those the nearest, whose larger thumbnails are compared."""
LEAST_CORRELATION = 0.97

_BANDS, _BAND_BITS = 4, 16
_SIDE, _FLAT = 32, 2.0


def difference_hash(picture: Image.Image) -> int | None:
    """The 64 bits of ``picture``; None where it is so flat that they would be noise."""
    small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    if small.std() < _FLAT:
        return None
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def thumbnail(picture: Image.Image) -> NDArray[np.float32]:
    """Grey pixels ``[1024]`` of mean 0 and length 1, by which two pictures are correlated."""
    grey = np.asarray(picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)).astype(np.float32).ravel()
    grey -= grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-9)


def candidates(hashes: NDArray[np.uint64], others: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Places in ``hashes`` [N] and ``others`` [M] of pictures that may be the same: of each of others the nearest few.

    At most 4 x :data:`MOST_IN_BAND` pictures are compared with each, whatever the data.
    """
    bands = [_Band(hashes, others, np.uint64(number * _BAND_BITS)) for number in range(_BANDS)]
    for place, bits in enumerate(others):
        near = np.unique(np.concatenate([band.near(place) for band in bands]))
        far = np.bitwise_count(hashes[near] ^ bits)
        nearest = np.argsort(far, kind="stable")[:MOST_TRIED]
        yield from ((int(near[each]), place) for each in nearest if far[each] <= MOST_BITS)


class _Band:
    """16 bits of every hash from ``shift``: which of ``hashes`` have those of one of ``others``."""

    def __init__(self, hashes: NDArray[np.uint64], others: NDArray[np.uint64], shift: np.uint64) -> None:
        keys, wanted = (hashes >> shift).astype(np.uint16), (others >> shift).astype(np.uint16)
        self._order = np.argsort(keys, kind="stable")
        self._firsts = np.searchsorted(keys[self._order], wanted, side="left")
        self._ends = np.minimum(np.searchsorted(keys[self._order], wanted, side="right"), self._firsts + MOST_IN_BAND)

    def near(self, place: int) -> NDArray[np.int64]:
        return self._order[self._firsts[place] : self._ends[place]]
