"""Which class is which: by name, by number, or refused with what either side has alone."""

import json
import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_pictures import encoded, picture

from levelfield.data.classes import Classes, match_classes, spellings
from levelfield.data.sources import open_source
from levelfield.data.sources.splits import stratified
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError

NUMBERS = tuple(map(str, range(12)))


def places(theirs, ours, *, used=None, folders=False):
    found, how = match_classes(
        Classes(names=tuple(theirs), of="theirs", sorted_as_text=folders),
        Classes(names=tuple(ours), of="ours"),
        range(len(theirs)) if used is None else used,
    )
    return found.tolist(), how


def test_names_are_matched_by_name_whatever_their_order():
    assert places(("cat", "dog", "owl"), ("owl", "dog", "cat", "fox")) == ([2, 1, 0], "name")
    assert places(("cat", "yak", "owl"), ("cat", "owl"), used=(0, 2)) == ([0, -1, 1], "name"), "no image is a yak"
    assert places(("caf\u00e9", "x"), ("x", "cafe\u0301"))[0] == [1, 0], "composed or not"


def test_numbers_are_matched_by_number_whatever_their_spelling_and_order():
    as_text = tuple(sorted(NUMBERS))
    assert places(as_text, NUMBERS, folders=True) == ([int(name) for name in as_text], "number")
    assert places(NUMBERS, as_text)[0] == [as_text.index(name) for name in NUMBERS]
    assert places(("00", "01", "11"), NUMBERS, folders=True)[0] == [0, 1, 11]
    assert places(("2020", "2019"), ("2019", "2020"))[0] == [1, 0]
    letters = tuple(sorted(f"class_{number}" for number in NUMBERS))
    assert places(letters, NUMBERS, folders=True) == ([int(name[6:]) for name in letters], "number")
    assert places(NUMBERS, letters)[0] == [letters.index(f"class_{name}") for name in NUMBERS]


def test_numbers_and_names_meet_by_place_alone():
    assert places(("0", "2"), ("cat", "dog", "owl")) == ([0, 2], "number")
    assert places(("cat", "dog", "owl"), ("0", "1", "2"), folders=True) == ([0, 1, 2], "order")
    assert places(("n01440764", "n01443537"), ("0", "1"), folders=True) == ([0, 1], "order"), "wordnet's are names"


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (("cat", "dgo"), ("dog", "cat"), r"has no class 'dgo' \(did you mean 'dog'\?\); without .* in theirs: 'dog'"),
        (("Cat", "dog"), ("cat", "dog"), r"has no class 'Cat' \(did you mean 'cat'\?\)"),
        (("1", "2", "3"), ("0", "1", "2"), r"no class '3' \(it has the numbers 0 to 2; labels count from 0\).*: '0'"),
        (("1", "2", "3"), ("cat", "dog", "owl"), r"no class '3' \(it has the numbers 0 to 2; .*: 'cat'"),
        (("cat", "dog"), ("0", "1", "2"), r"names its 2 classes \('cat', 'dog'\) and ours numbers 3: nothing says"),
        (("a1", "a10", "a2"), ("0", "1", "2"), "nothing says which is which"),
        (("cat", "dog"), ("1", "0"), "nothing says which is which"),
        (("00", "01", "stranger"), ("0", "1", "2"), "nothing says which is which"),
        (("\u00e9t\u00e9", "tea"), ("0", "1"), "nothing says which is which"),
        (("crane", "dog"), ("crane", "dog", "crane"), "ours has the class 'crane' twice"),
        (("1", "01"), NUMBERS, "theirs has the class '1' twice"),
    ],
)
def test_what_nothing_decides_is_refused_with_what_either_has_alone(theirs, ours, message):
    with pytest.raises(DataError, match=message):
        places(theirs, ours, folders=True)


@pytest.mark.parametrize("theirs", [("0", "10", "2"), ("c_0", "c_2", "c_1")])
def test_labels_whose_names_are_other_numbers_are_refused_where_only_numbers_are_known(theirs):
    with pytest.raises(DataError, match=r"calls label 1 '.*', and ours has numbers alone: nothing says"):
        places(theirs, NUMBERS)
    assert places(theirs, theirs)[0] == [0, 1, 2], "named on both sides"


def test_folders_of_numbers_and_folders_of_names_do_not_meet():
    numbered = Classes(names=("0", "1"), of="the training part", sorted_as_text=True)
    with pytest.raises(DataError, match="nothing says which is which"):
        match_classes(Classes(names=("cat", "dog"), of="held-out", sorted_as_text=True), numbered, range(2))


def test_one_class_in_several_spellings_is_found():
    def same(*names):
        return list(spellings(names).values())

    assert same("Cat", "dog", "cat ") == [["Cat", "cat "]]
    assert same("caf\u00e9", "cafe\u0301") == [["caf\u00e9", "cafe\u0301"]]
    assert same("1", "01", "10") == [["1", "01"]]
    assert same("a", "A", "b") == [], "handwriting tells letters apart by case"


# A picture's class can be read off it: its colour is its class's.
def coloured(label: int, seed: int) -> bytes:
    pixels = np.asarray(picture(seed, (8, 8))).copy()
    pixels[...] = np.array([20 * label, 255 - 20 * label, seed % 251], dtype=np.uint8)
    from PIL import Image

    return encoded(Image.fromarray(pixels))


def parquet(file, labels, *, seed, names=None, classes=None):
    """Pictures of the classes ``classes[label]``, of which column "label" says ``label``."""
    classes = classes or list(range(max(labels) + 1))
    content = [coloured(classes[label], seed + place) for place, label in enumerate(labels)]
    table = pa.table({"image": pa.array(content, pa.binary()), "label": labels})
    if names is not None:
        table = table.replace_schema_metadata({"class_names": json.dumps(names)})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return str(file)


def folder(root, names, *, seed, each=4):
    """``names`` says which class's pictures lie in a folder."""
    for place, (name, label) in enumerate(names.items()):
        (root / name).mkdir(parents=True)
        for number in range(each):
            (root / name / f"{number}.png").write_bytes(coloured(label, seed + 100 * place + number))
    return str(root)


def opened(path, report=None, *, select=3, num_report=3, **more):
    held_out: Any = {"select_examples": select, "report_examples": num_report}
    return open_source(ImagesSpec(path=path, report_path=report, resolution=8, augment="none", **held_out, **more))


def assert_every_label_is_its_pictures(source, classes):
    """``classes[label]`` is the class whose colour a picture of that label must have, in every split."""
    for split, size in source.split_sizes.items():
        found = source.batch(split, np.arange(size))
        assert [int(image[0, 0, 0]) // 20 for image in found.fields["image"]] == [
            classes[label] for label in found.fields["label"]
        ]


def test_held_out_label_names_in_another_order_are_matched_by_name(tmp_path):
    train = parquet(tmp_path / "a.parquet", [0, 1, 2] * 5, seed=0, names=["ant", "bee", "cat"])
    held_out = parquet(tmp_path / "b.parquet", [0, 1, 2], seed=90, names=["cat", "ant", "bee"], classes=[2, 0, 1])
    assert_every_label_is_its_pictures(opened(train, held_out), [0, 1, 2])
    named = parquet(tmp_path / "c.parquet", [0, 1, 2], seed=90, names=["cat", "ant", "yak"], classes=[2, 0, 1])
    with pytest.raises(DataError, match=r"no class 'yak' \(known: ant, bee, cat\); without .*: 'bee'"):
        opened(train, named)


def test_numbered_folders_keep_their_order_and_meet_others_by_number(tmp_path, caplog):
    train = folder(tmp_path / "a", {str(label): label for label in range(12)}, seed=0)
    held_out = folder(tmp_path / "b", {f"{label:02}": label for label in range(12)}, seed=7000, each=1)
    source = opened(train, held_out)
    assert source.class_names == tuple(sorted(NUMBERS)), "as torchvision sorts them"
    assert_every_label_is_its_pictures(source, [int(name) for name in source.class_names])
    assert "matched to those of" in caplog.text


def test_labels_that_training_lacks_are_refused(tmp_path):
    train = parquet(tmp_path / "a.parquet", [0, 1, 3] * 4, seed=0)
    for labels, seen in (([0, 4], "'4'"), ([0, 1, 2], "'2'")):
        held_out = parquet(tmp_path / "b.parquet", labels, seed=90)
        with pytest.raises(DataError, match=f"class {seen}"):
            opened(train, held_out)


def test_classes_without_a_picture_and_labels_from_one_are_said(tmp_path, caplog):
    source = opened(parquet(tmp_path / "a.parquet", [1, 2, 3] * 4, seed=0))
    (remark,) = source.remarks
    assert "1 of 4 classes have no image, '0', so" in remark
    assert "labels run from 1 to 3: subtract 1 where they should start at 0" in remark
    assert remark in caplog.text
    source = opened(parquet(tmp_path / "b.parquet", [0, 1, 3] * 4, seed=0))
    assert source.remarks[0].endswith("have no image, '2', so the network cannot learn them")
    assert opened(parquet(tmp_path / "c.parquet", [0, 1, 2] * 4, seed=0)).remarks == ()


def test_absurd_labels_and_too_few_names_are_refused(tmp_path):
    with pytest.raises(DataError, match="labels up to 999, so 1000 classes, of 12 images"):
        opened(parquet(tmp_path / "a.parquet", [0, 1, 999] * 4, seed=0, classes=[0] * 1000))
    with pytest.raises(DataError, match=r"has the label 2, but names 2 classes"):
        opened(parquet(tmp_path / "b.parquet", [0, 1, 2] * 4, seed=0, names=["ant", "bee"]))


def test_files_of_one_table_must_name_the_same_classes(tmp_path):
    parquet(tmp_path / "t" / "a.parquet", [0, 1] * 5, seed=0, names=["ant", "bee"])
    parquet(tmp_path / "t" / "b.parquet", [0, 1] * 5, seed=50, names=["bee", "ant"])
    with pytest.raises(DataError, match="must name the same classes in the same order"):
        open_source(ImagesSpec(path=str(tmp_path / "t"), resolution=8, select_examples=2, report_examples=2))


def test_a_class_of_one_picture_is_trained_whatever_the_seed(tmp_path):
    labels = [0] * 40 + [1, 2, 2]
    file = parquet(tmp_path / "a.parquet", labels, seed=0)
    stratify = set()
    for seed in range(12):
        source = opened(file, select=10, num_report=10, seed=seed)
        trained = source.batch("train", np.arange(source.split_sizes["train"]))
        assert set(trained.fields["label"].tolist()) == {0, 1, 2}
        everything = [source.batch(split, np.arange(size)) for split, size in source.split_sizes.items()]
        assert len({image.tobytes() for each in everything for image in each.fields["image"]}) == len(labels)
        assert_every_label_is_its_pictures(source, [0, 1, 2])
        stratify.add(bool(source.remarks))
    assert stratify == {False, True}, "the plain draw stands where it leaves every class something"


def test_fewer_training_images_than_classes_are_refused(tmp_path):
    file = parquet(tmp_path / "a.parquet", [0, 1, 2, 3] * 2, seed=0)
    with pytest.raises(DataError, match="leave 2 of 4 classes to train on: lower them"):
        opened(file, select=3, num_report=3)


def test_any_run_of_stratified_ranks_takes_its_share_of_every_class():
    draw = np.random.default_rng(0)
    labels = draw.permutation(np.repeat([0, 1, 2, 4], [600, 300, 99, 1]))
    order = stratified(labels, draw.permutation(1000))
    assert sorted(order.tolist()) == list(range(1000))
    for first in (0, 137, 500):
        counts = np.bincount(labels[order[first : first + 200]], minlength=5)
        assert np.abs(counts - [120, 60, 20, 0, 0]).max() <= 2
    assert set(labels[order[-4:]].tolist()) == {0, 1, 2, 4}


def test_nothing_is_said_of_data_without_a_fault(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        opened(folder(tmp_path / "a", {"ant": 0, "bee": 1, "cat": 2}, seed=0))
    assert caplog.text == ""
