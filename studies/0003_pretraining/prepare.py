"""Lay the data of study 0003 out as its study.toml expects it: ``python prepare.py DATA [RUNS]``.

DATA holds tiny_imagenet80_{train,val}.parquet, cifar10_jpeg_{train,test}.parquet and clothing_small.tar (the dataset
alexeygrigorev/clothing-dataset-small, ImageFolder layout train|validation|test/<class>/<file>). Nothing is copied that
can be linked; the clothes are unpacked, train and validation together.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

LINKS = {
    "tiny_train.parquet": "tiny_imagenet80_train.parquet",
    "tiny_val.parquet": "tiny_imagenet80_val.parquet",
    "cifar10_train.parquet": "cifar10_jpeg_train.parquet",
    "cifar10_test.parquet": "cifar10_jpeg_test.parquet",
}
PARTS = {"train": "train", "validation": "train", "test": "test"}


def main(data: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, held in LINKS.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to((data / held).resolve(strict=True))
    count = 0
    with tarfile.open(data / "clothing_small.tar") as archive:
        for member in archive:
            if member.isfile():
                part, label, name = Path(member.name).parts[-3:]
                target = folder / "clothing" / PARTS[part] / label / name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                assert content is not None
                target.write_bytes(content.read())
                count += 1
    print(f"{folder}: {len(LINKS)} links, {count} photographs of clothes")


if __name__ == "__main__":
    runs = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parents[2] / "runs"
    main(Path(sys.argv[1]), runs / "data" / "0003")
