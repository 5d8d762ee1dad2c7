"""Pictures are fed upright, opaque and in 8 bits, by one rule whatever asks for them."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from small_pictures import encoded, picture, write_folder, write_parquet

from levelfield.data.canonical import digest_of
from levelfield.data.decode import decode, shown
from levelfield.data.encoded import UnreadablePictureError
from levelfield.data.pictures import as_shown, orientation_in
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec
from levelfield.weights.preprocessing import Preprocessing

GREY = Preprocessing.of_training(resolution=16, in_channels=1)


def tagged(image: Image.Image, orientation: int, form: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    image.save(stream, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    return stream.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says_in_training_and_in_answers(form, orientation):
    content = tagged(picture(1, (24, 16)), orientation, form)
    upright = ImageOps.exif_transpose(opened(content))
    expected = np.asarray(upright.convert("RGB"))
    assert np.array_equal(decode(content), expected)
    assert np.array_equal(shown(opened(content)), expected)
    assert np.array_equal(decode(content, channels=1)[..., 0], np.asarray(upright.convert("RGB").convert("L")))
    assert as_shown(as_shown(opened(content))).size == upright.size, "once turned it stays"
    assert orientation_in(content) == (1 if form == "TIFF" else orientation), "Pillow turns TIFF itself"


def test_only_a_picture_that_is_turned_has_another_identity(tmp_path):
    plain, marked, upright = (tagged(picture(2), tag, "JPEG") for tag in (1, 6, 1))
    assert digest_of(plain) == digest_of(upright) != digest_of(marked)
    import hashlib

    assert digest_of(plain) == hashlib.blake2b(plain, digest_size=16).digest()
    assert digest_of(memoryview(marked)) == digest_of(marked) != hashlib.blake2b(marked, digest_size=16).digest()
    rows = [(seed % 3, tagged(picture(seed), 6 if seed == 4 else 1, "JPEG")) for seed in range(12)]
    said: dict[str, Any] = {"resolution": 16, "select_examples": 2, "report_examples": 2}
    folder = open_source(ImagesSpec(path=str(write_folder(tmp_path / "f", rows)), **said))
    assert (
        folder.fingerprint == open_source(ImagesSpec(path=str(write_parquet(tmp_path / "p", rows)), **said)).fingerprint
    )


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")  # of Pillow, which looks for the resolution in it
@pytest.mark.parametrize("damage", ["cut", "far", "kind", "number", "nine"])
def test_a_damaged_exif_turns_nothing(damage):
    block = {
        "cut": b"II*\0\x08",
        "far": b"II*\0" + struct.pack("<I", 2**32 - 1),
        "kind": b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x0112, 4, 1, 6, 0),
        "number": b"II*\0" + struct.pack("<IH", 8, 65535) + b"\0" * 40,
        "nine": b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, 9, 0),
    }[damage]
    image, stream = picture(3, (16, 16)), io.BytesIO()
    image.save(stream, "JPEG", exif=b"Exif\0\0" + block)
    assert orientation_in(stream.getvalue()) == 1
    assert np.array_equal(decode(stream.getvalue()), decode(encoded(image, "JPEG")))


def test_pictures_without_the_tag_are_left_alone_to_the_last_bit():
    for mode, form in (("RGB", "PNG"), ("RGB", "JPEG"), ("L", "PNG"), ("CMYK", "JPEG")):
        content = encoded(picture(4, (16, 16), mode), form)
        assert np.array_equal(decode(content), np.asarray(opened(content).convert("RGB")))


def test_a_one_channel_network_sees_what_a_colour_network_sees():
    grey = picture(5, (16, 16), "L")
    assert np.array_equal(GREY.pixels(shown(grey, channels=1))[0], np.asarray(grey)), "grey is itself"
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert (shown(clear, channels=1) == 255).all(), "transparency is white, not what lies below it"
    assert (shown(Image.new("LA", (16, 16), (0, 0)), channels=1) == 255).all()
    assert (shown(clear) == 255).all()


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_more_than_8_bits_are_refused_whatever_the_channels(mode, channels):
    with pytest.raises(UnreadablePictureError, match="convert them to 8 bits a channel"):
        shown(Image.new(mode, (16, 16)), channels=channels)
