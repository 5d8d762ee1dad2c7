"""Encoded images from any container: one canonical table, decoding by id, and one cache.

:class:`ImageTable` orders the images of a :class:`Container` by (label, hash of the encoded bytes), so that ids, splits
and the fingerprint depend on the images alone: the same images give the same run, byte for byte, from Parquet and from
a folder. Byte-identical twins of one label are interchangeable.

Pixels come from Pillow: upright, in RGB and opaque (:mod:`levelfield.data.pictures`), the shorter side resized to the
resolution (bicubic, antialiased) and the centre cropped; an image that has the size is left alone.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.classes import Classes
from levelfield.data.draws import Int64s
from levelfield.data.encoded import UnreadablePictureError, open_picture
from levelfield.data.pictures import as_shown, orientation_in, resized_square
from levelfield.data.sources.digests import forget_digests
from levelfield.records.errors import DataError
from levelfield.records.fingerprint import digest

logger = logging.getLogger(__name__)

DECODED_LIMIT_BYTES = 4 * 2**30
"""Decoded images are kept in memory when all of them together need no more; else each is decoded when asked for."""

MASKED_PIXEL = 128
DIGEST_BYTES = 16

_UNREAD, _READY, _CORRUPT = 0, 1, 2


class Container(Protocol):
    """Encoded images as some format holds them, numbered by row.

    ``labels`` int64 ``[N]`` are places in ``classes``; ``digests`` uint8 ``[N, 16]``, see :func:`digest_of`.
    """

    classes: Classes
    labels: Int64s
    digests: NDArray[np.uint8]

    def read(self, row: int) -> bytes:
        """The encoded image. Raises OSError where it has gone since it was listed."""
        ...

    def name(self, row: int) -> str:
        """What to call it in a message: its file, or file and row."""
        ...


DIGEST_RULE = "pictures 1"
"""A change to what :func:`digest_of` takes of a picture must change it: digests are kept under it."""


def digest_of(encoded: bytes | memoryview) -> bytes:
    """The 16 bytes of BLAKE2b that identify an encoded image.

    That of a picture that is turned before use says so: its pixels are others than before pictures were turned, and so
    is what is made of it. No other picture's identity knows of the rule.
    """
    turned = b"turned" if orientation_in(bytes(encoded)) != 1 else b""
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES, person=turned).digest()


def read_listed(container: Container, row: int) -> bytes:
    """The encoded image of ``row``, which must be the one that was listed, whatever is kept of its file.

    Raises:
        DataError: it is another by now.
        OSError: it is gone.
    """
    encoded = container.read(row)
    if digest_of(encoded) != container.digests[row].tobytes():
        forget_digests()
        raise DataError(f"{container.name(row)} has changed since it was listed, so this is other data now: run again")
    return encoded


def canonical_order(labels: Int64s, digests: NDArray[np.uint8]) -> tuple[Int64s, str]:
    """The rows of images by label and digest, and the fingerprint of their content, which knows no other order."""
    halves = digests.view(">u8")
    rows = np.lexsort((halves[:, 1], halves[:, 0], labels))
    content = labels[rows].astype("<i8").tobytes() + digests[rows].tobytes()
    return rows, digest(b"image table 1" + content)


class ImageTable:
    """Images in canonical order, decoded to uint8 ``[3, R, R]`` one by one when first asked for."""

    def __init__(
        self, container: Container, *, resolution: int, mask_corrupt: bool, labels: Int64s | None = None
    ) -> None:
        """``labels`` [N] stand for the container's own where those number the classes otherwise."""
        labels = container.labels if labels is None else labels
        self._container = container
        self._rows, self.fingerprint = canonical_order(labels, container.digests)
        self.labels = labels[self._rows]
        self.digests = container.digests[self._rows]
        self.resolution, self._mask_corrupt = resolution, mask_corrupt
        size = len(self) * 3 * resolution**2
        self._state = np.zeros(len(self), dtype=np.uint8)
        self._cache = None
        if size <= DECODED_LIMIT_BYTES:
            self._cache = np.empty((len(self), 3, resolution, resolution), dtype=np.uint8)
        else:
            logger.warning("%.1f GiB of decoded images exceed the cache: each is decoded when needed", size / 2**30)

    def __len__(self) -> int:
        return len(self.labels)

    def distinct(self) -> set[bytes]:
        """The digests without repeats."""
        return {row.tobytes() for row in self.digests}

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
        row = int(self._rows[number])
        name = self._container.name(row)
        try:
            return decode(read_listed(self._container, row), self.resolution)
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
