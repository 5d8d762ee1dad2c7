"""Encoded images from any container: one canonical table, and their pixels by number.

:class:`ImageTable` orders the images of a :class:`Container` by (label, hash of the encoded bytes), so that ids, splits
and the fingerprint depend on the images alone: the same images give the same run, byte for byte, from Parquet and from
a folder. Byte-identical twins of one label are interchangeable.

A held-out picture is the square in the middle of what is shown (:mod:`levelfield.data.decode`), resized to the
resolution; one that has the size is left alone.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from levelfield.data.classes import Classes
from levelfield.data.decode import decode
from levelfield.data.decoded import DecodedPictures
from levelfield.data.draws import Int64s
from levelfield.data.encoded import UnreadablePictureError
from levelfield.data.pictures import orientation_in
from levelfield.data.resize import covering
from levelfield.data.sources.digests import forget_digests
from levelfield.records.errors import DataError
from levelfield.records.fingerprint import digest

logger = logging.getLogger(__name__)

DIGEST_BYTES = 16


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
    """Images in canonical order, their pixels decoded one by one when first asked for. Safe for several threads."""

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
        self._squares: DecodedPictures[NDArray[np.uint8]] = DecodedPictures()
        self._whole: DecodedPictures[NDArray[np.uint8]] = DecodedPictures()
        self._corrupt: set[int] = set()

    def __len__(self) -> int:
        return len(self.labels)

    def distinct(self) -> set[bytes]:
        """The digests without repeats."""
        return {row.tobytes() for row in self.digests}

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
        row = int(self._rows[number])
        name = self._container.name(row)
        try:
            return decode(read_listed(self._container, row))
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
