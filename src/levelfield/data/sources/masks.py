"""Pictures with a mask each, from any container: one canonical table, decoding by number, and one cache a size.

:class:`MaskedTable` orders the rows of a :class:`MaskedContainer` by the hashes of picture and mask, so that ids,
splits and the fingerprint depend on the content alone, as :mod:`levelfield.data.sources.images` does it.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.canonical import digest_of
from levelfield.data.crops import FittedPair, fitted
from levelfield.data.decode import decode
from levelfield.data.decoded import DecodedPictures
from levelfield.data.encoded import UnreadablePictureError, open_picture
from levelfield.data.kept_digests import forget_digests
from levelfield.data.stretches import stretches
from levelfield.records.errors import DataError
from levelfield.records.fields import IGNORED
from levelfield.records.fingerprint import digest

logger = logging.getLogger(__name__)

_MASK_MODES = ("L", "P", "1")


class MaskClasses(NamedTuple):
    """The ``names`` of the classes of masks by number, and the value in files of pixels that belong to none.

    Classes are the whole numbers from 0 that are not ``ignore_index``, in order: a class that files number before it
    keeps its number, one after it moves down by one.
    """

    names: tuple[str, ...]
    ignore_index: int

    @property
    def values(self) -> tuple[int, ...]:
        """How files number each class."""
        return tuple(value for value in range(len(self.names) + 1) if value != self.ignore_index)[: len(self.names)]


class MaskedContainer(Protocol):
    """Encoded pictures and masks, numbered by row.

    ``digests`` uint8 ``[N, 2, 16]`` are those of picture and mask; ``frames`` the name of every picture in its film,
    None where nothing is known of any.
    """

    @property
    def digests(self) -> NDArray[np.uint8]: ...

    @property
    def frames(self) -> tuple[str, ...] | None: ...

    def read(self, row: int) -> tuple[bytes, bytes]:
        """The encoded picture and its mask. Raises OSError where one has gone since it was listed."""
        ...

    def name(self, row: int) -> str:
        """What to call the pair in a message."""
        ...


class MaskedTable:
    """Pictures and masks in canonical order; ``stretch`` [N] says which err together, None where nothing is known."""

    def __init__(self, container: MaskedContainer, classes: MaskClasses, *, mask_corrupt: bool, stretch: int) -> None:
        halves = container.digests.reshape(len(container.digests), -1).view(">u8")
        self._container, self._classes, self._mask_corrupt = container, classes, mask_corrupt
        self._rows = np.lexsort(halves.T[::-1])
        self.digests = container.digests[self._rows]
        content = repr((len(classes.names), classes.ignore_index)).encode() + self.digests.tobytes()
        self.fingerprint = digest(b"masked table 1" + content)
        known = container.frames is not None and stretch > 1
        self.stretch = stretches(container.frames or (), stretch)[self._rows] if known else None
        self._corrupt: set[int] = set()
        self._class_of = np.full(256, IGNORED, dtype=np.uint8)
        self._class_of[list(classes.values)] = np.arange(len(classes.names))

    def __len__(self) -> int:
        return len(self._rows)

    def pictures(self) -> set[bytes]:
        """The digests of the pictures without repeats."""
        return {row.tobytes() for row in self.digests[:, 0]}

    def decode(self, number: int, side: int) -> FittedPair | None:
        """The entry ``number`` fitted into ``side`` pixels, None where it is corrupt and corrupt ones are masked.

        Raises:
            DataError: it has changed since it was listed, or cannot be decoded and is not masked, or its mask holds
                other values than classes.
        """
        if number in self._corrupt:
            return None
        row = int(self._rows[number])
        name = self._container.name(row)
        try:
            encoded = self._container.read(row)
        except OSError as error:
            raise DataError(f"{name} can no longer be read: {error}") from None
        if b"".join(map(digest_of, encoded)) != self.digests[number].tobytes():
            forget_digests()
            raise DataError(f"{name} has changed since it was listed, so this is other data now: run again")
        try:
            picture, mask = decode(encoded[0]), open_picture(encoded[1])
        except UnreadablePictureError as error:
            if not self._mask_corrupt:
                raise DataError(
                    f"{name} is {error}: replace or remove it, or set corrupt = 'mask' to keep its place with no weight"
                ) from None
            logger.warning("masked: %s is %s", name, error)
            self._corrupt.add(number)
            return None
        return fitted(picture, self._checked(mask, (picture.shape[1], picture.shape[0]), name), side)

    def _checked(self, mask: Image.Image, size: tuple[int, int], name: str) -> NDArray[np.uint8]:
        """``mask`` with :data:`levelfield.records.fields.IGNORED` for what belongs to no class."""
        if mask.mode not in _MASK_MODES or mask.size != size:
            raise DataError(
                f"the mask of {name} has {mask.size[0]} x {mask.size[1]} pixels of mode {mask.mode}, expected "
                f"{size[0]} x {size[1]} of 8 bits (L or P), a class each"
            )
        said = np.asarray(mask).astype(np.uint8)
        strange = np.setdiff1d(said, (*self._classes.values, self._classes.ignore_index))
        if len(strange):
            raise DataError(
                f"the mask of {name} holds the values {strange[:5].tolist()}, expected {len(self._classes.names)} "
                f"classes, {self._classes.values[0]} to {self._classes.values[-1]}, or {self._classes.ignore_index} "
                "for none: say num_classes and ignore_index as they are"
            )
        return self._class_of[said]


class Canvases:
    """The entries of ``table`` fitted into ``side`` pixels, kept in memory as many as have room."""

    def __init__(self, table: MaskedTable, side: int) -> None:
        self.table, self.side = table, side
        self._kept: DecodedPictures[FittedPair] = DecodedPictures()

    def canvas(self, number: int) -> FittedPair | None:
        """The entry ``number``; None where it is corrupt and masked."""
        found = self._kept.get(number)
        if found is None and (found := self.table.decode(number, self.side)) is not None:
            self._kept.keep(number, found)
        return found
