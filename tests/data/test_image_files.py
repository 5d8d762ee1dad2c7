"""Parquet and folders: the same images give the same run, every fault is named, and splits are fixed."""

import json
import logging
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_pictures import CLASSES, encoded, picture, write_folder, write_parquet

from levelfield.data import decoded
from levelfield.data.arranged import training_order
from levelfield.data.audit import SeenAudit
from levelfield.data.decode import decode
from levelfield.data.loader import Loader
from levelfield.data.resize import covering
from levelfield.data.sources import open_source, seen
from levelfield.data.stores import row_groups
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
HELD_OUT = {"resolution": 16, "select_examples": 5, "report_examples": 6}


def images_at(path: Path | str, **more):
    return open_source(ImagesSpec(**{"path": str(path), **HELD_OUT, **more}))


def square(content: bytes, side: int) -> np.ndarray:
    return covering(decode(content), side)


def contents(source, split: str) -> list[bytes]:
    fields, _ = source.batch(split, np.arange(source.split_sizes[split]))
    images, labels = fields["image"], fields["label"]
    return [bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True)]


def assert_same_run(one, other):
    """Equal splits, image for image, and equal augmented training over an epoch and a half."""
    assert one.fingerprint == other.fingerprint
    assert (one.split_sizes, one.fields.num_classes) == (other.split_sizes, other.fields.num_classes)
    for split in ("select", "report"):
        assert contents(one, split) == contents(other, split)
    loaders = [Loader(s, order=training_order(s, 1), global_batch_size=9, prefetch=1) for s in (one, other)]
    audits = [SeenAudit(), SeenAudit()]
    for batches in islice(zip(*loaders, strict=True), 3):
        first, second = ({**batch.fields, "valid": batch.valid} for batch in batches)
        assert all((first[name] == second[name]).all() for name in ("image", "label", "valid"))
        audits = [batch.audited(audit) for batch, audit in zip(batches, audits, strict=True)]
    assert audits[0] == audits[1]


def test_the_same_images_give_the_same_run_from_parquet_and_from_a_folder(picture_parquet, picture_folder):
    assert_same_run(images_at(picture_parquet), images_at(picture_folder))


def test_where_images_lie_and_in_which_rows_or_files_changes_nothing(tmp_path, pictures, picture_parquet):
    expected = images_at(picture_parquet)
    write_parquet(tmp_path / "parts" / "a.parquet", pictures[20:], row_group_size=3)
    write_parquet(tmp_path / "parts" / "deep" / "b.parquet", pictures[:20])
    assert_same_run(images_at(tmp_path / "parts"), expected)
    assert_same_run(images_at(tmp_path / "parts" / "**" / "*.parquet"), expected)


def test_hugging_face_image_columns_and_class_labels_are_read(tmp_path, pictures, picture_parquet):
    structs = [{"bytes": content, "path": "x.png"} for _, content in pictures]
    features = {"info": {"features": {"fine": {"names": list(CLASSES), "_type": "ClassLabel"}}}}
    table = pa.table({"img": structs, "fine": [label for label, _ in pictures]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "hf.parquet")
    source = images_at(tmp_path / "hf.parquet", image_column="img", label_column="fine")
    assert source.class_names == CLASSES
    assert_same_run(source, images_at(picture_parquet))


def test_a_table_larger_than_memory_gives_the_same_run(picture_parquet, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    expected = images_at(picture_parquet)
    contents(expected, "train")
    monkeypatch.setattr(decoded, "_ROOM", decoded._Room(1000))
    monkeypatch.setattr(row_groups, "ENCODED_LIMIT_BYTES", 1)
    assert_same_run(images_at(picture_parquet), expected)
    assert "there is no room for the others" in caplog.text


def test_splits_are_disjoint_complete_and_fixed_by_content_and_seed(picture_folder, pictures):
    source = images_at(picture_folder)
    splits = {split: contents(source, split) for split in source.split_sizes}
    assert {split: len(members) for split, members in splits.items()} == {"train": 19, "select": 5, "report": 6}
    assert len(set().union(*splits.values())) == len(pictures)
    more_select = images_at(picture_folder, select_examples=8)
    assert contents(more_select, "report") == splits["report"]
    assert set(splits["select"]) <= set(contents(more_select, "select"))
    assert contents(images_at(picture_folder, seed=1), "report") != splits["report"]


def test_only_training_images_are_augmented_and_as_the_spec_says(picture_folder):
    source, plain = images_at(picture_folder), images_at(picture_folder, augment="none")
    for split, size in source.split_sizes.items():
        ids = np.arange(size)
        keyed = source.batch(split, ids, ids.astype(np.uint64)).fields["image"]
        assert np.array_equal(keyed, source.batch(split, ids).fields["image"]) == (split != "train")
        assert np.array_equal(
            plain.batch(split, ids, ids.astype(np.uint64)).fields["image"], source.batch(split, ids).fields["image"]
        )


def test_a_report_path_is_the_whole_report_split(tmp_path, pictures, picture_folder):
    other = [(seed % 3, encoded(picture(seed))) for seed in range(100, 104)]
    report_folder, report_file = write_folder(tmp_path / "r", other), write_parquet(tmp_path / "r.parquet", other)
    source = images_at(picture_folder, report_path=str(report_folder))
    assert source.split_sizes == {"train": 25, "select": 5, "report": 4}
    table = images_at(write_parquet(tmp_path / "t.parquet", pictures), report_path=str(report_file))
    assert_same_run(source, table)
    assert source.fingerprint != images_at(picture_folder).fingerprint


@pytest.mark.parametrize("held_out", ["test", "val", "validation"])
def test_a_root_with_train_and_a_held_out_part_is_taken_as_such(tmp_path, pictures, held_out):
    other = [(seed % 3, encoded(picture(seed))) for seed in range(100, 104)]
    write_folder(tmp_path / "root" / "train", pictures)
    write_folder(tmp_path / "root" / held_out, other)
    source = images_at(tmp_path / "root")
    assert source.split_sizes == {"train": 25, "select": 5, "report": 4}
    assert source.class_names == CLASSES


def test_test_comes_before_validation_and_a_class_named_train_is_a_class(tmp_path, pictures):
    for part, seeds in {"test": range(100, 104), "validation": range(200, 205)}.items():
        write_folder(tmp_path / "root" / part, [(seed % 3, encoded(picture(seed))) for seed in seeds])
    write_folder(tmp_path / "root" / "train", pictures)
    assert images_at(tmp_path / "root").split_sizes["report"] == 4
    vehicles = write_folder(tmp_path / "vehicles", pictures)
    (vehicles / "bee").rename(vehicles / "train")
    assert images_at(vehicles).class_names == ("apple", "cat", "train")


CORRUPT = {
    "truncated jpeg": encoded(picture(500, (64, 64)), "JPEG")[:-300],
    "truncated png": encoded(picture(501))[:100],
    "text": b"this is no image",
    "empty": b"",
    "16 bits": encoded(Image.new("I;16", (16, 16)), "PNG"),
}


@pytest.mark.parametrize("kind", CORRUPT)
@pytest.mark.parametrize("container", ["folder", "parquet"])
def test_a_corrupt_image_stops_the_run_with_its_name(tmp_path, pictures, kind, container):
    damaged = [*pictures[:7], (1, CORRUPT[kind]), *pictures[7:]]
    if container == "folder":
        source, name = images_at(write_folder(tmp_path / "damaged", damaged)), "bee/007"
    else:
        source, name = images_at(write_parquet(tmp_path / "damaged.parquet", damaged)), "damaged.parquet row 7 "
    with pytest.raises(DataError, match=f"{name}.* corrupt = 'mask'"):
        [contents(source, split) for split in source.split_sizes]


@pytest.mark.parametrize("kind", CORRUPT)
def test_a_masked_image_keeps_its_place_with_no_weight(tmp_path, pictures, kind, caplog):
    damaged = [*pictures[:7], (1, CORRUPT[kind]), *pictures[7:]]
    folder = images_at(write_folder(tmp_path / "damaged", damaged), corrupt="mask")
    table = images_at(write_parquet(tmp_path / "damaged.parquet", damaged), corrupt="mask")
    assert_same_run(folder, table)
    for _ in range(2):
        parts = [folder.batch(split, np.arange(size)) for split, size in folder.split_sizes.items()]
        assert sum(int((~part.valid).sum()) for part in parts) == 1
        for part in parts:
            assert (part.fields["image"][~part.valid] == seen.MASKED_PIXEL).all()
            assert (part.fields["label"][~part.valid] == 1).all()
    assert "masked: " in caplog.text


FAULTS = {
    "missing file": ({"path": "nowhere.parquet"}, "'nowhere.parquet' names no Parquet file here"),
    "not parquet": ({"path": "{tmp}/text.parquet"}, "text.parquet cannot be read as Parquet"),
    "wrong column": ({"image_column": "imagee"}, "has no column 'imagee' \\(did you mean 'image'\\?\\)"),
    "image column of numbers": ({"image_column": "label"}, "images must be encoded bytes .* holds int64"),
    "label column of bytes": ({"label_column": "image"}, "labels must be integers: column 'image' .* holds binary"),
    "one class": ({"label_column": "zero"}, "holds one class, '0': expected two or more"),
    "all held out": ({"select_examples": 3}, "holds 3 images; .* leave none to train on: lower them"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_parquet_file_that_cannot_be_meant_is_one_clear_error(tmp_path, fault):
    (tmp_path / "text.parquet").write_text("no parquet")
    content = encoded(picture(0))
    pq.write_table(pa.table({"image": [content] * 3, "label": [0, 1, 2], "zero": [0] * 3}), tmp_path / "good.parquet")
    changes, message = FAULTS[fault]
    changes = {key: value.format(tmp=tmp_path) if key == "path" else value for key, value in changes.items()}
    with pytest.raises(DataError, match=message):
        images_at(**{"path": tmp_path / "good.parquet", "select_examples": 1, "report_examples": 1, **changes})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0, -1], "row 3 has -1"),
        ([0, 0, None, 1], "row 2 has None"),
        (pa.array([0, 0, None, 1], pa.uint8()), "row 2 has None"),
        (pa.array([0, 0, 2**63 + 1, 1], pa.uint64()), "row 2 has 9223372036854775809"),
        ([0, 5 * 10**9, 0, 0], "row 1 has 5000000000"),
        ([0.0, 1.0, 2.0, 3.0], "must be integers: column 'label' .* holds double"),
    ],
)
def test_labels_are_integers_from_zero(tmp_path, labels, message):
    names = list("abcd")  # which no label is taken from while a column is called after labels
    table = pa.table({"image": [encoded(picture(0))] * 4, "label": labels, "name": names})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    with pytest.raises(DataError, match=message):
        images_at(tmp_path / "x.parquet")


def test_parquet_is_known_by_what_it_begins_with(tmp_path, picture_parquet):
    bare = picture_parquet.rename(tmp_path / "rows")
    assert images_at(bare).class_names == ("0", "1", "2")


def test_labels_of_any_integer_type_are_read(tmp_path, pictures, picture_parquet):
    table = pq.read_table(picture_parquet)
    table = table.set_column(1, "label", table["label"].cast(pa.uint8()))
    pq.write_table(table, tmp_path / "small.parquet")
    assert_same_run(images_at(tmp_path / "small.parquet"), images_at(picture_parquet))


def test_a_row_without_an_image_and_a_table_without_rows_are_refused(tmp_path):
    table = pa.table({"image": pa.array([b"x", b"y", None], pa.binary()), "label": [0, 1, 2]})
    pq.write_table(table, tmp_path / "null.parquet", row_group_size=2)
    with pytest.raises(DataError, match=r"null.parquet row 2 has no image"):
        images_at(tmp_path / "null.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="holds no rows"):
        images_at(tmp_path / "none.parquet")


def test_folders_that_hold_no_classes_or_no_images_are_refused(tmp_path, picture_folder):
    with pytest.raises(DataError, match="'nowhere' is not a folder here"):
        images_at("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no class folders: expected .*<class>/<image>"):
        images_at(tmp_path / "empty")
    (picture_folder / ".cache").mkdir()
    (picture_folder / "notes.txt").write_text("beside the class folders")
    (picture_folder / "bee" / ".DS_Store").write_text("hidden")
    assert images_at(picture_folder).class_names == CLASSES
    (picture_folder / "dog").mkdir()
    with pytest.raises(DataError, match="dog holds no images"):
        images_at(picture_folder)
    (picture_folder / "dog" / "notes.txt").write_text("?")
    with pytest.raises(DataError, match=r"notes.txt is not named like an image"):
        images_at(picture_folder)


def test_a_report_part_must_be_unseen_and_of_known_classes(tmp_path, pictures, picture_folder, caplog):
    with pytest.raises(DataError, match="must be unseen"):
        images_at(picture_folder, report_path=str(picture_folder))
    report = write_folder(tmp_path / "report", [*pictures[:2], (1, encoded(picture(900)))])
    images_at(picture_folder, report_path=str(report))
    assert "2 images of" in caplog.text
    (report / "bee").rename(report / "wasp")
    missing = r"has no class 'wasp' \(known: apple, bee, cat\); without a picture in .*: 'bee', 'cat'"
    with pytest.raises(DataError, match=f"the training part .* {missing}"):
        images_at(picture_folder, report_path=str(report))


def test_twins_are_counted_and_kept(tmp_path, pictures, caplog):
    source = images_at(write_parquet(tmp_path / "x.parquet", [*pictures, pictures[0]]))
    assert sum(source.split_sizes.values()) == 31
    assert "holds 1 images twice" in caplog.text


def test_changed_content_changes_the_fingerprint(tmp_path, pictures):
    def fingerprint(changed: list[tuple[int, bytes]]) -> str:
        shutil.rmtree(tmp_path / "f", ignore_errors=True)
        return images_at(write_folder(tmp_path / "f", changed)).fingerprint

    whole = fingerprint(pictures)
    assert fingerprint(pictures[::-1]) == whole
    assert fingerprint(pictures[1:]) != whole
    assert fingerprint([(1, pictures[0][1]), *pictures[1:]]) != whole
    assert fingerprint([(pictures[0][0], encoded(picture(999))), *pictures[1:]]) != whole


def test_an_image_of_the_right_size_is_left_alone():
    image = picture(3, (16, 16))
    assert np.array_equal(square(encoded(image), 16), np.asarray(image).transpose(2, 0, 1))


def test_of_other_sizes_the_square_in_the_middle_is_resized():
    wide = picture(4, (64, 32))
    expected = np.asarray(wide.crop((16, 0, 48, 32)).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.abs(square(encoded(wide), 16).transpose(1, 2, 0).astype(int) - expected).max() <= 2
    for size in ((17, 16), (16, 400), (3, 5), (1, 1), (1000, 7)):
        assert square(encoded(picture(5, size)), 16).shape == (3, 16, 16)


def test_grey_becomes_rgb_and_transparency_is_laid_on_white():
    grey = picture(6, (16, 16), "L")
    assert np.array_equal(square(encoded(grey), 16), np.repeat(np.asarray(grey)[None], 3, axis=0))
    clear = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    assert (square(encoded(clear), 16) == 255).all()
    half = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
    assert (abs(square(encoded(half), 16).astype(int) - 127) <= 1).all()
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert (square(encoded(palette), 16)[:, 0, 0] == [10, 20, 30]).all()
    stream = encoded(picture(7, (16, 16), "CMYK"), "JPEG")
    assert square(stream, 16).shape == (3, 16, 16)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data beside the repository: real CIFAR-10 as Parquet")
def test_cifar10_gives_the_same_run_from_parquet_and_from_a_folder(tmp_path):
    file = SHARED / "cifar10_jpeg_test.parquet"
    table = pq.read_table(file).slice(0, 1500)
    names = json.loads(table.schema.metadata[b"class_names"])
    pq.write_table(table, tmp_path / "cifar.parquet")
    for row in table.to_pylist():
        place = tmp_path / "cifar" / row["file"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(row["image"])
    spec = {"resolution": 32, "select_examples": 50, "report_examples": 60}
    rows, files = images_at(tmp_path / "cifar.parquet", **spec), images_at(tmp_path / "cifar", **spec)
    assert rows.class_names == files.class_names == tuple(names)
    assert_same_run(rows, files)
