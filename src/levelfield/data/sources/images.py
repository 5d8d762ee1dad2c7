"""Encoded images from any store, and their pixels by number.

A held-out picture is the square in the middle of what is shown (:mod:`levelfield.data.decode`), resized to the
resolution; one that has the size is left alone.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from levelfield.data.decode import decode
from levelfield.data.decoded import DecodedPictures
from levelfield.data.draws import Int64s
from levelfield.data.encoded import UnreadablePictureError
from levelfield.data.resize import covering
from levelfield.data.stores.base import Store, read_listed
from levelfield.records.errors import DataError

logger = logging.getLogger(__name__)


class ImageTable:
    """Images in canonical order, their pixels decoded one by one when first asked for. Safe for several threads."""

    def __init__(self, store: Store, *, resolution: int, mask_corrupt: bool) -> None:
        self.store = store
        self._ends = np.cumsum(store.contents.num_by_class)
        self.resolution, self._mask_corrupt = resolution, mask_corrupt
        self._squares: DecodedPictures[NDArray[np.uint8]] = DecodedPictures()
        self._whole: DecodedPictures[NDArray[np.uint8]] = DecodedPictures()
        self._corrupt: set[int] = set()

    def __len__(self) -> int:
        return len(self.store.labels)

    @property
    def fingerprint(self) -> str:
        return self.store.contents.fingerprint

    def labels(self, numbers: Int64s) -> Int64s:
        """The classes ``[B]`` of the table's entries ``numbers``: these stand by class, so counting tells them, and no
        row of an index is read."""
        return np.searchsorted(self._ends, numbers, side="right").astype(np.int64)

    def square(self, number: int) -> NDArray[np.uint8] | None:
        """The pixels [3, R, R] of the entry ``number``, resized and cropped; see :meth:`whole`."""
        square = self._squares.get(number)
        if square is None and (found := self._decode(number)) is not None:
            square = covering(found, self.resolution)
            self._squares.keep(number, square)
        return square

    def whole(self, number: int) -> NDArray[np.uint8] | None:
        """All pixels [height, width, 3] of the entry ``number``; None where it is corrupt and corrupt ones are masked.

        Raises:
            DataError: it has changed since it was listed, or cannot be decoded and is not masked.
        """
        found = self._whole.get(number)
        if found is None and (found := self._decode(number)) is not None:
            self._whole.keep(number, found)
        return found

    def _decode(self, number: int) -> NDArray[np.uint8] | None:
        if number in self._corrupt:
            return None
        name = self.store.name(number)
        try:
            return decode(read_listed(self.store, number))
        except OSError as error:
            raise DataError(f"{name} can no longer be read: {error}") from None
        except UnreadablePictureError as error:
            if not self._mask_corrupt:
                raise DataError(
                    f"{name} is {error}: replace or remove it, or set corrupt = 'mask' to keep its place with no weight"
                ) from None
            logger.warning("masked: %s is %s", name, error)
            self._corrupt.add(number)
            return None
