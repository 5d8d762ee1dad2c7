"""Small images, made on the fly, written as a folder of class folders and as Parquet."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("apple", "bee", "cat")


def picture(seed: int, size: tuple[int, int] = (24, 20), mode: str = "RGB") -> Image.Image:
    """A smooth random picture of ``size`` (width, height)."""
    small = np.random.default_rng(seed).integers(
        0, 256, (5, 6, len(Image.new(mode, (1, 1)).getbands())), dtype=np.uint8
    )
    return Image.frombytes(mode, (6, 5), small.tobytes()).resize(size)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def write_folder(root: Path, pictures: list[tuple[int, bytes]]) -> Path:
    for number, (label, content) in enumerate(pictures):
        suffix = "jpg" if content[:2] == b"\xff\xd8" else "png"
        file = root / CLASSES[label] / f"{number:03d}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


def write_parquet(file: Path, pictures: list[tuple[int, bytes]], row_group_size: int = 7) -> Path:
    labels = pa.array([label for label, _ in pictures], pa.int32())
    table = pa.table({"image": pa.array([content for _, content in pictures], pa.binary()), "label": labels})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=row_group_size)
    return file
