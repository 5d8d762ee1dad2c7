"""Folders that are laid out otherwise than <class>/<image>: understood by one rule, or refused with what was seen."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_pictures import CLASSES, encoded, picture, write_folder, write_parquet
from tests.formats import FORMATS, put

from levelfield.data.ingest.places import PlaceSaid, judged_at, stores_at
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError
from levelfield.testing.readers import expected_table, table_of

PICTURE = encoded(picture(1))
HELD_OUT: dict[str, Any] = {"resolution": 8, "select_examples": 2, "report_examples": 2}


def laid(root: Path, *files: str) -> Path:
    """``root`` with ``files``, images distinct; a name that ends in / is an empty folder."""
    for number, name in enumerate(files):
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        image = path.suffix.lower() in (".png", ".jpg")
        path.write_bytes(
            encoded(picture(number), "JPEG" if path.suffix.lower() == ".jpg" else "PNG") if image else b"?"
        )
    return root


def opened(root: Path, **more: Any):
    return open_source(ImagesSpec(path=str(root), **HELD_OUT, **more))


def each(*folders: str, count: int = 4, suffix: str = ".png") -> list[str]:
    return [f"{folder}/{number}{suffix}" for folder in folders for number in range(count)]


REFUSED = {
    "two names of one part": (each("train/cat", "val/cat", "Valid/dog"), "'Valid' and another are one part"),
    "train and dev": (each("train/cat", "train/dog", "dev/cat"), "'dev', 'train', which are called like parts of a"),
    "test alone": (each("test/cat", "test/dog"), "'test', which are called like parts"),
    "flat parts": (each("train", "test"), "are called like parts"),
    "parts beside others": (each("train/cat", "train/dog", "notes"), "'notes', 'train', of which 'train' are called"),
    "two parts among classes": (each("cat", "train", "val"), "of which 'train', 'val' are called"),
    "COCO": (each("train2017", "val2017"), "are called like parts"),
    "numbered parts": (each("train_1/cat", "test_1/cat"), "are called like parts"),
    "a wrapper": (each("flowers/rose", "flowers/tulip"), "holds one folder, 'flowers', and that holds 'rose', 'tulip'"),
    "a wrapper twice": (each("a/b/rose", "a/b/tulip"), "holds one folder, 'a', and that holds 'b': name"),
    "one deeper": (each("site1/cat", "site1/dog", "site2/cat", "site2/dog"), "each with a folder 'cat': nothing says"),
    "folds": (each("fold0/a", "fold0/b", "fold1/b", "fold1/c"), "'fold0', 'fold1' without images of their own"),
    "loose images": ([*each("cat", "dog"), "x.png"], r"holds 1 images \('x.png'\) beside its class folders"),
    "flat": (["1.png", "2.png"], "holds 2 images and no class folders: expected"),
    "flat with a table": (["1.png", "labels.csv"], "no class folders, and 'labels.csv', which is not read: expected"),
    "a table alone": (["labels.csv"], "holds no class folders, and 'labels.csv', which is not read"),
    "YOLO": ([*each("images"), "labels/1.txt"], "of which 'labels' holds no pictures: annotations of detection"),
    "COCO's annotations": ([*each("cat", "dog"), "Annotations/x.json"], "'Annotations' holds no pictures"),
    "two cases": (each("Cat", "cat", "dog"), "holds 'Cat', 'cat', one class in several spellings"),
    "a blank at the end": (each("cat", "cat ", "dog"), "'cat', 'cat ', one class in several spellings"),
    "composed and not": (each("caf\u00e9", "cafe\u0301", "tea"), "one class in several spellings"),
    "leading zeros": (each("1", "01", "2"), "'01', '1', one class in several spellings"),
    "an empty class": ([*each("cat", "dog"), "owl/"], "class folder .*owl holds no images"),
    "hidden alone": ([".cat/1.png"], "holds no class folders"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_layout_that_is_not_understood_is_refused_with_what_was_seen_by_every_verb(kind, tmp_path):
    files, message = REFUSED[kind]
    root = laid(tmp_path / "data", *files)
    with pytest.raises(DataError, match=message):
        opened(root)  # run, plan, finetune and probe
    with pytest.raises(DataError, match=message):
        judged_at(PlaceSaid(path=str(root)))  # evaluate
    good = laid(tmp_path / "good", *each("cat", "dog"))
    with pytest.raises(DataError, match=message):
        opened(good, report_path=str(root))


UNDERSTOOD = {
    "class folders": (each("cat", "dog"), ("cat", "dog")),
    "sub-folders of classes": (each("cat/a", "cat/b", "dog/c"), ("cat", "dog")),
    "one and the same sub-folder": (each("cat/images", "dog/images", "owl/images"), ("cat", "dog", "owl")),
    "mixed suffixes": (each("cat", suffix=".PNG") + each("dog", suffix=".Jpg"), ("cat", "dog")),
    "what systems leave": (
        [*each("cat", "dog"), "__MACOSX/cat/._1.png", "Thumbs.db", "cat/Thumbs.db", "cat/.DS_Store", "dog/desktop.ini"],
        ("cat", "dog"),
    ),
    "a file beside": ([*each("cat", "dog"), "LICENSE", "README.md"], ("cat", "dog")),
    "train and test": (each("train/cat", "train/dog", "test/cat"), ("cat", "dog")),
    "train and valid": (each("train/cat", "train/dog", "valid/cat", "valid/dog"), ("cat", "dog")),
    "capitals": (each("Train/cat", "Train/dog", "Test/cat"), ("cat", "dog")),
    "all capitals": (each("TRAIN/cat", "TRAIN/dog", "VALID/cat"), ("cat", "dog")),
    "training and testing": (each("training/cat", "training/dog", "testing/cat"), ("cat", "dog")),
    "train alone": (each("train/cat", "train/dog"), ("cat", "dog")),
    "a class called train": (each("bus", "train", "tram"), ("bus", "train", "tram")),
    "letters of both cases": (each("A", "a", "b"), ("A", "a", "b")),
    "names that begin like parts": (each("trainer", "testament", "valley"), ("testament", "trainer", "valley")),
}


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_a_layout_that_is_understood_has_the_classes_of_its_folders(kind, tmp_path):
    files, names = UNDERSTOOD[kind]
    source = opened(laid(tmp_path / "data", *files))
    assert source.class_names == names
    assert set(source.batch("train", np.arange(source.split_sizes["train"])).fields["label"].tolist()) == set(
        range(len(names))
    )


def test_a_part_that_is_not_used_is_said(tmp_path, caplog):
    opened(laid(tmp_path / "data", *each("train/cat", "train/dog", "test/cat", "val/dog")))
    assert "val of" in caplog.text
    assert "is not used: the report split is test" in caplog.text


def test_parts_in_one_folder_of_parquet_are_not_mixed(tmp_path):
    rows = [(seed % 3, encoded(picture(seed))) for seed in range(20)]
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", rows[:8])
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", rows[8:16])
    open_source(ImagesSpec(path=str(tmp_path / "data"), **HELD_OUT))
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", rows[16:])
    whole = open_source(ImagesSpec(path=str(tmp_path / "data"), **HELD_OUT))
    assert whole.split_sizes == {"train": 14, "select": 2, "report": 4}
    globbed = ImagesSpec(path=f"{tmp_path}/data/train*", report_path=f"{tmp_path}/data/test*", **HELD_OUT)
    assert open_source(globbed).fingerprint == whole.fingerprint
    for pattern in ("*", "*.parquet", "{train-00000-of-00002,train-00001-of-00002,test-00000-of-00001}.parquet"):
        assert open_source(ImagesSpec(path=f"{tmp_path}/data/{pattern}", **HELD_OUT)).fingerprint == whole.fingerprint
    with pytest.raises(DataError, match=r"names .*/test-1.parquet, which is not there"):
        open_source(ImagesSpec(path=f"{tmp_path}/data/{{train-00000-of-00002,test-1}}.parquet", **HELD_OUT))
    write_parquet(tmp_path / "data" / "more.parquet", rows[:3])
    with pytest.raises(DataError, match=r"holds parts of a data set, .*, and nothing says which to train on"):
        open_source(ImagesSpec(path=str(tmp_path / "data"), **HELD_OUT))


@pytest.mark.parametrize("form", ["webdataset_json", "tar_of_folders"])
@pytest.mark.parametrize(
    "names", [("train-000", "val-000"), ("flowers_train", "flowers_valid"), ("x-training", "x-test")]
)
def test_tars_called_after_parts_are_not_mixed(tmp_path, names, form):
    rows = [(CLASSES[seed % 3], encoded(picture(seed))) for seed in range(20)]
    for name, own in zip(names, (rows[:14], rows[14:]), strict=True):
        FORMATS[form](tmp_path / name, own)
        next((tmp_path / name).glob("*.tar")).rename(tmp_path / f"{name}.tar")
    column = "kind" if form == "webdataset_json" else None
    train, report = stores_at(PlaceSaid(path=f"{tmp_path}/{{{','.join(names)}}}.tar", label_column=column))
    assert report is not None
    assert (len(train.labels), len(report.labels)) == (14, 6)


@pytest.mark.parametrize("note", ["photos/README.txt", "photos/cat/0.txt", "photos/cat/0.json", "photos/labels.json"])
def test_a_note_in_a_tar_of_class_folders_makes_no_samples_of_them(tmp_path, note):
    rows = [(CLASSES[seed % 3], encoded(picture(seed))) for seed in range(12)]
    place = FORMATS["tar_of_folders"](tmp_path / "data", rows)
    with tarfile.open(place.path, "a") as archive:
        put(archive, note, b"{}")
    assert table_of(judged_at(place)) == expected_table(rows)


def test_texts_beside_all_pictures_of_class_folders_leave_them_classes(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for number in range(8):
            put(archive, f"{('cat', 'dog')[number % 2]}/{number}.png", encoded(picture(number)))
            put(archive, f"{('cat', 'dog')[number % 2]}/{number}.txt", b"0 0.5 0.5 1 1")
    assert judged_at(PlaceSaid(path=str(tmp_path / "x.tar"))).classes.names == ("cat", "dog")


def test_arrow_that_unpacks_to_any_size_is_refused(tmp_path):
    """A hundred MB of nothing in a few kilobytes."""
    rows = [(CLASSES[seed % 3], encoded(picture(seed))) for seed in range(9)]
    place = FORMATS["saved_to_disk"](tmp_path / "data", rows)
    table = pa.table({"image": pa.array([bytes(10**8)], pa.binary()), "label": [0]})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    for opened, name in ((pa.ipc.new_stream, "stream"), (pa.ipc.new_file, "file")):
        path = tmp_path / "data" / "train" / "data-00000-of-00002.arrow"
        with opened(str(path), table.schema, options=options) as writer:
            writer.write_table(table)
        assert path.stat().st_size < 10**5, name
        with pytest.raises(DataError, match="is compressed, so that it cannot be mapped"):
            judged_at(place)


def test_a_tar_whose_header_is_as_large_as_a_file_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("cat/1.png")
        info.pax_headers = {"comment": "x" * 2**21}
        archive.addfile(info)
    with pytest.raises(DataError, match=r"a header of 2,097,\d+ bytes, expected at most 1,048,576"):
        judged_at(PlaceSaid(path=str(tmp_path / "x.tar")))


def test_hidden_files_and_classes_stay_as_they_were(tmp_path):
    assert (
        opened(write_folder(tmp_path, [(seed % 3, encoded(picture(seed))) for seed in range(9)])).class_names == CLASSES
    )
