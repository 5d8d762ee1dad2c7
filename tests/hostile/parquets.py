"""Parquet files as data: whole ones of many writings, and what damage and forgery make of them.

The oracle is the rows as they were written: a whole file must give each label with its picture, byte for byte, under
the names that it names; a damaged one gives the same rows wherever it is read, or is refused.
"""

from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from levelfield.data.ingest.places import PlaceSaid, judged_at
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec

COUNT = 1_000


def attempt(seed: int, index: int, folder: Path) -> str:
    """See the package."""
    draw = random.Random(f"{seed}/{index}")
    if draw.random() < 0.1:
        return _of_no_parquet(draw, folder)
    images, labels = _rows(draw)
    names = [f"class {number}" for number in range(max(labels) + 1)] if draw.random() < 0.5 else None
    content = _written(draw, images, labels, names)
    damage = draw.choice((_none, _none, _bits, _footer, _pages, _cut, _swapped, _metadata))
    damaged = damage(draw, content)
    (folder / "x.parquet").write_bytes(damaged)
    store = judged_at(PlaceSaid(path=str(folder / "x.parquet")))
    found = sorted((int(label), store.read(row)) for row, label in enumerate(store.labels))
    if damage is _metadata:
        names = None
    if damaged == content and names and list(store.classes.names) != names:
        return f"wrong: classes {store.classes.names[:3]}"
    if found != sorted(zip(labels, images, strict=True)):
        # No checksum covers a page that is not compressed: another byte in a picture is another picture.
        return "wrong: other rows than were written" if damage in (_none, _metadata) else _consistent(found)
    return _opened(folder, found)


def _consistent(found: list[tuple[int, bytes]]) -> str:
    return "right" if all(0 <= label < 10**6 for label, _ in found) else "wrong: a label that is none"


def _opened(folder: Path, found: list[tuple[int, bytes]]) -> str:
    """The same file as the data of a study: every row once, in one of three splits."""
    if len(found) < 4 or len({label for label, _ in found}) < 2:
        return "right"
    spec = ImagesSpec(
        path=str(folder / "x.parquet"), resolution=8, select_examples=1, report_examples=1, augment="none"
    )
    source = open_source(spec)
    seen: list[bytes] = []
    for split, size in source.split_sizes.items():
        fields, _ = source.batch(split, np.arange(size))
        images, labels = fields["image"], fields["label"]
        seen += [bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True)]
    plain = [bytes([label]) + _pixels(content) for label, content in found]
    return "right" if sorted(seen) == sorted(plain) else "wrong: other pictures than the rows hold"


def _pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1).tobytes()


def _rows(draw: random.Random) -> tuple[list[bytes], list[int]]:
    number = draw.choice((1, 3, 10, 60))
    pictures = [_picture(draw) for _ in range(draw.choice((1, number)))]
    images = [draw.choice(pictures) for _ in range(number)] if len(pictures) < number else pictures
    return images, [draw.randrange(draw.choice((2, 3, 10))) for _ in range(number)]


def _picture(draw: random.Random) -> bytes:
    stream = io.BytesIO()
    Image.frombytes("RGB", (8, 8), draw.randbytes(192)).save(stream, "PNG")
    return stream.getvalue()


def _written(draw: random.Random, images: list[bytes], labels: list[int], names: list[str] | None) -> bytes:
    kind = draw.choice((pa.int64(), pa.int32(), pa.uint8(), pa.int16()))
    binary = draw.choice((pa.binary(), pa.large_binary()))
    column = pa.array(images, binary)
    if draw.random() < 0.4:
        paths = pa.array([None] * len(images), pa.string())
        column = pa.StructArray.from_arrays([column, paths], ["bytes", "path"])
    columns = {"image": column, "label": pa.array(labels, kind)}
    if draw.random() < 0.3:
        columns["note"] = pa.array(["x"] * len(images))
    table = pa.table(columns)
    if names is not None and draw.random() < 0.5:
        features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    elif names is not None:
        table = table.replace_schema_metadata({"class_names": json.dumps(names)})
    stream = io.BytesIO()
    pq.write_table(
        table,
        stream,
        compression=draw.choice(("none", "snappy", "zstd", "gzip")),
        use_dictionary=draw.random() < 0.5,
        row_group_size=draw.choice((1, 7, 1000)),
        data_page_size=draw.choice((100, 2**20)),
        data_page_version=draw.choice(("1.0", "2.0")),
        write_statistics=draw.random() < 0.5,
    )
    return stream.getvalue()


def _none(draw: random.Random, content: bytes) -> bytes:
    return content


def _bits(draw: random.Random, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 3, 20))):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def _footer_length(content: bytes) -> int:
    return struct.unpack_from("<I", content, len(content) - 8)[0]


def _footer(draw: random.Random, content: bytes) -> bytes:
    """The footer with some numbers exchanged for others, or with another length."""
    damaged, length = bytearray(content), _footer_length(content)
    first = len(content) - 8 - length
    for _ in range(draw.choice((1, 2, 5))):
        place = first + draw.randrange(length)
        varint = draw.choice(
            (b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x10", b"\0", b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")
        )
        if draw.random() < 0.5:
            damaged[place : place + len(varint)] = varint
        else:
            damaged[place] = draw.randrange(256)
    if draw.random() < 0.2:
        damaged[-8:-4] = struct.pack("<I", draw.choice((0, 2**31, length + 9, length - 9)) % 2**32)
    return bytes(damaged)


def _pages(draw: random.Random, content: bytes) -> bytes:
    """The heads of pages, which lie at the beginning of each chunk."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 3))):
        place = 4 + draw.randrange(min(40, len(content) - 12))
        damaged[place : place + 1] = draw.choice((b"\xff\xff\xff\xff\x0f", bytes([draw.randrange(256)])))
    return bytes(damaged)


def _cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content))] + (
        content[-_footer_length(content) - 8 :] if draw.random() < 0.5 else b""
    )


def _swapped(draw: random.Random, content: bytes) -> bytes:
    """The footer of one file below the pages of another."""
    other = _written(draw, *_rows(draw), None)
    return content[: len(content) - 8 - _footer_length(content)] + other[len(other) - 8 - _footer_length(other) :]


def _metadata(draw: random.Random, content: bytes) -> bytes:
    """Names that are none: nested, too few, too many, of another kind."""
    table = pq.read_table(pa.BufferReader(content))
    value = draw.choice(
        ("[" * 10**4, "{", "null", "3", "[1, 2]", '["a"]', json.dumps(["a"] * 10**5), '{"info": {"features": []}}')
    )
    key = draw.choice(("class_names", "huggingface"))
    stream = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({key: value}), stream)
    return stream.getvalue()


def _of_no_parquet(draw: random.Random, folder: Path) -> str:
    """Files that end in .parquet and are none; all must be refused."""
    text = "image,label\n" + "".join(f"{draw.randrange(9)}.png,{draw.randrange(3)}\n" for _ in range(20))
    content = draw.choice(
        (b"", b"PAR1", b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1", text.encode(), draw.randbytes(3000))
    )
    (folder / "x.parquet").write_bytes(content)
    judged_at(PlaceSaid(path=str(folder / "x.parquet")))
    return "wrong: read as Parquet"
