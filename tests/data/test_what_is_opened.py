"""Pictures of an allow-list of formats, from regular files, at a price that their headers cannot set."""

import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_pictures import encoded, picture, write_folder

from levelfield.data.decode import decode
from levelfield.data.encoded import UnreadablePictureError, open_picture, reads_heic
from levelfield.data.resize import covering
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n"


def from_folder(path: Path, **more):
    return open_source(ImagesSpec(path=str(path), resolution=16, select_examples=5, report_examples=6, **more))


def png(width: int, height: int, *, rows: int | None = None, before: bytes = b"") -> bytes:
    """A grey PNG that claims ``width`` x ``height``, with ``before`` its pixels; its checksums are right."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    packer = zlib.compressobj(9)
    row = bytes(width + 1) if rows is None or rows else b""
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


REFUSED = {
    "EPS": EPS,
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1",
    "PDF": b"%PDF-1.7\n",
    "PSD": b"8BPS\0\1" + bytes(30),
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "a Windows icon": b"\0\0\1\0\1\0" + bytes(40),
    "PNM as text": b"P2\n2 2\n255\n0 0 0 0\n",
    "empty": b"",
    "no picture that is known here": b"this is no picture",
}


@pytest.fixture
def without_heic(monkeypatch):
    """As where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    reads_heic.cache_clear()
    yield
    reads_heic.cache_clear()


def test_heic_is_read_where_its_extra_is_installed(tmp_path, pictures):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(picture(7, (40, 24))).save(tmp_path / "one.heic", quality=90)
    content = (tmp_path / "one.heic").read_bytes()
    assert open_picture(content).size == (40, 24)
    seen, plain = (covering(decode(each), 16).astype(int) for each in (content, encoded(picture(7, (40, 24)))))
    assert np.abs(seen - plain).mean() < 8
    with pytest.raises(UnreadablePictureError, match="a damaged HEIF"):
        open_picture(content[: len(content) // 2])


@pytest.mark.parametrize("name", REFUSED)
def test_a_format_that_is_not_read_is_refused_by_name(name, without_heic):
    with pytest.raises(UnreadablePictureError, match=f"^{name}.*, expected JPEG, MPO, PNG, WebP, GIF, BMP, TIFF"):
        open_picture(REFUSED[name])


@pytest.mark.parametrize("format", ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_every_format_of_the_list_is_read_whatever_the_file_is_called(tmp_path, pictures, format):
    whole = picture(7, (40, 24))
    several = {"MPO": {"save_all": True, "append_images": [picture(8, (40, 24))]}}
    whole.save(tmp_path / "one", format, **several.get(format, {}))
    content = (tmp_path / "one").read_bytes()
    with Image.open(tmp_path / "one") as plain:
        assert np.array_equal(np.asarray(open_picture(content)), np.asarray(plain))
    write_folder(tmp_path / "folder", [*pictures, (1, content)])  # under the names of others
    source = from_folder(tmp_path / "folder")
    assert all(source.batch(split, np.arange(size)).valid.all() for split, size in source.split_sizes.items())


@pytest.mark.parametrize("corrupt", ["stop", "mask"])
def test_a_picture_that_would_start_ghostscript_starts_nothing(tmp_path, pictures, monkeypatch, corrupt):
    write_folder(tmp_path / "x", pictures)
    (tmp_path / "x" / "bee" / "evil.jpg").write_bytes(EPS)
    (tmp_path / "bin").mkdir()
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    source = from_folder(tmp_path / "x", corrupt=corrupt)
    if corrupt == "mask":
        parts = [source.batch(split, np.arange(size)) for split, size in source.split_sizes.items()]
        assert sum(int((~part.valid).sum()) for part in parts) == 1
    else:
        with pytest.raises(DataError, match=r"evil.jpg is EPS, expected JPEG.*corrupt = 'mask'"):
            [source.batch(split, np.arange(size)) for split, size in source.split_sizes.items()]
    assert not (tmp_path / "started").exists()


NOT_FILES = {
    "a named pipe": os.mkfifo,
    "a character device": lambda path: Path(path).symlink_to("/dev/zero"),
    "a link to 'gone', where there is no file": lambda path: Path(path).symlink_to("gone"),
    "a folder that is named like an image": os.mkdir,
}


@pytest.mark.parametrize("kind", NOT_FILES)
@pytest.mark.parametrize("corrupt", ["stop", "mask"])
def test_a_class_folder_with_what_is_no_file_is_refused_at_once(tmp_path, pictures, kind, corrupt):
    write_folder(tmp_path / "x", pictures)
    NOT_FILES[kind](tmp_path / "x" / "bee" / "odd.jpg")
    with pytest.raises(DataError, match=f"odd.jpg is {kind}"):
        from_folder(tmp_path / "x", corrupt=corrupt)


def test_links_that_lead_to_a_folder_twice_or_for_ever_are_refused(tmp_path, pictures):
    root = write_folder(tmp_path / "x", pictures)
    (root / "bee" / "one").symlink_to(root / "bee")
    (root / "bee" / "two").symlink_to(root)
    with pytest.raises(DataError, match=r"is the same folder as .*bee, by a link"):
        from_folder(root)
    (root / "bee" / "one").unlink()
    (root / "bee" / "two").unlink()
    (root / "bee" / "elsewhere").symlink_to(write_folder(tmp_path / "y", pictures) / "cat")
    assert sum(from_folder(root).split_sizes.values()) == 40, "a link to another folder is followed"


# what is claimed: (encoded, what is said)
COSTLY = {
    "467 bytes of 1 x 200,000": (lambda: png(1, 200_000), r"\(200000, 1, 3\)"),
    "1 x 8,000": (lambda: png(1, 8000), r"\(8000, 1, 3\)"),
    "8,000 x 1": (lambda: png(8000, 1), r"\(1, 8000, 3\)"),
    "a side of two million": (lambda: png(2**21, 1), r"2,097,152 x 1 pixels, expected at most"),
    "a billion pixels": (lambda: png(2**15, 2**15, rows=1), "larger than 67,108,864 pixels"),
    "more than fit by one": (lambda: png(8193, 8192, rows=1), "8,193 x 8,192 pixels, expected at most 67,108,864"),
    "a JPEG of 144 million": (lambda: forged_jpeg(12000), "12,000 x 12,000 pixels, expected at most 120,000,000"),
    "a GIF of 65,535 x 65,535": (lambda: forged_gif(65535), "larger than 67,108,864 pixels"),
    "a comment of a GIF in a million blocks": (
        lambda: b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\xff" * 256 * 10**5,
        "a GIF with more than 4,096 blocks",
    ),
    "a JPEG of a million segments": (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 10**6, "more than 4,096 segments"),
    "30 MB of EXIF": (lambda: b"\xff\xd8" + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) * 500, "bytes of EXIF"),
    "a JPEG of ten thousand scans": (lambda: scans(10**4), "a JPEG in too many scans"),
    "a PNG of a million chunks": (lambda: png(1, 1, before=chunk(b"tEXt", b"a\0") * 10**6), "262,144 chunks"),
    "a TIFF of a million strips": (lambda: forged_tiff(279, 4, 10**6), "1,000,000 numbers in its tag 279"),
    "a TIFF of one giant tile": (lambda: forged_tiff(322, 4, 1, 2**20), "tiles of 1,048,576 pixels"),
}


def forged_jpeg(side: int) -> bytes:
    content = bytearray(encoded(picture(1), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(content)


def forged_gif(side: int) -> bytes:
    content = bytearray(encoded(picture(1), "GIF"))
    content[6:10] = struct.pack("<HH", side, side)
    return bytes(content)


def scans(number: int) -> bytes:
    whole = encoded(picture(1, (2000, 2000)), "JPEG")
    place = whole.index(b"\xff\xda")
    return whole[:place] + whole[place : place + 14] * number + whole[place:]


def forged_tiff(tag: int, kind: int, count: int, value: int = 0) -> bytes:
    content = encoded(picture(1), "TIFF")
    first = struct.unpack_from("<I", content, 4)[0]
    number = struct.unpack_from("<H", content, first)[0]
    entries = content[first + 2 : first + 2 + 12 * number]
    kept = [
        entries[at : at + 12] for at in range(0, len(entries), 12) if struct.unpack_from("<H", entries, at)[0] != tag
    ]
    kept.append(struct.pack("<HHII", tag, kind, count, value))
    directory = struct.pack("<H", len(kept)) + b"".join(kept) + bytes(4)
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + directory


@pytest.mark.parametrize("case", COSTLY)
def test_what_a_header_claims_is_not_paid_for(tmp_path, case):
    """Each in a process of its own: its peak of memory, over one that decodes an ordinary picture, and its time."""
    make, said = COSTLY[case]
    content = make()
    if case.startswith("467"):
        assert len(content) < 500
    (tmp_path / "x").write_bytes(content)
    (tmp_path / "plain").write_bytes(encoded(picture(3, (50, 40))))
    script = f"""
import time
from pathlib import Path
import numpy
from levelfield.data.encoded import UnreadablePictureError
from levelfield.data.decode import decode
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
decode(Path({str(tmp_path / "plain")!r}).read_bytes())
content, before, begun = Path({str(tmp_path / "x")!r}).read_bytes(), peak(), time.monotonic()
try:
    print(decode(content).shape)
except UnreadablePictureError as error:
    print(error)
print(peak() - before, time.monotonic() - begun)
"""
    done = subprocess.run([sys.executable, "-W", "error::SyntaxWarning", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    outcome, cost = done.stdout.splitlines()
    assert re.search(said, outcome), outcome
    grown, seconds = map(float, cost.split())
    assert grown < 200e6
    assert seconds < 5


def test_the_largest_photographs_are_jpegs_and_are_read():
    assert open_picture(encoded(Image.new("L", (8400, 8100)), "JPEG")).size == (8400, 8100)


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (3, 700), (640, 480), (35, 2000)])
@pytest.mark.parametrize("resolution", [16, 224])
def test_a_thin_picture_is_cut_before_it_is_resized(size, resolution):
    content = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    middle = [(side - min(size)) // 2 for side in content.shape[:2]]
    square = content[middle[0] : middle[0] + min(size), middle[1] : middle[1] + min(size)]
    assert np.array_equal(covering(content, resolution), covering(square.copy(), resolution))


def test_a_damaged_picture_of_a_known_format_says_so():
    whole = encoded(picture(1, (64, 64)), "JPEG")
    with pytest.raises(UnreadablePictureError, match=r"a damaged JPEG \(image file is truncated"):
        open_picture(whole[:-400])
    with pytest.raises(UnreadablePictureError, match="a damaged PNG"):
        open_picture(b"\x89PNG\r\n\x1a\n")


def test_a_lack_of_memory_is_no_damage_and_masks_no_picture(monkeypatch):
    def full(self):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", full)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", full)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", full, raising=False)
    with pytest.raises(MemoryError):
        open_picture(encoded(picture(0), "PNG"))


def test_the_first_bytes_choose_one_reader(monkeypatch):
    asked = []
    real = Image.open

    def noted(file, formats):
        asked.append(formats)
        return real(file, formats=formats)

    monkeypatch.setattr(Image, "open", noted)
    for format in ("JPEG", "PNG", "TIFF"):
        open_picture(encoded(picture(1), format))
    assert asked == [("JPEG", "MPO"), ("PNG",), ("TIFF",)]
