"""One decoder whatever is installed, and one resize: the same bits with simplejpeg and without it."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image
from small_pictures import picture

from levelfield.data import decode as room
from levelfield.data.decode import decode
from levelfield.data.encoded import UnreadablePictureError
from levelfield.data.pixels_here import EXPECTED_PIXELS, pixels_here
from levelfield.data.resize import Box, centre_square, nearest_to, resized, resized_to


def jpeg(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, options.pop("form", "JPEG"), **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def bits_flipped(content: bytes, seed: int) -> bytes:
    rng, damaged = np.random.default_rng(seed), bytearray(content)
    for place in rng.integers(len(damaged) // 2, len(damaged), 3):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


WHOLE = jpeg(picture(1, (67, 45)), quality=90)
JPEGS = {
    **{f"turned {tag}": jpeg(picture(tag, (37, 22)), exif=exif(tag)) for tag in range(1, 9)},
    **{f"chroma {kind}": jpeg(picture(3, (33, 41)), subsampling=kind) for kind in ("4:4:4", "4:2:2", "4:2:0")},
    **{f"quality {quality}": jpeg(picture(4, (50, 50)), quality=quality) for quality in (1, 30, 75, 100)},
    "progressive": jpeg(picture(5, (63, 64)), progressive=True),
    "restarted": jpeg(picture(6, (90, 64)), restart_marker_rows=1),
    "one pixel": jpeg(picture(7, (1, 1))),
    "a line": jpeg(picture(8, (300, 1))),
    "grey": jpeg(picture(9, (40, 30), "L")),
    "grey, turned": jpeg(picture(9, (40, 30), "L"), exif=exif(6)),
    "ink": jpeg(picture(10, (24, 24), "CMYK")),
    "kept as RGB": jpeg(picture(11, (24, 24)), keep_rgb=True),
    "two views": jpeg(picture(12, (40, 24)), form="MPO", save_all=True, append_images=[picture(13, (40, 24))]),
    "followed by rubbish": WHOLE + b"rubbish" * 9,
    **{f"cut at {place}": WHOLE[:place] for place in (20, 300, len(WHOLE) - 40, len(WHOLE) - 2)},
    **{f"flipped {seed}": bits_flipped(WHOLE, seed) for seed in range(20)},
}


def told(content: bytes, channels: int) -> bytes | str:
    try:
        pixels = decode(content, channels=channels)
    except UnreadablePictureError as error:
        return str(error)
    assert pixels.shape[2] == channels
    return repr(pixels.shape).encode() + pixels.tobytes()


@pytest.mark.skipif(room.simplejpeg is None, reason="needs simplejpeg")
@pytest.mark.parametrize("channels", [1, 3])
def test_jpegs_are_the_same_bits_or_the_same_refusal_with_simplejpeg_and_without(channels, monkeypatch):
    with_it = {name: told(content, channels) for name, content in JPEGS.items()}
    assert sum(isinstance(each, bytes) for each in with_it.values()) >= 25
    assert any(isinstance(each, str) for each in with_it.values())
    monkeypatch.setattr(room, "simplejpeg", None)
    assert with_it == {name: told(content, channels) for name, content in JPEGS.items()}


@pytest.mark.skipif(room.simplejpeg is None, reason="needs simplejpeg")
def test_ordinary_jpegs_are_decoded_by_simplejpeg_and_no_others(monkeypatch):
    asked = []
    real = room.simplejpeg.decode_jpeg
    monkeypatch.setattr(room.simplejpeg, "decode_jpeg", lambda content: asked.append(content) or real(content))
    for content in JPEGS.values():
        told(content, 3)
    assert set(asked) >= {JPEGS[name] for name in ("turned 6", "progressive", "grey", "two views")}
    assert not set(asked) & {JPEGS[name] for name in ("ink", "kept as RGB")}


def test_the_pixels_made_here_are_those_that_are_made_everywhere(monkeypatch):
    assert pixels_here() == EXPECTED_PIXELS
    monkeypatch.setattr(room, "simplejpeg", None)
    assert pixels_here.__wrapped__() == EXPECTED_PIXELS


def test_a_box_is_resized_as_if_there_were_nothing_beside_it():
    pixels = np.asarray(picture(20, (90, 70)))
    box = Box(11, 7, 53, 40)
    cut = pixels[7:47, 11:64]
    for side in (16, 40, 64):
        whole = resized(pixels, box, side)
        assert np.array_equal(whole, resized(cut.copy(), Box(0, 0, 53, 40), side))
        pillow = np.asarray(Image.fromarray(cut).resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        assert np.abs(whole.astype(int) - pillow).max() <= 4, "Pillow's of the same box, but for rounding"
    assert np.array_equal(resized_to(pixels, box, (53, 40)), cut.transpose(2, 0, 1)), "the size it has"
    assert centre_square(90, 70) == Box(10, 0, 70, 70)


GOLDEN = ["ad4463dcb496feba", "c710496940646ffb", "a61bc1769ac03054"]


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 7), (9, 5), (64, 64)])
def test_every_shape_is_resized_to_every_other(shape):
    for channels in (1, 3):
        pixels = np.random.default_rng(1).integers(0, 256, (*shape, channels), dtype=np.uint8)
        for size in ((1, 1), (1, 6), (6, 1), (6, 6), (shape[1], 3), (3, shape[0])):
            found = resized_to(pixels, Box(0, 0, shape[1], shape[0]), size)
            apart = [
                resized_to(pixels[..., [channel]], Box(0, 0, shape[1], shape[0]), size) for channel in range(channels)
            ]
            assert np.array_equal(found, np.concatenate(apart)), "channels know nothing of one another"


def test_resized_pixels_have_the_hashes_that_they_had():
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    box = Box(5, 3, 70, 55)
    found = resized(pixels, box, 32), resized(pixels, box, 96), resized(pixels, box, 32, filter="bilinear")
    assert [hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in found] == GOLDEN


def test_classes_take_the_pixel_under_their_centre():
    classes = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for size in ((4, 3), (16, 12), (5, 5), (8, 6)):
        expected = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST))
        assert np.array_equal(nearest_to(classes, Box(0, 0, 8, 6), size), expected)
    assert np.array_equal(nearest_to(classes, Box(2, 1, 4, 4), (4, 4)), classes[1:5, 2:6])
