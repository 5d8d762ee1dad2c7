"""The classes that the pixels of an encoded mask say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from levelfield.data.encoded import open_picture
from levelfield.data.manifest import MaskFacts
from levelfield.records.errors import DataError
from levelfield.records.fields import IGNORED

_MODES = ("L", "P", "1")


class WrongMaskError(DataError):
    """A mask that is a picture and cannot be meant; the text goes on a sentence that names it: "the mask of X …"."""


def classes_of_pixels(encoded: bytes, size: tuple[int, int], facts: MaskFacts) -> NDArray[np.uint8]:
    """The class of every pixel ``[height, width]`` of the picture of ``size`` (width, height), and
    :data:`levelfield.records.fields.IGNORED` for what belongs to none.

    Raises:
        UnreadablePictureError: it is no picture, or a damaged one.
        WrongMaskError: it has another size than its picture, no 8 bits a pixel, or holds other values than classes.
    """
    mask = open_picture(encoded)
    if mask.mode not in _MODES or mask.size != size:
        raise WrongMaskError(
            f"has {mask.size[0]} x {mask.size[1]} pixels of mode {mask.mode}, expected {size[0]} x {size[1]} of 8 bits "
            "(L or P), a class each"
        )
    said = np.asarray(mask).astype(np.uint8)
    strange = np.setdiff1d(said, (*facts.values, facts.ignore_index))
    if len(strange):
        raise WrongMaskError(
            f"holds the values {strange[:5].tolist()}, expected {len(facts.names)} classes, {facts.values[0]} to "
            f"{facts.values[-1]}, or {facts.ignore_index} for none: say num_classes and ignore_index as they are"
        )
    class_of = np.full(256, IGNORED, dtype=np.uint8)
    class_of[list(facts.values)] = np.arange(len(facts.names))
    return class_of[said]
