"""Encoded images from any store, decoded by id, and one cache.

Pixels come from Pillow: upright, in RGB and opaque (:mod:`levelfield.data.pictures`), the shorter side resized to the
resolution (bicubic, antialiased) and the centre cropped; an image that has the size is left alone.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.draws import Int64s
from levelfield.data.encoded import UnreadablePictureError, open_picture
from levelfield.data.pictures import as_shown, resized_square
from levelfield.data.stores.base import Store, read_listed
from levelfield.records.errors import DataError

logger = logging.getLogger(__name__)

DECODED_LIMIT_BYTES = 4 * 2**30
"""Decoded images are kept in memory when all of them together need no more; else each is decoded when asked for."""

MASKED_PIXEL = 128

_UNREAD, _READY, _CORRUPT = 0, 1, 2


class ImageTable:
    """Images in canonical order, decoded to uint8 ``[3, R, R]`` one by one when first asked for."""

    def __init__(self, store: Store, *, resolution: int, mask_corrupt: bool) -> None:
        self.store = store
        self._ends = np.cumsum(store.contents.num_by_class)
        self.resolution, self._mask_corrupt = resolution, mask_corrupt
        size = len(self) * 3 * resolution**2
        self._state = np.zeros(len(self), dtype=np.uint8)
        self._cache = None
        if size <= DECODED_LIMIT_BYTES:
            self._cache = np.empty((len(self), 3, resolution, resolution), dtype=np.uint8)
        else:
            logger.warning("%.1f GiB of decoded images exceed the cache: each is decoded when needed", size / 2**30)

    def __len__(self) -> int:
        return len(self.store.labels)

    @property
    def fingerprint(self) -> str:
        return self.store.contents.fingerprint

    def labels(self, numbers: Int64s) -> Int64s:
        """The classes ``[B]`` of the table's entries ``numbers``: these stand by class, so counting tells them, and no
        row of an index is read."""
        return np.searchsorted(self._ends, numbers, side="right").astype(np.int64)

    def images(self, numbers: Int64s) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Pixels ``[B, 3, R, R]`` and validity ``[B]`` of the table's entries ``numbers``.

        Raises:
            DataError: an image has changed since it was listed, or cannot be decoded and corrupt ones are not masked.
        """
        if self._cache is None:
            pixels = np.empty((len(numbers), 3, self.resolution, self.resolution), dtype=np.uint8)
            for place, number in enumerate(numbers.tolist()):
                pixels[place] = self._decode(number)
            return pixels, self._state[numbers] != _CORRUPT
        for number in numbers[self._state[numbers] == _UNREAD].tolist():
            self._cache[number] = self._decode(number)
            self._state[number] = max(self._state[number], _READY)  # after the pixels: a second thread reads both
        return self._cache[numbers], self._state[numbers] != _CORRUPT

    def _decode(self, number: int) -> NDArray[np.uint8]:
        name = self.store.name(number)
        try:
            return decode(read_listed(self.store, number), self.resolution)
        except OSError as error:
            raise DataError(f"{name} can no longer be read: {error}") from None
        except UnreadablePictureError as error:
            if not self._mask_corrupt:
                raise DataError(
                    f"{name} is {error}: replace or remove it, or set corrupt = 'mask' to keep its place with no weight"
                ) from None
            logger.warning("masked: %s is %s", name, error)
            self._state[number] = _CORRUPT
            return np.full((3, self.resolution, self.resolution), MASKED_PIXEL, dtype=np.uint8)


def decode(encoded: bytes, resolution: int) -> NDArray[np.uint8]:
    """``encoded`` as RGB uint8 ``[3, resolution, resolution]``.

    Raises:
        UnreadablePictureError: it is no picture that is read here, or has no agreed 8 bits a channel.
    """
    picture = as_shown(open_picture(encoded))
    width, height = size = picture.size
    if min(size) != resolution:
        scale = resolution / min(size)
        width, height = max(resolution, round(width * scale)), max(resolution, round(height * scale))
    corner = (width - resolution) // 2, (height - resolution) // 2
    square = resized_square(picture, (width, height), corner, resolution, Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))
