"""Pictures with masks go the way of all pictures: listed and hashed once, built, inspected, verified."""

import csv
import dataclasses
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.masked_pictures import CLASSES, NOTHING, pair, png, rows, write_pairs, write_parquet

from levelfield.data import kept_digests
from levelfield.data.ingest import opening
from levelfield.data.ingest.build import build
from levelfield.data.ingest.built import read_manifest
from levelfield.data.ingest.inspect import inspect
from levelfield.data.ingest.mask_classes import MasksSaid
from levelfield.data.ingest.masked_places import (
    MaskedPlaceSaid,
    is_masked_place,
    listed_pairs,
    looked_at_pairs,
    masked_forms_at,
)
from levelfield.data.ingest.places import PlaceSaid, judged_at, stores_at
from levelfield.data.ingest.verify import verified
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec, MaskedImagesSpec, data_identity
from levelfield.records.errors import DataError

COLUMNS: dict[str, Any] = {"mask_column": "mask", "split_column": "split", "sequence_column": "file"}
SAID = MasksSaid(ignore_index=NOTHING)


@pytest.fixture(scope="module")
def table():
    return rows()


@pytest.fixture
def folder(table, tmp_path) -> MaskedPlaceSaid:
    return MaskedPlaceSaid(path=str(write_pairs(tmp_path / "pairs", table)), masks=SAID)


@pytest.fixture
def parquet(table, tmp_path) -> MaskedPlaceSaid:
    return MaskedPlaceSaid(path=str(write_parquet(tmp_path / "bars.parquet", table)), **COLUMNS)


def source_of(place: MaskedPlaceSaid):
    said = {name: getattr(place, name) for name in ("path", "image_column", *COLUMNS)}
    spec = MaskedImagesSpec(**said, resolution=16, stretch=2, ignore_index=place.masks.ignore_index)
    return open_source(spec), data_identity(spec)


def built(place: MaskedPlaceSaid, out: Path, **more) -> MaskedPlaceSaid:
    build(listed_pairs(place), out, **more)
    return MaskedPlaceSaid(path=str(out))


def fields_of(source) -> list[bytes]:
    keys = np.arange(24, dtype=np.uint64)
    found = [source.batch("train", np.arange(24), keys), source.batch("report", np.arange(16))]
    return [value.tobytes() for batch in found for value in (*batch.fields.values(), batch.valid)]


def test_every_form_and_what_is_built_of_it_is_the_same_data(folder, parquet, tmp_path):
    expected, identity = source_of(folder)
    made = [
        built(folder, tmp_path / "one", shard_bytes=4000),
        built(folder, tmp_path / "two", in_place=True),
        built(parquet, tmp_path / "three", workers=2, shard_bytes=4000),
    ]
    for place in (folder, parquet, parquet, *made, *made):
        source, other = source_of(place)
        assert (source.fingerprint, other) == (expected.fingerprint, identity)
        assert source.class_names == CLASSES
        assert source.split_sizes == expected.split_sizes
        assert fields_of(source) == fields_of(expected), place.path


def test_a_shard_holds_picture_and_mask_under_one_key(folder, tmp_path, table):
    built(folder, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "val" / "val-00000.tar") as archive:
        names = archive.getnames()
        content = {member.name: file.read() for member in archive if (file := archive.extractfile(member)) is not None}
        assert len(names) == 12
        assert all(names[place] == f"{names[place][:12]}.png" for place in range(0, 12, 2))
        assert all(names[place] == f"{names[place - 1][:12]}.mask.png" for place in range(1, 12, 2))
    found = {(content[names[place]], content[names[place + 1]]) for place in range(0, 12, 2)}
    assert found == {(row["image"], row["mask"]) for row in table if row["split"] == "val"}


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_what_was_listed_once_is_mapped_the_next_time(kind, folder, parquet, tmp_path, monkeypatch):
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_digests, "RACY_NS", -(10**12))
    place = {"folder": folder, "parquet": parquet}[kind]
    expected = fields_of(source_of(place)[0])
    monkeypatch.setattr(opening, "paired_contents", None)  # nothing of it is computed again
    assert fields_of(source_of(place)[0]) == expected
    for index in (tmp_path / "cache" / "indices").rglob("masks.arrow"):
        index.chmod(0o644)
        index.write_bytes(index.read_bytes())
    with pytest.raises(TypeError):  # what was written to is made again
        source_of(place)


def test_a_picture_or_mask_that_changed_is_never_taken_for_the_one_that_was_listed(folder):
    source, _ = source_of(folder)
    next(Path(folder.path).glob("train/masks/*.png")).write_bytes(png(pair(77)[1]))
    with pytest.raises(DataError, match="has changed since it was listed"):
        source.batch("train", np.arange(24))
    assert source_of(folder)[0].fingerprint != source.fingerprint


def test_what_cannot_be_used_is_left_out_and_counted(folder, tmp_path):
    root = Path(folder.path) / "train"
    masks = sorted((root / "masks").iterdir())
    masks[0].write_bytes(masks[0].read_bytes()[:40])
    masks[1].write_bytes(png(np.full((18, 24), 9, np.uint8)))
    masks[2].write_bytes(png(pair(0)[1][:9]))
    masks[3].unlink()
    (root / "images" / "train_0004.png").unlink()
    (root / "images" / "IMG_1.MOV").write_bytes(b"x")
    manifest = build(listed_pairs(folder), tmp_path / "out")
    assert manifest.skipped == {"mask": 3, "unlabelled": 1, "missing": 1, "video": 1}
    assert manifest.parts["train"].contents.num_examples == 19
    with open(tmp_path / "out" / "skipped.csv", newline="") as file:
        said = {row["name"]: row["seen"] for row in csv.DictReader(file)}
    assert "values [9]" in said["train_0001.png"]
    assert "24 x 9 pixels" in said["train_0002.png"]
    with pytest.raises(DataError, match=r"IMG_1\.MOV is not named like an image"):
        source_of(folder)
    assert source_of(MaskedPlaceSaid(path=str(tmp_path / "out")))[0].split_sizes["train"] == 19


def test_inspect_tells_which_classes_are_shown_and_what_leaks(folder, table):
    again = next(row for row in table if row["split"] == "train")
    for kind in ("images", "masks"):
        (Path(folder.path) / "test" / kind / "test_9999.png").write_bytes(again[kind.removesuffix("s")])
    stores, skipped = looked_at_pairs(folder)
    found = inspect({part: each.pictures for part, each in stores.items()}, skipped, masked=stores, workers=1)
    assert found.parts["train"].num_by_class == dict.fromkeys(CLASSES, 24)
    assert found.parts["train"].masked
    assert found.leaks["test"].exact == 1


@pytest.mark.parametrize("in_place", [False, True])
def test_verify_finds_a_byte_of_a_mask(folder, tmp_path, in_place):
    place = built(folder, tmp_path / "out", in_place=in_place)
    for form in masked_forms_at(place, place.path).values():
        assert verified(form)[1]
    mask = Path(folder.path) / "val" / "masks" / "val_0001.png"
    holder = mask if in_place else tmp_path / "out" / "val" / "val-00000.tar"
    content = bytearray(holder.read_bytes())
    content[content.index(mask.read_bytes()) + 50] ^= 1
    holder.write_bytes(content)
    with pytest.raises(DataError, match=r"changed or damaged|another picture"):
        verified(masked_forms_at(place, place.path)["val"])


def test_a_set_with_masks_is_not_taken_for_labelled_pictures_nor_the_other_way(folder, tmp_path):
    place = built(folder, tmp_path / "out")
    assert is_masked_place(folder.path)
    assert is_masked_place(place.path)
    for path in (folder.path, place.path):
        for door in (judged_at, stores_at):
            with pytest.raises(DataError, match="'masked-images'"):
                door(PlaceSaid(path=path))
        with pytest.raises(DataError, match="'masked-images'"):
            open_source(ImagesSpec(path=path, resolution=16))
    with pytest.raises(DataError, match="has 3 classes, and num_classes says 4"):
        masked_forms_at(dataclasses.replace(place, masks=MasksSaid(num_classes=4)), place.path)
    assert read_manifest(tmp_path / "out").parts["val"].masks is not None


def test_a_part_that_lies_apart_must_mean_the_same_by_its_masks(table, tmp_path):
    train = write_parquet(tmp_path / "train.parquet", table[:24])
    test = write_parquet(tmp_path / "test.parquet", table[30:])
    spec = MaskedImagesSpec(path=str(train), report_path=str(test), resolution=16, select_examples=4)
    assert open_source(spec).split_sizes == {"train": 20, "select": 4, "report": 16}
    other = write_parquet(tmp_path / "other.parquet", table[30:], class_names=["a", "b", "c", "none"])
    with pytest.raises(DataError, match="or other names"):
        open_source(dataclasses.replace(spec, report_path=str(other)))
