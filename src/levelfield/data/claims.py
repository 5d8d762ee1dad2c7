"""What the header of an encoded picture would make Pillow do before it tells a size, counted and bounded.

Pillow parses in Python, an object a piece, and joins some of the pieces in quadratic time: a comment of a GIF in blocks
of 255 bytes, an EXIF block of a JPEG in segments. Of what is damaged nothing is said here; whoever decodes it will.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

MAX_NUMBERS = 2**18
"""Numbers in a tag of a TIFF (its strips, say), and chunks of a PNG."""

MAX_TILE_SIDE = 2**14
"""Pixels of a side of a TIFF's tile, which is unpacked whole however small the picture is."""

MAX_SEGMENTS = 2**12
"""Segments of a JPEG, and blocks of a GIF, before the first pixel: of 64 kB and of 255 bytes. ICC and EXIF need a
dozen."""

MAX_JOINED_BYTES = 2**24
"""EXIF of a JPEG."""

_STRIPS, _TILE_SIDES = (273, 279, 324, 325), (322, 323)
_TEXTS = (1, 2, 7)  # types of a TIFF's tags that are kept as bytes: ICC profiles, a program's own layers


def excess_in(name: str, encoded: bytes) -> str | None:
    """What the picture ``encoded`` of format ``name`` has too much of, in words; None where nothing is."""
    if name == "JPEG":
        return _of_jpeg(encoded)
    if name == "PNG":
        number = sum(1 for _ in zip(range(MAX_NUMBERS + 1), _png_chunks(encoded), strict=False))
        return f"more than {MAX_NUMBERS:,} chunks" if number > MAX_NUMBERS else None
    if name == "GIF":
        number = sum(1 for _ in zip(range(MAX_SEGMENTS + 1), _gif_blocks(encoded), strict=False))
        return f"more than {MAX_SEGMENTS:,} blocks before its first frame" if number > MAX_SEGMENTS else None
    return _of_tiff(encoded) if name == "TIFF" else None


def _of_jpeg(encoded: bytes) -> str | None:
    place, number, exif = 2, 0, 0
    while place + 4 <= len(encoded) and encoded[place] == 0xFF:
        number += 1
        if number > MAX_SEGMENTS:
            return f"more than {MAX_SEGMENTS:,} segments before its first scan"
        marker = encoded[place + 1]
        if marker == 0xDA:
            break
        if marker == 0xFF or marker == 1 or 0xD0 <= marker <= 0xD9:  # fill, and what has no length
            place += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack_from(">H", encoded, place + 2)[0]
        if marker == 0xE1 and encoded[place + 4 : place + 8] == b"Exif":
            exif += length
            if exif > MAX_JOINED_BYTES:
                return f"more than {MAX_JOINED_BYTES:,} bytes of EXIF"
        place += 2 + length
    return None


def _png_chunks(encoded: bytes) -> Iterator[int]:
    place = 8
    while place + 8 <= len(encoded):
        yield place
        place += 12 + struct.unpack_from(">I", encoded, place)[0]


def _gif_blocks(encoded: bytes) -> Iterator[int]:
    """Where the blocks before the first frame begin."""
    if len(encoded) < 13:
        return
    place = 13 + (3 << ((encoded[10] & 7) + 1) if encoded[10] & 0x80 else 0)
    while place + 3 < len(encoded) and encoded[place] != 0x2C:
        yield place
        if encoded[place] != 0x21:  # filler, which Pillow passes over a byte at a time
            place += 1
            continue
        place += 2
        while place < len(encoded) and encoded[place]:
            yield place
            place += 1 + encoded[place]
        place += 1


def _of_tiff(encoded: bytes) -> str | None:
    for tag, kind, count, value in _tiff_tags(encoded):
        if count > MAX_NUMBERS and (kind not in _TEXTS or tag in _STRIPS):
            return f"{count:,} numbers in its tag {tag}, expected at most {MAX_NUMBERS:,}"
        if tag in _TILE_SIDES and value > MAX_TILE_SIDE:
            return f"tiles of {value:,} pixels a side, expected at most {MAX_TILE_SIDE:,}"
    return None


def _tiff_tags(encoded: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and inline value of the first directory's entries."""
    order = "<" if encoded[:2] == b"II" else ">"
    big = 43 in encoded[2:4]
    head, number, entry, step = ("Q", "Q", "HHQ", 20) if big else ("I", "H", "HHI", 12)
    try:
        place = struct.unpack_from(order + head, encoded, 8 if big else 4)[0]
        entries = struct.unpack_from(order + number, encoded, place)[0]
        place += struct.calcsize(order + number)
        for _ in range(min(entries, 2**16)):
            tag, kind, count = struct.unpack_from(order + entry, encoded, place)
            inline = order + {3: "H", 4: "I", 16: "Q"}.get(kind, "B")
            yield tag, kind, count, struct.unpack_from(inline, encoded, place + struct.calcsize(order + entry))[0]
            place += step
    except struct.error:
        return
