"""Pictures: whole ones of every format, mode and shape, and what damage and forgery make of them.

The oracle decodes the plain way, with Pillow alone. A whole picture must come out so to the last bit; anything else
must be right by the same measure, or refused; and twice the same.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from levelfield.data.decode import decode
from levelfield.data.encoded import MAX_JPEG_PIXELS, MAX_SIDE, UnreadablePictureError
from levelfield.data.pictures import as_shown
from levelfield.data.resize import covering
from levelfield.weights.preprocessing import Preprocessing

COUNT = 10_000

_PLAIN_PIXELS = 2**23
"""What is larger is not decoded a second way."""

_FORMATS = {
    "JPEG": ("L", "RGB", "CMYK"),
    "MPO": ("RGB",),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("L", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
    "PPM": ("L", "RGB"),
}
_FED = (
    Preprocessing(resolution=32, mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=0.9),
    Preprocessing(resolution=24, mean=(0.5,), std=(0.5,), interpolation="lanczos", crop_mode="squash"),
)
_NO_PICTURES = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EOF\n",
    b"%PDF-1.4\n",
    b"8BPS\0\1" + bytes(20),
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"\xd7\xcd\xc6\x9a" + bytes(40),
    b"P3\n1 1\n255\n0 0 0\n",
    b"",
)


def attempt(seed: int, index: int, folder: Path) -> str:
    """See the package."""
    draw = random.Random(f"{seed}/{index}")
    content, whole = _drawn(draw)
    said = [_told(content) for _ in range(2)]
    if isinstance(said[0], str) or isinstance(said[1], str):
        if not (isinstance(said[0], str) and said[0] == said[1]):
            return "wrong: two calls differ"
        return f"wrong: a whole picture is refused: {said[0]}" if whole else "refused"
    if not np.array_equal(said[0], said[1]):
        return "wrong: two calls differ"
    return _judged(content, said[0], draw, whole)


def _told(content: bytes) -> np.ndarray | str:
    try:
        return decode(content)
    except UnreadablePictureError as error:
        if not str(error) or "\n" in str(error):
            raise AssertionError(f"no sentence: {error!r}") from error
        return str(error)


def _judged(content: bytes, pixels: np.ndarray, draw: random.Random, whole: bool) -> str:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        return f"wrong: shape {pixels.shape}"
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE or height * width > MAX_JPEG_PIXELS:
        return "wrong: larger than is read"
    if height * width <= _PLAIN_PIXELS:
        with Image.open(io.BytesIO(content)) as image:
            shown = _upright(image) if whole else as_shown(image)
        if not np.array_equal(pixels, np.asarray(shown)):
            return "wrong: other pixels than the plain way gives"
    resolution = draw.choice((1, 8, 16, 32, 64, 224))
    if (shape := covering(pixels, resolution).shape) != (3, resolution, resolution):
        return f"wrong: resized to {shape}"
    fed = draw.choice(_FED)
    shape = fed.pixels(decode(content, channels=len(fed.mean))).shape
    return "right" if shape == (len(fed.mean), fed.resolution, fed.resolution) else f"wrong: fed as {shape}"


def _upright(image: Image.Image) -> Image.Image:
    """As :func:`as_shown`, by Pillow's own means."""
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def _drawn(draw: random.Random) -> tuple[bytes, bool]:
    """Some bytes, and whether they are a whole picture that must be read."""
    form = draw.choice(tuple(_FORMATS))
    content, readable = _encoded(draw, form)
    damage = draw.choice((_none, _bits, _cut, _sized, _spliced, _tagged, _chunked, _foreign, _noise, _padded))
    damaged = damage(draw, form, content)
    return damaged, readable and damage is _none


def _encoded(draw: random.Random, form: str) -> tuple[bytes, bool]:
    mode = draw.choice(_FORMATS[form])
    shape = draw.random()
    size = (draw.randint(1, 90), draw.randint(1, 90))
    if shape < 0.15:
        size = draw.choice(((1, draw.randint(1, 3000)), (draw.randint(1, 3000), 1)))
    elif shape < 0.18:
        size = (draw.randint(500, 1500), draw.randint(500, 1500))
    small = np.random.default_rng(draw.getrandbits(32)).integers(0, 256, (4, 5, 4), dtype=np.uint8)
    image = Image.fromarray(small, "RGBA").resize(size)
    image = image.convert("RGB").convert(mode) if mode in ("LAB", "CMYK", "YCbCr") else _in_mode(image, mode)
    stream = io.BytesIO()
    image.save(stream, form, **_options(draw, form, image))
    return stream.getvalue(), mode not in ("I;16", "I", "F", "LAB")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode in ("I;16", "I", "F"):
        grey = image.convert("L").convert("I")
        return grey if mode == "I" else grey.convert(mode)
    return image.convert(mode)


def _options(draw: random.Random, form: str, image: Image.Image) -> dict[str, object]:
    if form == "JPEG":
        return {"progressive": draw.random() < 0.5, "quality": draw.randint(1, 95), "exif": _exif(draw)}
    if form in ("GIF", "TIFF", "WEBP", "PNG", "MPO") and (form == "MPO" or draw.random() < 0.2) and image.mode != "LAB":
        return {"save_all": True, "append_images": [image.transpose(Image.Transpose.ROTATE_180)] * draw.randint(1, 3)}
    if form == "WEBP":
        return {"lossless": draw.random() < 0.5}
    if form == "TIFF":
        return {"compression": draw.choice(("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"))}
    return {}


def _exif(draw: random.Random) -> Image.Exif:
    exif = Image.Exif()
    if draw.random() < 0.4:
        exif[0x0112] = draw.randint(0, 9)
    return exif


def _none(draw: random.Random, form: str, content: bytes) -> bytes:
    return content


def _bits(draw: random.Random, form: str, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 3, 30))):
        near = min(len(damaged), 64) if draw.random() < 0.5 else len(damaged)
        damaged[draw.randrange(near)] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def _cut(draw: random.Random, form: str, content: bytes) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _sized(draw: random.Random, form: str, content: bytes) -> bytes:
    """A header that claims another size, its checksum right."""
    width, height = (draw.choice((0, 1, 7, 200, 5000, 65_535, 200_000, 2**31 - 1)) for _ in range(2))
    damaged = bytearray(content)
    if form == "PNG":
        damaged[16:24] = struct.pack(">II", width, height)
        damaged[29:33] = struct.pack(">I", zlib.crc32(damaged[12:29]))
    elif form == "GIF":
        damaged[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    elif form == "BMP":
        damaged[18:26] = struct.pack("<ii", width, -height if draw.random() < 0.5 else height)
    elif form in ("JPEG", "MPO"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if (place := damaged.find(marker)) >= 0:
                damaged[place + 5 : place + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    elif form == "WEBP" and damaged[12:16] == b"VP8X":
        damaged[24:30] = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    elif form == "PPM":
        _, rest = content.split(b"\n", 1)
        return content[:2] + f"\n{width} {height}\n".encode() + rest.split(b"\n", 1)[-1]
    elif form == "TIFF":
        return _retagged(content, {256: width, 257: height})
    return bytes(damaged)


def _tagged(draw: random.Random, form: str, content: bytes) -> bytes:
    """A TIFF whose tags claim absurd numbers; other pictures carry it as EXIF."""
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "TIFF")
    tiff = content if form == "TIFF" else stream.getvalue()
    tags = draw.sample((258, 259, 262, 273, 274, 277, 278, 279, 317, 322, 323, 324, 325, 338, 339), 2)
    forged = _retagged(tiff, {tag: draw.choice((0, 1, 2, 255, 65_535, 2**20, 2**32 - 1)) for tag in tags})
    if form in ("JPEG", "MPO"):
        block = b"Exif\0\0" + forged[:60_000]
        return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]
    if form == "PNG":
        return content[:33] + _chunk(b"eXIf", forged) + content[33:]
    return forged


def _retagged(tiff: bytes, values: dict[int, int]) -> bytes:
    """``tiff`` with its first directory's tags set to, or as many as, ``values``."""
    order = "<" if tiff[:2] == b"II" else ">"
    damaged = bytearray(tiff)
    try:
        first = struct.unpack_from(f"{order}I", tiff, 4)[0]
        for place in range(first + 2, first + 2 + 12 * struct.unpack_from(f"{order}H", tiff, first)[0], 12):
            tag = struct.unpack_from(f"{order}H", tiff, place)[0]
            if tag in values and values[tag] % 2:
                struct.pack_into(f"{order}HII", damaged, place + 2, 4, 1, values[tag])
            elif tag in values:
                struct.pack_into(f"{order}I", damaged, place + 4, values[tag])
    except struct.error:
        pass
    return bytes(damaged)


def _chunked(draw: random.Random, form: str, content: bytes) -> bytes:
    """Bombs in what stands before the pixels, or much of it."""
    bomb = zlib.compress(bytes(20_000_000), 9)
    if form == "PNG":
        text = draw.choice((b"zTXt" + b"a\0\0" + bomb, b"iCCP" + b"a\0\0" + bomb, b"iTXt" + b"a\0\1\0\0\0" + bomb))
        times = draw.choice((1, 10, 100))
        return content[:33] + _chunk(text[:4], text[4:]) * times + content[33:]
    if form in ("JPEG", "MPO"):
        place = content.find(b"\xff\xda")
        segment = draw.choice((b"\xff\xfe\0\2", b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527), b"\xff"))
        where = draw.choice((2, max(place, 2)))
        return content[:where] + segment * draw.choice((10, 300, 5000)) + content[where:]
    if form == "GIF":
        return content[:13] + b"\x21\xfe" + (b"\xff" + bytes(255)) * draw.choice((10, 5000)) + b"\0" + content[13:]
    return content + bytes(draw.choice((1, 10**6)))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _spliced(draw: random.Random, form: str, content: bytes) -> bytes:
    """The head of one picture before the rest of another of any format."""
    other, _ = _encoded(draw, draw.choice(tuple(_FORMATS)))
    place = draw.choice((2, 8, 12, 33, draw.randrange(len(content))))
    return content[:place] + other[draw.randrange(len(other)) :]


def _foreign(draw: random.Random, form: str, content: bytes) -> bytes:
    """What is refused by name, alone or with a picture behind it."""
    return draw.choice(_NO_PICTURES) + (content if draw.random() < 0.5 else b"")


def _noise(draw: random.Random, form: str, content: bytes) -> bytes:
    return content[: draw.choice((0, 4, 16, 40))] + draw.randbytes(draw.choice((0, 10, 3000)))


def _padded(draw: random.Random, form: str, content: bytes) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes(draw.choice((1, 100, 100_000))) + content[place:]
