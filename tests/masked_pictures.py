"""Small pictures with masks: bars of colour, whose class is the colour, on a ground that belongs to no class."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES = ("dark", "red", "green")
COLOURS = np.array([[20, 20, 20], [220, 40, 40], [40, 220, 40], [128, 128, 128]], dtype=np.uint8)
NOTHING = 3
"""The value of pixels of no class in the files."""


def pair(number: int, size: tuple[int, int] = (24, 18)) -> tuple[np.ndarray, np.ndarray]:
    """Picture [H, W, 3] and mask [H, W] of number ``number``: one bar of each class in an order of its own."""
    width, height = size
    rng = np.random.default_rng(number)
    edges = np.sort(rng.choice(np.arange(3, width - 3), 2, replace=False))
    mask = np.full((height, width), NOTHING, dtype=np.uint8)
    for label, columns in zip(rng.permutation(3), np.split(np.arange(width), edges), strict=True):
        mask[2:, columns] = label
    noise = rng.integers(-15, 16, (*mask.shape, 3))
    return np.clip(COLOURS[mask].astype(int) + noise, 0, 255).astype(np.uint8), mask


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def rows(train: int = 24, val: int = 6, test: int = 16) -> list[dict]:
    """Rows of a table: films of frames that follow one another, of which parts hold stretches."""
    found = []
    for part, number in (("train", train), ("val", val), ("test", test)):
        for place in range(number):
            picture, mask = map(png, pair(len(found)))
            found.append({"image": picture, "mask": mask, "split": part, "file": f"{part}_{place:04d}.png"})
    return found


def write_parquet(path: Path, table: list[dict], **named) -> Path:
    metadata = {"class_names": [*CLASSES, "nothing"], "ignore_index": NOTHING} | named
    written = pa.Table.from_pylist(table).replace_schema_metadata(
        {key: json.dumps(value) for key, value in metadata.items() if value is not None}
    )
    pq.write_table(written, path, row_group_size=7)
    return path


def write_pairs(root: Path, table: list[dict], *, classes: bool = True) -> Path:
    for row in table:
        for kind, content in (("images", row["image"]), ("masks", row["mask"])):
            file = root / row["split"] / kind / row["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    if classes:
        (root / "classes.txt").write_text("\n".join(CLASSES))
    return root
