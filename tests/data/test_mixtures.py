"""Mixtures of sources: classes joined by name, splits joined whole, shares exact, and one name for one content."""

import dataclasses
import logging
import shutil

import numpy as np
import pytest
from small_pictures import encoded, picture, write_folder, write_parquet
from tests.narrowed import of_kind

from levelfield.data.arranged import examples_an_epoch, training_order
from levelfield.data.audit import expected_audit
from levelfield.data.canonical import digest_of
from levelfield.data.classes import Classes, join_classes
from levelfield.data.loader import Loader
from levelfield.data.mixture import MixtureOrder
from levelfield.data.sources import open_source
from levelfield.data.sources.mixture import MixtureSource
from levelfield.data.sources.splits import ImageSource
from levelfield.records.codec import from_plain, to_plain
from levelfield.records.data import (
    DigitPairsSpec,
    DigitsSpec,
    FractalsSpec,
    ImagesSpec,
    MaskedImagesSpec,
    MixturePart,
    MixtureSpec,
    at_resolution,
    data_content,
    data_identity,
    num_report_asked,
)
from levelfield.records.errors import DataError, SpecError
from levelfield.testing.sources import check_source

HELD = {"resolution": 8, "select_examples": 3, "report_examples": 4, "augment": "none"}
DIGITS = DigitsSpec(augment="none")


def folder(root, labels, first=0, **more) -> ImagesSpec:
    """Pictures of ``labels``, told apart by the seeds that follow ``first``."""
    rows = [(label, encoded(picture(first + place))) for place, label in enumerate(labels)]
    return ImagesSpec(path=str(write_folder(root, rows)), **{**HELD, **more})


def mixed(*parts, weights=None) -> MixtureSpec:
    weights = weights or [None] * len(parts)
    return MixtureSpec(parts=tuple(MixturePart(data=p, weight=w) for p, w in zip(parts, weights, strict=True)))


def opened(spec: MixtureSpec) -> MixtureSource:
    return of_kind(MixtureSource, open_source(spec))


@pytest.fixture
def two(tmp_path) -> tuple[ImagesSpec, ImagesSpec]:
    """The first has apple and bee, the second bee and cat."""
    return folder(tmp_path / "one", [0, 1] * 10), folder(tmp_path / "two", [1, 2] * 15, first=100)


def test_a_mixture_is_a_source_as_any_other(two):
    check_source(open_source(mixed(*two, weights=[2, 1])))
    check_source(open_source(mixed(*two)))


def test_classes_are_joined_by_name_and_every_label_means_its_own(two):
    source = opened(mixed(*two))
    assert source.class_names == ("apple", "bee", "cat")
    assert source.fields.num_classes == 3
    for split, size in source.split_sizes.items():
        whole = source.batch(split, np.arange(size)).fields
        own = [open_source(part).batch(split, np.arange(open_source(part).split_sizes[split])).fields for part in two]
        names = [name for part, place in zip(own, (0, 1), strict=True) for name in part["label"] + place]
        assert whole["label"].tolist() == names
        assert np.array_equal(whole["image"], np.concatenate([part["image"] for part in own]))


def test_held_out_splits_are_those_of_the_parts_joined_whatever_the_weights(two):
    spec = mixed(*two, weights=[1, 9])
    source = opened(spec)
    assert source.split_sizes == {"train": 13 + 23, "select": 6, "report": 8}
    assert (spec.select_examples, num_report_asked(spec)) == (6, 8)


def test_shares_are_exact_over_a_run_and_each_part_keeps_its_epochs(two):
    source = opened(mixed(*two, weights=[6, 2]))
    order = training_order(source, seed=3)
    assert isinstance(order, MixtureOrder)
    assert order.weights == (3, 1)
    batches = iter(Loader(source, order=order, global_batch_size=4))
    ids = np.concatenate([next(batches).ids for _ in range(13)])
    assert all((block < 13).sum() == 3 for block in ids.reshape(13, 4))
    assert (np.bincount(ids[ids < 13]) == 3).all()
    assert len(np.unique(ids[ids >= 13])) == 13


def test_an_epoch_is_that_of_the_part_that_is_used_up_first(two):
    assert examples_an_epoch(opened(mixed(*two, weights=[3, 1]))) == 13 * 4 // 3
    assert examples_an_epoch(opened(mixed(*two, weights=[1, 3]))) == 23 * 4 // 3
    assert examples_an_epoch(opened(mixed(*two))) == 36


def test_without_weights_every_example_is_seen_once_an_epoch(two):
    source = opened(mixed(*two))
    order = training_order(source, 0)
    assert sorted(order.ids(np.arange(36))[1].tolist()) == list(range(36))


def test_nested_subsets_keep_the_shares(two):
    source = opened(mixed(*two, weights=[1, 2]))
    small, large = (set(training_order(source, 1, size).ids(np.arange(size))[1].tolist()) for size in (6, 15))
    assert small < large
    assert sum(example < 13 for example in large) == 5
    with pytest.raises(ValueError, match="cannot be drawn from 13"):
        training_order(source, 1, 45)


def test_equal_shares_and_equal_content_are_one_mixture_from_any_container(two, tmp_path):
    rows = [(label, encoded(picture(place))) for place, label in enumerate([0, 1] * 10)]
    parquet = ImagesSpec(path=str(write_parquet(tmp_path / "x.parquet", rows)), **HELD)
    with_names = mixed(two[0], DIGITS, weights=[2, 4]), mixed(parquet, DIGITS, weights=[1, 2])
    assert data_identity(with_names[0]) == data_identity(with_names[1])
    here = mixed(*two, weights=[1, 2])
    assert opened(here).fingerprint != opened(mixed(*two, weights=[1, 3])).fingerprint
    assert opened(here).fingerprint != opened(mixed(*two[::-1], weights=[1, 2])).fingerprint
    assert opened(here).fingerprint == opened(mixed(*two, weights=[5, 10])).fingerprint


def test_what_its_specs_leave_open_is_named_by_content(two):
    assert data_content(mixed(*two), "x") == "x"
    assert data_content(mixed(DigitPairsSpec(resolution=8), DigitsSpec()), "x") is None


def test_grey_beside_colour_is_shown_in_three_equal_channels(two, tmp_path):
    numbered = (tmp_path / "one").rename(tmp_path / "numbered")
    (numbered / "apple").rename(numbered / "3")
    (numbered / "bee").rename(numbered / "10")
    source = opened(mixed(dataclasses.replace(two[0], path=str(numbered)), DIGITS))
    assert source.class_names == ("10", "3", *"012456789"), "by number, though folders are sorted as text"
    assert source.in_channels == 3
    shown = source.batch("report", np.array([4, 5])).fields["image"]
    alone = open_source(DIGITS).batch("report", np.array([0, 1])).fields["image"]
    assert np.array_equal(shown, np.repeat(alone, 3, axis=1))


def test_fractals_beside_pictures_are_classes_of_their_own(two):
    drawn = FractalsSpec(num_classes=3, resolution=8, select_examples=5, report_examples=6)
    source = opened(mixed(two[0], drawn, weights=[2, 1]))
    assert source.class_names == ("apple", "bee", "fractal 0", "fractal 1", "fractal 2")
    labels = source.batch("report", np.arange(10)).fields["label"]
    assert set(labels[:4].tolist()) <= {0, 1}
    assert set(labels[4:].tolist()) <= {2, 3, 4}


def test_the_same_place_in_two_parts_is_augmented_differently(two):
    moved = [dataclasses.replace(part, augment="crop-flip") for part in (two[0], two[0])]
    source = opened(mixed(moved[0], dataclasses.replace(moved[1], seed=0)))
    keys = np.full(13, 7, dtype=np.uint64)
    first, second = (source.batch("train", np.arange(13) + start, keys).fields["image"] for start in (0, 13))
    assert not np.array_equal(first, second)


def test_a_run_of_a_mixture_does_not_depend_on_how_it_is_cut(two):
    source = opened(mixed(*two, weights=[2, 1]))
    order = training_order(source, 5, multiplicity=2)
    whole = expected_audit(order, 0, 60)
    seen = [batch for batch, _ in zip(Loader(source, order=order, global_batch_size=20), range(1), strict=False)]
    ranks = [
        next(iter(Loader(source, order=order, global_batch_size=40, start_examples=20, rank=rank, world_size=2)))
        for rank in (0, 1)
    ]
    audit = expected_audit(order, 0, 0)
    for batch in (*seen, *ranks):
        audit = batch.audited(audit)
    assert audit == whole


@pytest.mark.parametrize("shared", [0, 1, 4])
def test_held_out_pictures_trained_on_in_another_part_are_told_and_refused_where_all_are(shared, two, tmp_path, caplog):
    """Of the four report pictures of the first part so many lie in the second, too."""
    held = of_kind(ImageSource, open_source(two[0]))
    report = {bytes(digest) for digest in held.digests("report")}
    files = [path for path in sorted((tmp_path / "one").rglob("*.png")) if digest_of(path.read_bytes()) in report]
    assert len(files) == 4
    other = tmp_path / "two"
    for path in files[:shared]:
        shutil.copy(path, other / "bee" / f"again-{path.name}")
    mixture = mixed(two[0], dataclasses.replace(two[1], select_examples=1, report_examples=1, seed=5))
    if shared == 4:
        with pytest.raises(DataError, match="every report picture of part 1"):
            opened(mixture)
        return
    with caplog.at_level(logging.WARNING):
        remarks = opened(mixture).remarks
    told = [remark for remark in remarks if "are trained on in part 2" in remark]
    assert len(told) == (shared > 0)
    assert all(remark.startswith("1 report pictures of part 1") for remark in told)
    assert set(told) <= {record.message for record in caplog.records}


def test_names_that_others_would_sort_otherwise_are_not_taken_for_numbers(tmp_path):
    for place in range(20):
        file = tmp_path / f"{place % 10 + 1}th" / f"{place}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encoded(picture(place)))
    with pytest.raises(DataError, match="nothing says which is which"):
        opened(mixed(DIGITS, ImagesSpec(path=str(tmp_path), **HELD)))


def test_a_mixture_is_read_and_written_as_it_is_said():
    plain = {
        "source": "mixture",
        "parts": [
            {"weight": 3, "data": {"source": "digits", "resolution": 16}},
            {"weight": 1, "data": {"source": "fractals", "resolution": 16}},
        ],
    }
    spec = from_plain(MixtureSpec, plain)
    assert from_plain(MixtureSpec, to_plain(spec)) == spec
    assert at_resolution(spec, 24).resolution == 24
    assert spec.weights == (3, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixed(DIGITS), "parts must be from 2 to 64, saw 1"),
        (lambda: mixed(DIGITS, DIGITS, weights=[1, None]), "said of every part or of none"),
        (lambda: mixed(DIGITS, DIGITS, weights=[1, 0]), "a whole number from 1"),
        (lambda: mixed(DIGITS, DIGITS, weights=[1, 10_000]), "add up to 10000"),
        (lambda: mixed(DIGITS, DigitsSpec(resolution=16)), "resolution must be the same for every part"),
        (lambda: mixed(DIGITS, MaskedImagesSpec(path="x", resolution=8)), "data must be"),
        (lambda: mixed(DIGITS, ImagesSpec(**HELD, path="x", block_examples=8)), "block_examples"),
        (lambda: mixed(DIGITS, mixed(DIGITS, DIGITS)), "data"),
    ],
)
def test_what_is_no_mixture_is_refused_with_the_value(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def named(*names, of="part") -> Classes:
    return Classes(names=names, of=of)


def test_classes_of_parts_are_joined_by_name_by_number_and_never_by_guess():
    names, places, hows = join_classes([named("bee", "ape"), named("cat", "ape"), named("bee", "dog")])
    assert names == ("bee", "ape", "cat", "dog")
    assert [place.tolist() for place in places] == [[0, 1], [2, 1], [0, 3]]
    assert hows == ("name", "name")
    names, places, hows = join_classes(
        [named("0", "1"), Classes(names=("1", "10", "2"), of="part", sorted_as_text=True)]
    )
    assert names == ("0", "1", "10", "2")
    assert (places[1].tolist(), hows) == ([1, 2, 3], ("number",))
    names, places, hows = join_classes([named("ape", "bee"), named("0", "1")])
    assert (names, places[1].tolist(), hows) == (("ape", "bee"), [0, 1], ("number",))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((named("ape", "bee"), named("Ape", "cat")), "call a class 'ape', 'Ape'"),
        ((named("ape", "bee"), named("0", "2")), "no class '2'"),
        ((named("ape", "ape"), named("ape", "cat")), "twice"),
        ((named("0", "2"), named("ape", "bee", "cat")), "nothing says which is which"),
    ],
)
def test_classes_that_nothing_joins_are_refused(parts, message):
    with pytest.raises(DataError, match=message):
        join_classes(parts)
