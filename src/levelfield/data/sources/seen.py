"""What a network sees of the images of a table: plain, or augmented as the data's spec says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from levelfield.data.augment.flips import augment_photos
from levelfield.data.augment.rand import rand_augmented
from levelfield.data.augment.resized_crop import crop_draws, random_box
from levelfield.data.draws import Int64s, UInt64s
from levelfield.data.resize import resized
from levelfield.data.sources.images import ImageTable
from levelfield.records.data import ImagesSpec

MASKED_PIXEL = 128
"""The grey of a corrupt image."""


def plain(table: ImageTable, numbers: Int64s) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pixels ``[B, 3, R, R]`` and validity ``[B]`` of the entries ``numbers``.

    Raises:
        DataError: an image has changed since it was listed, or cannot be decoded and corrupt ones are not masked.
    """
    return _filled(table, [lambda number=number: table.square(number) for number in numbers.tolist()])


def augmented(
    table: ImageTable, numbers: Int64s, spec: ImagesSpec, keys: UInt64s, ids: Int64s
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The same as trained on: each drawn by its key and its id ``[B]``, see :func:`plain`."""
    if spec.augment == "resized-crop-flip":
        pixels, valid = cropped(table, numbers, keys, ids, least_area=spec.least_crop_area, mirrored=True)
    else:
        pixels, valid = plain(table, numbers)
        pixels = augment_photos(pixels, spec.augment, keys, ids)
    if (policy := spec.rand_augment) is not None:
        pixels[valid] = rand_augmented(pixels[valid], policy, keys[valid], ids[valid])
    return pixels, valid


def cropped(
    table: ImageTable, numbers: Int64s, keys: UInt64s, ids: Int64s, *, least_area: float, mirrored: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The same by a random box of the original, ``least_area`` of it or more; half of them ``mirrored`` where that is
    asked for."""
    flips, words = crop_draws(keys, ids)

    def crop(place: int, number: int) -> NDArray[np.uint8] | None:
        whole = table.whole(number)
        if whole is None:
            return None
        box = random_box(whole.shape[1], whole.shape[0], words[place], least_area=least_area)
        square = resized(whole, box, table.resolution)
        return square[..., ::-1] if mirrored and flips[place] else square

    each = [lambda place=place, number=number: crop(place, number) for place, number in enumerate(numbers.tolist())]
    return _filled(table, each)


def _filled(
    table: ImageTable, each: list[Callable[[], NDArray[np.uint8] | None]]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The pictures that ``each`` gives, and which of them there are; a constant one for the others."""
    pixels = np.empty((len(each), 3, table.resolution, table.resolution), dtype=np.uint8)
    valid = np.ones(len(each), dtype=bool)
    for place, picture in enumerate(each):
        found = picture()
        valid[place] = found is not None
        pixels[place] = MASKED_PIXEL if found is None else found
    return pixels, valid
