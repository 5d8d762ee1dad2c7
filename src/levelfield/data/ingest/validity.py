"""Whether a picture can be read, decided once, by a decoder that the manifest names.

A JPEG is decoded by simplejpeg where it is installed, which refuses what libjpeg merely warns of (bytes flipped inside,
of which Pillow makes a picture of garbage); then, as all else, by Pillow, whose word counts where pictures are used.
"""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple

from levelfield.data.encoded import UnreadablePictureError, format_of, open_picture
from levelfield.data.manifest import MaskFacts, SkipReason
from levelfield.data.mask_values import WrongMaskError, classes_of_pixels
from levelfield.data.pictures import as_shown

try:
    import simplejpeg
except ImportError:
    simplejpeg = None


class Fault(NamedTuple):
    """Why a picture cannot be used, and the same as a sentence goes on, as "X is …"."""

    why: SkipReason
    said: str


def fault_of(encoded: bytes) -> Fault | None:
    """Why ``encoded`` is no picture that can be used; None where it is one."""
    try:
        name = format_of(encoded)
    except UnreadablePictureError as error:
        return Fault("format" if encoded else "empty", str(error))
    try:
        picture = open_picture(encoded)
    except UnreadablePictureError as error:
        return Fault("damaged", str(error))
    try:
        as_shown(picture)
    except UnreadablePictureError as error:
        return Fault("pixels", str(error))
    return _warned_of(encoded) if name == "JPEG" else None


def fault_of_pair(encoded: bytes, mask: bytes, facts: MaskFacts) -> Fault | None:
    """The same of a picture and its mask, of which ``facts`` say what it means."""
    fault = fault_of(encoded)
    if fault is not None:
        return fault
    try:
        classes_of_pixels(mask, as_shown(open_picture(encoded)).size, facts)
    except UnreadablePictureError as error:
        return Fault("mask", f"beside a mask that is {error}")
    except WrongMaskError as error:
        return Fault("mask", f"beside a mask that {error}")
    return None


def _warned_of(encoded: bytes) -> Fault | None:
    """What libjpeg warns of in a JPEG that Pillow makes a picture of."""
    if simplejpeg is None:
        return None
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(encoded)
        if colours in ("YCbCr", "Gray"):
            simplejpeg.decode_jpeg(encoded, strict=True)
    except ValueError as error:
        return Fault("damaged", f"a damaged JPEG ({error})")
    return None


def decoders() -> dict[str, str]:
    """What decides here, and in which versions."""
    names = ("pillow", "pillow-heif", "simplejpeg")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
