"""What a picture file shows, by one rule for training and for answers: upright, opaque, 8 bits a channel.

A camera writes the way it was held into the tag Orientation of the EXIF block, and every viewer turns the picture by
it; so do we, for JPEG, PNG (``eXIf``) and WebP (Pillow itself turns TIFF). A picture without the tag, or with 1, is
left alone to the last bit.

Source of the tag: CIPA DC-008 (Exif 2.32), section 4.6.4; TIFF 6.0, section 2, for the directory that it stands in.
"""

from __future__ import annotations

import re
import struct

from PIL import Image

from levelfield.data.encoded import UnreadablePictureError

_ORIENTATION, _SHORT = 0x0112, 3
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF = b"Exif\0\0"
_BLOCK = re.compile(rb"(?:Exif\0\0|eXIf|EXIF....)(?=II\*\0|MM\0\*)", re.DOTALL)
"""What stands before a block in JPEG, in PNG, and, with its length, in WebP."""

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
"""How a TIFF structure begins, and how its numbers are then written."""

_TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")
_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", *_TRANSPARENT)
_LONGEST = 1 << 16
"""Bytes of a block that are searched: the directory stands at its head."""


def as_shown(image: Image.Image) -> Image.Image:
    """``image`` upright, transparency laid on white, in RGB.

    Raises:
        UnreadablePictureError: its pixels have no agreed 8 bits: 16-bit grey, whole numbers, floats, Lab.
    """
    if image.mode not in _MODES:
        raise UnreadablePictureError(f"a picture with pixels of mode {image.mode}; convert them to 8 bits a channel")
    image.load()  # a PNG may say its orientation after its pixels
    turn = _TURN.get(orientation_of(image))
    if turn is not None:
        image = image.transpose(turn)
        image.info.pop("exif", None)  # done: whoever takes the result must not turn it again
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")  # a copy of the largest takes 360 MB


def orientation_of(image: Image.Image) -> int:
    """The orientation, 1 to 8, that the EXIF of an open picture names; 1 without one, or where it is damaged."""
    return _of_directory((image.info.get("exif") or b"").removeprefix(_EXIF)[:_LONGEST])


def orientation_in(encoded: bytes) -> int:
    """The orientation, 1 to 8, that the EXIF block of a JPEG, PNG or WebP names; 1 without one, or where it is damaged.

    Nothing is decoded.
    """
    if not any(order in encoded for order in _ORDERS):  # every picture is looked at twice, and few have one
        return 1
    block = _BLOCK.search(encoded)
    return _of_directory(encoded[block.end() : block.end() + _LONGEST]) if block else 1


def _of_directory(block: bytes) -> int:
    """The tag in the first directory of a TIFF structure."""
    order = _ORDERS.get(block[:4])
    if order is None or len(block) < 8:
        return 1
    first = struct.unpack_from(f"{order}I", block, 4)[0]
    if first + 2 > len(block):
        return 1
    number = struct.unpack_from(f"{order}H", block, first)[0]
    for place in range(first + 2, min(first + 2 + 12 * number, len(block) - 11), 12):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, place)
        if tag == _ORIENTATION:
            return value if kind == _SHORT and value in _TURN else 1
    return 1
