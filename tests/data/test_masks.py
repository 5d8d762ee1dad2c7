"""Pictures with masks: one crop moves both, what lies outside is of no class, and the container changes nothing."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from tests.masked_pictures import CLASSES, COLOURS, NOTHING, pair, png, rows, write_pairs, write_parquet

from levelfield.data.arranged import training_order
from levelfield.data.crops import FittedPair, crop_bits, scaled_crop
from levelfield.data.loader import Loader
from levelfield.data.sources import open_source
from levelfield.data.stretches import stretches
from levelfield.records.data import MaskedImagesSpec, data_identity
from levelfield.records.errors import DataError, SpecError
from levelfield.testing.sources import check_source


@pytest.fixture(scope="module")
def table():
    return rows()


@pytest.fixture(scope="module")
def parquet(table, tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("masks") / "bars.parquet", table)


def spec_of(path: Path, **more) -> MaskedImagesSpec:
    spec = MaskedImagesSpec(
        path=str(path), resolution=16, stretch=2, mask_column="mask", split_column="split", sequence_column="file"
    )
    return dataclasses.replace(spec, **more)


@pytest.fixture(scope="module")
def source(parquet):
    return open_source(spec_of(parquet))


def test_a_source_of_masks_conforms(source):
    check_source(source)
    assert source.split_sizes == {"train": 24, "select": 6, "report": 16}
    assert source.class_names == CLASSES, "the name of what belongs to no class is no class"


def test_the_same_pairs_give_the_same_run_from_parquet_and_from_a_folder(source, table, tmp_path):
    root = write_pairs(tmp_path / "bars", list(reversed(table)))
    pairs = MaskedImagesSpec(
        path=str(root), resolution=16, stretch=2, ignore_index=NOTHING, select_examples=source.spec.select_examples
    )
    folder = open_source(pairs)
    assert folder.fingerprint == source.fingerprint
    assert data_identity(pairs) == data_identity(source.spec)
    for ours, theirs in zip(*(first_batch(each).fields.values() for each in (source, folder)), strict=True):
        assert (ours == theirs).all()


def first_batch(source, size: int = 16, start: int = 0):
    return next(iter(Loader(source, order=training_order(source, 0), global_batch_size=size, start_examples=start)))


def test_a_crop_depends_on_its_example_and_its_place_in_the_run_alone(source):
    whole = first_batch(source, 48)
    for start in (0, 5, 24):
        part = first_batch(source, 7, start=start)
        for name, field in part.fields.items():
            assert (field == whole.fields[name][start : start + 7]).all()
    again = np.asarray(whole.epochs) == 1
    ids = np.asarray(whole.ids)
    first, second = (whole.fields["image"][np.flatnonzero(ids == ids[0])[epoch]] for epoch in (0, 1))
    assert again.any()
    assert not (first == second).all(), "an example is cropped anew in every epoch"


@pytest.mark.parametrize("size", [(40, 30), (10, 40), (40, 40)])
def test_the_mask_moves_with_its_picture(size):
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 3, (size[1] // 5, size[0] // 5)).repeat(5, 0).repeat(5, 1).astype(np.uint8)
    pixels, said = np.full((40, 40, 3), 128, np.uint8), np.full((40, 40), 255, np.uint8)
    pixels[: size[1], : size[0]], said[: size[1], : size[0]] = COLOURS[mask], mask
    canvas = FittedPair(pixels, said, *size)
    outside = 0
    for bits in crop_bits(np.full(200, 7, np.uint64), np.arange(200)):
        picture, crop = scaled_crop(canvas, 20, bits)
        nearest = np.abs(picture[..., None, :].astype(int) - COLOURS).sum(-1).argmin(-1)
        agree = np.where(crop == 255, NOTHING, crop) == nearest
        assert agree.mean() > 0.8, "but at the edges of bars, where colours mix"
        assert (picture[crop == 255] == 128).all(), "what belongs to no class lies outside the picture"
        outside += (crop == 255).any()
    assert outside > 0, "small pictures leave some of the square empty"


def test_a_held_out_picture_is_seen_whole(source):
    batch = source.batch("report", np.arange(16))
    mask = batch.fields["mask"]
    assert mask.shape == (16, 16, 16)
    assert (mask[:, :2] == 255).all(), "the rest of the square lies above"
    assert (mask[:, -2:] == 255).all(), "and below"
    assert all(set(np.unique(each)) == {0, 1, 2, 255} for each in mask)


def test_stretches_are_consecutive_frames_of_one_film():
    names = [f"b_{place}.png" for place in range(10)] + ["a_7.png", "a_30.png"]
    found = stretches(list(reversed(names)), 4)[::-1]
    assert found.tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0]


def test_a_drawn_part_of_a_film_is_told(table, tmp_path):
    path = write_parquet(tmp_path / "train.parquet", table[:24])
    source = open_source(spec_of(path, split_column=None, select_examples=4, report_examples=5))
    assert source.split_sizes == {"train": 15, "select": 4, "report": 5}
    assert "resemble their neighbours" in source.remarks[0]
    ids = [source.batch(split, np.arange(size)).fields["image"] for split, size in source.split_sizes.items()]
    assert len({each.tobytes() for part in ids for each in part}) == 24, "no picture is in two parts"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mask": png(np.full((18, 24), 9, np.uint8))}, "holds the values [9]"),
        ({"mask": png(pair(0)[1][:9])}, "24 x 9 pixels"),
        ({"mask": png(pair(0)[0])}, "mode RGB"),
        ({"split": "dev"}, "names the parts"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(table, tmp_path, change, said):
    path = write_parquet(tmp_path / "bars.parquet", [table[0] | change, *table[1:]])
    with pytest.raises(DataError, match=re.escape(said)):
        open_source(spec_of(path, augment="none")).batch("train", np.arange(24))


def test_a_picture_without_a_mask_is_refused(table, tmp_path):
    root = write_pairs(tmp_path / "bars", table)
    (root / "train" / "masks" / "train_0003.png").unlink()
    with pytest.raises(DataError, match="'train_0003' and no mask"):
        open_source(MaskedImagesSpec(path=str(root), resolution=16))


def test_classes_that_nobody_counts_are_asked_for(table, tmp_path):
    path = write_parquet(tmp_path / "bars.parquet", table, class_names=None, ignore_index=None)
    with pytest.raises(DataError, match="say num_classes"):
        open_source(spec_of(path))
    assert open_source(spec_of(path, num_classes=3, ignore_index=NOTHING)).class_names == ("0", "1", "2")


def test_what_would_be_ignored_is_refused(parquet, table, tmp_path):
    with pytest.raises(DataError, match="stretch is 2, and nothing names the frames of"):
        open_source(spec_of(parquet, sequence_column=None))
    with pytest.raises(SpecError, match="report_path must be left out beside a split_column"):
        spec_of(parquet, report_path=str(parquet))
    root = write_pairs(tmp_path / "bars", table)
    with pytest.raises(DataError, match="mask_column names a column of Parquet"):
        open_source(spec_of(root, split_column=None, sequence_column=None))


def test_a_damaged_picture_keeps_its_place_where_it_is_masked(table, tmp_path):
    path = write_parquet(tmp_path / "bars.parquet", [table[0] | {"image": table[0]["image"][:60]}, *table[1:]])
    source = open_source(spec_of(path, corrupt="mask"))
    batch = source.batch("train", np.arange(24))
    assert batch.valid.sum() == 23
    assert (batch.fields["mask"][~batch.valid] == 255).all()
