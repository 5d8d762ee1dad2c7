"""Folds: every image but those that select judges exactly once, by a network that was not trained on it."""

import dataclasses

import numpy as np
import pytest
from small_pictures import encoded, picture, write_folder

from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec, in_fold, placed_as
from levelfield.records.drawn import DigitPairsSpec
from levelfield.records.errors import DataError, InputError


def folder(root, counts=(22, 21, 20)):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return write_folder(root, [(label, encoded(picture(number))) for number, label in enumerate(labels)])


def spec(path, **changed):
    said = {"path": str(path), "resolution": 8, "select_examples": 9, "folds": 5, "augment": "none", **changed}
    return ImagesSpec(**said)


def pictures_of(source, split):
    return [bytes(row) for row in source.digests(split)]


@pytest.fixture
def folds(tmp_path):
    data = spec(folder(tmp_path / "pictures"))
    return [open_source(in_fold(data, fold)) for fold in range(5)]


def test_every_image_that_does_not_select_judges_once_and_what_division_leaves_over_trains(folds):
    judged = [each for source in folds for each in pictures_of(source, "report")]
    selects = {tuple(pictures_of(source, "select")) for source in folds}
    assert len(judged) == len(set(judged)) == 50, "63 less 9 that select, in 5 equal folds"
    assert len(selects) == 1, "what selects is the same for all"
    assert not set(judged) & set(*selects)


def test_no_network_is_judged_on_what_it_was_trained_on_and_all_the_rest_trains(folds):
    everything = set().union(*(pictures_of(folds[0], split) for split in ("train", "select", "report")))
    assert len(everything) == 63
    for source in folds:
        parts = [pictures_of(source, split) for split in ("train", "select", "report")]
        assert set().union(*parts) == everything
        assert [len(part) for part in parts] == [44, 9, 10] == list(source.split_sizes.values())


def test_each_fold_has_its_share_of_every_class(folds):
    for source in folds:
        labels = source.batch("report", np.arange(10)).fields["label"]
        assert np.abs(np.bincount(labels, minlength=3) - 10 / 3).max() < 1.4


def test_a_class_that_a_fold_would_leave_untrained_is_refused(tmp_path):
    data = spec(folder(tmp_path / "pictures", (30, 30, 1)))
    with pytest.raises(DataError, match=r"'cat' have so few images.*one of 5 folds"):
        open_source(data)


def test_data_with_held_out_images_of_its_own_takes_no_folds(tmp_path):
    for part in ("train", "test"):
        folder(tmp_path / "pictures" / part)
    with pytest.raises(DataError, match=r"report split of its own.*leave out folds"):
        open_source(spec(tmp_path / "pictures"))


@pytest.mark.parametrize(
    "changed", [{"folds": 1}, {"folds": 101}, {"fold": 5}, {"fold": -1}, {"report_examples": 9}, {"report_path": "x"}]
)
def test_folds_that_cannot_be_meant_are_refused(changed):
    with pytest.raises(InputError, match=r"fold|report"):
        spec("pictures", **changed)


def test_without_folds_there_is_none_to_choose():
    plain = spec("pictures", folds=None)
    assert in_fold(plain, 3) == plain
    with pytest.raises(InputError, match="fold"):
        dataclasses.replace(plain, fold=1)


def test_data_that_has_moved_keeps_the_fold_and_the_augmentation_that_a_trial_was_of():
    trial = in_fold(spec("old", augment="crop-flip", randaugment="rand-m6-n2"), 3)
    here = spec("new", label_column="kind")
    assert placed_as(trial, here) == dataclasses.replace(trial, path="new", label_column="kind")
    assert placed_as(trial, DigitPairsSpec()) == DigitPairsSpec(), "other data altogether is told by its content"
