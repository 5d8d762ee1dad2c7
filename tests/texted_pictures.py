"""Small pictures of which something is said, in every layout that is read."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 220), "yellow": (230, 210, 50)}


class Told(NamedTuple):
    """A picture, what is said of it, and its class."""

    png: bytes
    texts: tuple[str, ...]
    label: str


def told_pictures(number: int = 24, *, seed: int = 0) -> list[Told]:
    """Two halves of two colours each, some noise, and one to three texts."""
    drawn = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        top, below = drawn.choice(list(COLOURS), 2)
        pixels = np.array([[COLOURS[top]] * 8] * 4 + [[COLOURS[below]] * 8] * 4) + drawn.integers(0, 20, (8, 8, 3))
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        texts = (f"{top} over {below}", f"{below} under {top}", f'"{top}", and {below} ümlaut')
        found.append(Told(file.getvalue(), texts[: 1 + int(drawn.integers(3))], str(top)))
    return found


def put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def as_tar(root: Path, pictures: list[Told], *, labelled: bool = True) -> Path:
    """WebDataset: one text as KEY.txt, several in KEY.json, as flickr8k_1000 has them."""
    root.mkdir()
    with tarfile.open(root / "pairs.tar", "w") as archive:
        for number, each in enumerate(pictures):
            put(archive, f"{number:05d}.png", each.png)
            put(archive, f"{number:05d}.txt", each.texts[0].encode())
            if len(each.texts) > 1:
                put(archive, f"{number:05d}.json", json.dumps({"captions": each.texts}).encode())
            if labelled:
                put(archive, f"{number:05d}.cls", each.label.encode())
    return root / "pairs.tar"


def as_table(root: Path, pictures: list[Told], *, labelled: bool = True) -> Path:
    """A row a caption, as Flickr8k's own captions.txt."""
    root.mkdir()
    with open(root / "captions.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image", "caption", *(["label"] * labelled)))
        for number, each in enumerate(pictures):
            (root / f"{number}.png").write_bytes(each.png)
            table.writerows((f"{number}.png", text, *([each.label] * labelled)) for text in each.texts)
    return root / "captions.csv"


def as_lines(root: Path, pictures: list[Told], *, labelled: bool = True) -> Path:
    """A JSON object a line, its texts in a list."""
    root.mkdir()
    lines = []
    for number, each in enumerate(pictures):
        (root / f"{number}.png").write_bytes(each.png)
        label = {"label": each.label} if labelled else {}
        lines.append(json.dumps({"file_name": f"{number}.png", "text": each.texts, **label}))
    (root / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return root / "metadata.jsonl"


def as_parquet(root: Path, pictures: list[Told], *, labelled: bool = True) -> Path:
    """Bytes beside a list of texts, in two files."""
    root.mkdir()
    for part in range(2):
        own = pictures[part::2]
        columns = {"image": [each.png for each in own], "captions": [list(each.texts) for each in own]}
        columns |= {"label": [each.label for each in own]} if labelled else {}
        pq.write_table(pa.table(columns), root / f"{part}.parquet")
    return root


LAYOUTS = {"tar": as_tar, "table": as_table, "lines": as_lines, "parquet": as_parquet}
