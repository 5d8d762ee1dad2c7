"""An encoded picture opened: formats by an allow-list, what its header claims checked before a pixel is decoded.

Pillow knows some fifty formats; one of them (EPS) is read by starting Ghostscript. Here the first bytes choose one of
those below, and no other reader ever sees a file. What is claimed is held against constants: a few hundred bytes can
claim any number of pixels, and memory is taken by what is claimed.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Iterator

from PIL import Image

from levelfield.data.claims import excess_in
from levelfield.records.errors import DataError, first_line

MAX_PIXELS = 2**26
"""Of a picture, read or resized: 8192 x 8192, 270 MB as Pillow holds it. The dearest format, WebP, holds it five times
over at once, which stays below 2 GB."""

MAX_JPEG_PIXELS = 120_000_000
"""Of a JPEG: cameras and telephones of 108 million pixels write them. The dearest kind, progressive with four channels,
takes 12 bytes a pixel while it is decoded: 1.4 GB."""

MAX_SIDE = 2**20
"""Pixels of a side. Pillow keeps an address for each row."""

MAX_ENCODED_BYTES = 4 * MAX_PIXELS + 2**20
"""Of a file: that of the largest picture there may be, as RGBA, not compressed."""

MAX_SCANNED_PIXELS = 100 * MAX_PIXELS
"""Scans of a JPEG times its pixels: a scan costs a pass over the picture."""

SCAN_BYTES = 10
"""Of a scan, at the least: no file holds more than one for so many of its own."""

# Format by first bytes. PNM is not compressed and starts nothing; its text variants are read by slow Python.
_KNOWN: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM")),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("PPM", re.compile(rb"P[56]\s")),
)
_HEIC = re.compile(rb".{4}ftyp(?:hei|hev|hif|mif|msf)", re.DOTALL)
"""Telephones write them. They are read where the extra levelfield[heic] is installed (libheif)."""
_SCAN = b"\xff\xda"
_OPENERS = {"JPEG": ("JPEG", "MPO")}  # Pillow's JPEG hands pictures of several views to its MPO
_NAMED = "JPEG, MPO, PNG, WebP, GIF, BMP, TIFF or binary PPM"
_REFUSED: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("EPS", re.compile(rb"%!|\xc5\xd0\xd3\xc6")),
    ("PDF", re.compile(rb"%PDF")),
    ("AVIF", re.compile(rb".{4}ftypavi", re.DOTALL)),
    ("HEIC (which levelfield[heic] reads)", _HEIC),
    ("a video", re.compile(rb".{4}ftyp|RIFF.{4}AVI |\x1a\x45\xdf\xa3", re.DOTALL)),
    ("JPEG 2000", re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51")),
    ("JPEG XL", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("PSD", re.compile(rb"8BPS")),
    ("SVG or other XML", re.compile(rb"(?:\xef\xbb\xbf)?\s*<")),
    ("WMF", re.compile(rb"\xd7\xcd\xc6\x9a|[\x01\x02]\0\x09\0\0[\x01\x03]")),
    ("EMF", re.compile(rb"\x01\0\0\0.{36} EMF", re.DOTALL)),
    ("a Windows icon or cursor", re.compile(rb"\0\0[\x01\x02]\0")),
    ("a Mac icon", re.compile(rb"icns")),
    ("DDS", re.compile(rb"DDS ")),
    ("QOI", re.compile(rb"qoif")),
    ("SGI", re.compile(rb"\x01\xda")),
    ("PCX", re.compile(rb"\x0a[\0\x02-\x05]\x01")),
    ("XPM", re.compile(rb"/\* XPM")),
    ("FITS", re.compile(rb"SIMPLE")),
    ("HDF5", re.compile(rb"\x89HDF")),
    ("PNM as text, or of another kind", re.compile(rb"P[1-47fFy0]\s")),
    ("a zip file", re.compile(rb"PK\x03\x04")),
    ("gzip", re.compile(rb"\x1f\x8b")),
    ("a Git LFS pointer, not the file itself", re.compile(rb"version https://git-lfs")),
)

# What Pillow doubts of a header it tells on stderr. Whether a picture is read is said by whoever asked for it.
for _category in (UserWarning, Image.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")


class UnreadablePictureError(DataError):
    """The bytes are no picture that is read here; the text goes on a sentence that names it, as "X is …"."""


def format_of(encoded: bytes) -> str:
    """Pillow's name of the format that ``encoded`` begins with.

    Raises:
        UnreadablePictureError: it is none of those that are read; the text names the format where it is known.
    """
    for name, head in _KNOWN:
        if head.match(encoded):
            return name
    if _HEIC.match(encoded) and reads_heic():
        return "HEIF"
    seen = next((name for name, head in _REFUSED if head.match(encoded)), None)
    if seen is None:
        seen = f"no picture that is known here (it begins {encoded[:8]!r})" if encoded else "empty"
    raise UnreadablePictureError(f"{seen}, expected {_NAMED}")


@functools.cache
def reads_heic() -> bool:
    """Whether HEIC is read here; Pillow learns it when it is first asked for."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def open_picture(encoded: bytes) -> Image.Image:
    """The first picture in ``encoded``, its pixels decoded: of an animation the first frame, of a TIFF the first page.

    Equal bytes give equal pixels. No program is started, and memory and time are bounded by the constants above.

    Raises:
        UnreadablePictureError: it is of another format, damaged, or larger than is read.
    """
    return load_picture(open_header(encoded))


def load_picture(image: Image.Image) -> Image.Image:
    """``image`` with its pixels decoded.

    Raises:
        UnreadablePictureError: it is damaged.
    """
    with _told(image.format or "picture"):
        image.load()
    return image


def open_header(encoded: bytes) -> Image.Image:
    """The picture in ``encoded`` as its header claims it: size, mode, EXIF. Nothing is decoded.

    Raises:
        UnreadablePictureError: it is of another format, damaged, or larger than is read.
    """
    if len(encoded) > MAX_ENCODED_BYTES:
        raise UnreadablePictureError(f"{len(encoded):,} bytes long, expected at most {MAX_ENCODED_BYTES:,}")
    name = format_of(encoded)
    if (excess := excess_in(name, encoded)) is not None:
        raise UnreadablePictureError(f"a {name} with {excess}: save it again")
    with _told(name):
        image = Image.open(io.BytesIO(encoded), formats=_OPENERS.get(name, (name,)))
    width, height = image.size
    _check_size(name, width, height)
    if name == "JPEG" and _too_often_scanned(encoded, most=MAX_SCANNED_PIXELS // max(1, width * height)):
        raise UnreadablePictureError("a JPEG in too many scans for its size: save it again")
    return image


def _too_often_scanned(encoded: bytes, *, most: int) -> bool:
    """Whether a JPEG may have more than ``most`` scans: a search of the whole, where its length leaves that open."""
    return len(encoded) // SCAN_BYTES > most and encoded.count(_SCAN) > most


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """What Pillow raises of a picture of format ``name``, as the one error that is meant."""
    try:
        yield
    except MemoryError:  # no room is no fault of the picture, which must not be masked for it
        raise
    except Image.DecompressionBombError:
        raise UnreadablePictureError(f"a {name} larger than {_most_pixels(name):,} pixels: make it smaller") from None
    except Exception as error:  # of a damaged file Pillow raises whatever its parsers stumble over
        raise UnreadablePictureError(f"a damaged {name} ({_seen_in(error)})") from None


def _seen_in(error: Exception) -> str:
    text = "" if isinstance(error, Image.UnidentifiedImageError) else first_line(error)
    return text[:200] or "its header is no header"


def _check_size(name: str, width: int, height: int) -> None:
    most = _most_pixels(name)
    if width * height > most or max(width, height) > MAX_SIDE:
        raise UnreadablePictureError(
            f"a {name} of {width:,} x {height:,} pixels, expected at most {most:,} in all and {MAX_SIDE:,} a side: "
            "make it smaller"
        )


def _most_pixels(name: str) -> int:
    return MAX_JPEG_PIXELS if name == "JPEG" else MAX_PIXELS
