"""The same pictures with masks in every format that is read: each writes into a folder and says what to open."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from levelfield.data.ingest.mask_classes import MasksSaid
from levelfield.data.ingest.masked_places import MaskedPlaceSaid
from levelfield.testing.masked_readers import Pairs
from tests.formats import ending, put

SAID = MasksSaid(num_classes=3, ignore_index=3)
NAMES = "dark\nred\ngreen\n"


def folder(root: Path, pairs: Pairs) -> MaskedPlaceSaid:
    for name, picture, mask in pairs:
        for side, content in (("images", picture), ("masks", mask)):
            file = root / side / f"{name}.{ending(content)}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    (root / "classes.txt").write_text(NAMES)
    return MaskedPlaceSaid(path=str(root), masks=MasksSaid(ignore_index=3))


def parquet(root: Path, pairs: Pairs) -> MaskedPlaceSaid:
    root.mkdir()
    table = pa.Table.from_pylist(
        [{"image": picture, "mask": mask, "frame": f"{name}.{ending(picture)}"} for name, picture, mask in pairs]
    )
    named = table.replace_schema_metadata({"class_names": '["dark", "red", "green"]'})
    pq.write_table(named, root / "rows.parquet", compression="none", use_dictionary=False)
    return MaskedPlaceSaid(
        path=str(root / "rows.parquet"), sequence_column="frame", masks=MasksSaid(ignore_index=SAID.ignore_index)
    )


def tar_of_pairs(root: Path, pairs: Pairs) -> MaskedPlaceSaid:
    """One tar, packed in a folder with its list of classes, all masks after all pictures."""
    root.mkdir()
    with tarfile.open(root / "streets.tar", "w") as archive:
        put(archive, "./streets/classes.txt", NAMES.encode())
        for name, picture, _ in pairs:
            put(archive, f"./streets/train/images/{name}.{ending(picture)}", picture)
        for name, _, mask in reversed(pairs):
            put(archive, f"./streets/train/masks/{name}.{ending(mask)}", mask)
    return MaskedPlaceSaid(path=str(root / "streets.tar"), masks=MasksSaid(ignore_index=SAID.ignore_index))


def webdataset_pairs(root: Path, pairs: Pairs) -> MaskedPlaceSaid:
    """Two shards, named by braces."""
    root.mkdir()
    for shard in range(2):
        with tarfile.open(root / f"part-{shard:03d}.tar", "w") as archive:
            for name, picture, mask in pairs[shard::2]:
                put(archive, f"{name}.{ending(picture)}", picture)
                put(archive, f"{name}.seg.{ending(mask)}", mask)
    return MaskedPlaceSaid(path=str(root / "part-{000..001}.tar"), masks=SAID)


def webdataset_of_two_endings(root: Path, pairs: Pairs) -> MaskedPlaceSaid:
    """A folder of shards, the picture a JPEG and so the mask what is not, where it is one; beside a list of classes."""
    root.mkdir()
    (root / "classes.txt").write_text(NAMES)
    for shard in range(2):
        with tarfile.open(root / f"{shard}.tar", "w") as archive:
            for name, picture, mask in pairs[shard::2]:
                said = "" if ending(picture) == "jpg" else "mask."
                put(archive, f"{name}.{said}{ending(mask)}", mask)
                put(archive, f"{name}.{ending(picture)}", picture)
                put(archive, f"{name}.json", b"{}")
    return MaskedPlaceSaid(path=str(root), masks=MasksSaid(ignore_index=SAID.ignore_index))


MASKED_FORMATS: Mapping[str, Callable[[Path, Pairs], MaskedPlaceSaid]] = {
    each.__name__: each for each in (folder, parquet, tar_of_pairs, webdataset_pairs, webdataset_of_two_endings)
}
