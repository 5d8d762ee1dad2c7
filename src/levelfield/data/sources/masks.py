"""Pictures with a mask each, from any store: decoded by number, and kept in one cache a size."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from levelfield.data.crops import FittedPair, fitted
from levelfield.data.decode import decode
from levelfield.data.decoded import DecodedPictures
from levelfield.data.encoded import UnreadablePictureError
from levelfield.data.mask_values import WrongMaskError, classes_of_pixels
from levelfield.data.stores.masked import MaskedStore
from levelfield.data.stretches import stretches
from levelfield.records.errors import DataError

logger = logging.getLogger(__name__)


class MaskedTable:
    """Pictures and masks in canonical order; ``stretch`` [N] says which err together, None where nothing is known."""

    def __init__(self, store: MaskedStore, *, mask_corrupt: bool, stretch: int) -> None:
        self.store, self._mask_corrupt = store, mask_corrupt
        frames = store.frames if stretch > 1 else None
        if stretch > 1 and frames is None:
            raise DataError(f"stretch is {stretch}, and nothing names the frames of films here: say sequence_column")
        self.stretch = None if frames is None else stretches(frames, stretch)
        self._corrupt: set[int] = set()

    def __len__(self) -> int:
        return len(self.store)

    @property
    def fingerprint(self) -> str:
        return self.store.contents.fingerprint

    @property
    def digests(self) -> NDArray[np.uint8]:
        """Those of the pictures, ``[N, 16]``."""
        return self.store.pictures.digests

    def decode(self, number: int, side: int) -> FittedPair | None:
        """The entry ``number`` fitted into ``side`` pixels, None where it is corrupt and corrupt ones are masked.

        Raises:
            DataError: it has changed since it was listed, or cannot be decoded and is not masked, or its mask holds
                other values than classes.
        """
        if number in self._corrupt:
            return None
        name = self.store.name(number)
        try:
            encoded, mask = self.store.read(number)
            picture = decode(encoded)
            classes = classes_of_pixels(mask, (picture.shape[1], picture.shape[0]), self.store.facts)
        except OSError as error:
            raise DataError(f"{name} can no longer be read: {error}") from None
        except WrongMaskError as error:
            raise DataError(f"the mask of {name} {error}") from None
        except UnreadablePictureError as error:
            if not self._mask_corrupt:
                raise DataError(
                    f"{name} is {error}: replace or remove it, or set corrupt = 'mask' to keep its place with no weight"
                ) from None
            logger.warning("masked: %s is %s", name, error)
            self._corrupt.add(number)
            return None
        return fitted(picture, classes, side)


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
