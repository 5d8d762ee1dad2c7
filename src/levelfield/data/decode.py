"""Encoded pictures to pixels, once, for every verb: what training sees is what answers are given of.

Ordinary JPEGs are decoded by simplejpeg where it is installed (libjpeg-turbo, a third faster than Pillow, and without
the GIL), all others by Pillow: equal bits, so that no record knows which of them it was. What simplejpeg finds fault
with is Pillow's to decode or to refuse. The allow-list and the bounds of :mod:`levelfield.data.encoded` hold for both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.encoded import load_picture, open_header
from levelfield.data.pictures import as_shown, orientation_of

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

_FAST = ("YCbCr", "Gray")
"""Colours of a JPEG that both decoders turn into the same RGB."""


def decode(encoded: bytes, *, channels: int = 3) -> NDArray[np.uint8]:
    """The picture in ``encoded`` as it is shown, uint8 [height, width, channels]: upright, opaque, RGB or grey.

    Raises:
        UnreadablePictureError: it is no picture that is read here, or has no agreed 8 bits a channel.
    """
    image = open_header(encoded)
    colour = _by_turbo(encoded, image)
    if colour is None:
        return shown(load_picture(image), channels=channels)
    turned = _turned(colour, orientation_of(image))
    return turned if channels == 3 else grey(turned)


def shown(image: Image.Image, *, channels: int = 3) -> NDArray[np.uint8]:
    """The same of a picture that is open already.

    Raises:
        UnreadablePictureError: it has no agreed 8 bits a channel.
    """
    pixels = np.asarray(as_shown(image))
    return pixels if channels == 3 else grey(pixels)


def grey(colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[height, width, 1] of ``colour`` [height, width, 3]: ITU-R 601 luma, as Pillow rounds it."""
    return np.asarray(Image.fromarray(colour).convert("L"))[..., None]


def decoder_name() -> str:
    """What decodes an ordinary JPEG here, for the record."""
    return f"Pillow {Image.__version__}" if simplejpeg is None else f"simplejpeg {simplejpeg.__version__}"


def _by_turbo(encoded: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """The pixels of an ordinary, undamaged JPEG; None of all else, and where there is no simplejpeg."""
    if simplejpeg is None or image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L"):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded)
        if colours not in _FAST or (width, height) != image.size:
            return None
        return simplejpeg.decode_jpeg(encoded)
    except ValueError:
        return None


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """``pixels`` upright: the tag says where the first row and the first column of what was written belong."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
