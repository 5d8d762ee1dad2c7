"""Lay the data of study 0005 out as its study files expect it: ``python prepare.py DATA [RUNS]``.

DATA holds emoji_noto.parquet and emoji_twemoji.parquet (columns image, text, codepoints; the same emoji drawn by two
hands) and flickr8k_1000_{train,val}.tar. Emoji are told apart by what is left of their code points without shades of
skin: a fifth of these chooses and a fifth judges, in the other hand and without shades; the network trains on the rest
in the one hand. No emoji that is judged, in whatever shade, is trained on. Groups of emoji are the classes.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SHADES = {f"1F3F{shade}" for shade in "BCDEF"}
VARIANT = "FE0F"
OF_TEN = {"val": (0, 1), "test": (2, 3)}


def points(row: dict[str, Any]) -> list[str]:
    """The code points of an emoji, in capitals, without what chooses a variant of one."""
    said = row["codepoints"]
    told = said if isinstance(said, list) else str(said).replace("-", " ").replace("U+", "").split()
    return [str(each).upper().removeprefix("U+") for each in told if str(each).upper() != VARIANT]


def base(row: dict[str, Any]) -> str:
    return " ".join(point for point in points(row) if point not in SHADES)


def part(of: str) -> str:
    place = hashlib.blake2b(of.encode(), digest_size=1).digest()[0] % 10
    return next((name for name, places in OF_TEN.items() if place in places), "train")


def write(path: Path, rows: list[dict[str, Any]], groups: dict[str, str]) -> None:
    known = [row for row in rows if base(row) in groups]
    columns = {
        "image": [row["image"] for row in known],
        "text": [row["text"] for row in known],
        "label": [groups[base(row)] for row in known],
    }
    pq.write_table(pa.table(columns), path)
    print(f"{path}: {len(known)} emoji")


def main(data: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    noto, twemoji = (pq.read_table(data / f"emoji_{hand}.parquet").to_pylist() for hand in ("noto", "twemoji"))
    groups = {base(row): str(row["category"]).lower() for row in twemoji}
    (folder / "emoji").mkdir(exist_ok=True)
    write(folder / "emoji" / "train.parquet", [row for row in noto if part(base(row)) == "train"], groups)
    plain = [row for row in twemoji if not SHADES & set(points(row))]
    for name in OF_TEN:
        held_out = folder / f"emoji_{name}.parquet" if name == "test" else folder / "emoji" / "val.parquet"
        write(held_out, [row for row in plain if part(base(row)) == name], groups)
    for name in ("train", "val"):
        link = folder / f"flickr_{name}.tar"
        link.unlink(missing_ok=True)
        link.symlink_to((data / f"flickr8k_1000_{name}.tar").resolve(strict=True))


if __name__ == "__main__":
    runs = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[2] / "runs"
    main(Path(sys.argv[1]), runs / "data" / "0005")
