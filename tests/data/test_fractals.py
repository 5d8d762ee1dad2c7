"""Fractals: any number of classes by index, balanced, separable, never the same held out, equal on every device."""

import dataclasses

import numpy as np
import pytest
import torch

from levelfield.data.draws import key_words
from levelfield.data.generated import fractals
from levelfield.data.generated.chaos import points_of, to_pixels
from levelfield.data.generated.fractal_renderer import fractals_on
from levelfield.data.generated.fractals import Fractals
from levelfield.data.generated.iterated import LARGEST_SINGULAR, systems_of
from levelfield.data.source import Source
from levelfield.data.sources import open_source
from levelfield.records.data import Split
from levelfield.records.drawn import FractalsSpec
from levelfield.records.errors import SpecError
from levelfield.testing.sources import check_source

SPEC = FractalsSpec(num_classes=40, resolution=32, report_examples=400, select_examples=80)
SOURCE = Fractals(SPEC)
KEY = key_words(1, "test")


def images(source: Source, split: Split, ids) -> np.ndarray:
    return np.asarray(source.batch(split, np.asarray(ids)).fields["image"])


def changed(**changes) -> Fractals:
    return Fractals(dataclasses.replace(SPEC, **changes))


def test_fractals_are_a_source_as_any_other():
    check_source(open_source(SPEC))
    check_source(changed(pattern="patch", resolution=16, label_noise=0.3))


def test_every_run_of_consecutive_ids_holds_each_class_equally_often():
    for split in ("train", "select", "report"):
        labels = SOURCE.batch(split, np.arange(80)).fields["label"]
        assert (np.bincount(labels) == 2).all()


def test_systems_contract_and_fill_some_of_the_picture():
    systems = systems_of(KEY, np.arange(60))
    matrices = systems[..., :4].reshape(60, -1, 2, 2) / 4096
    assert np.linalg.norm(matrices, ord=2, axis=(-2, -1)).max() < LARGEST_SINGULAR + 1e-3
    points = points_of(systems, KEY, np.arange(60), side=32)
    assert np.abs(points).max() < 2**17
    pixels = to_pixels(points, side=32)
    assert pixels.min() >= 0
    assert pixels.max() < 32 * 32
    filled = [len(np.unique(each)) / 1024 for each in pixels]
    assert np.mean(np.array(filled) > 0.15) > 0.9


def test_systems_do_not_depend_on_which_are_asked_for_together():
    together = systems_of(KEY, np.arange(20))
    assert np.array_equal(systems_of(KEY, np.array([13, 2])), together[[13, 2]])


def test_points_come_from_the_maps_as_plain_arithmetic_has_it():
    system = systems_of(KEY, np.array([3]))
    points = points_of(system, KEY, np.array([5]), side=32)[:, 0].T.astype(np.int64)
    images_of_all = [
        np.stack([((a * x + b * y) >> 12) + e, ((c * x + d * y) >> 12) + f], axis=-1)
        for a, b, c, d, e, f in system[0].astype(np.int64)
        for x, y in [points.T]
    ]
    known = set(map(tuple, points.tolist()))
    reached = {tuple(point) for each in images_of_all for point in each.tolist()}
    assert len(known & reached) > 0.9 * len(known), "a point is another one moved by some map; a chain's first is not"


def test_a_held_out_instance_is_never_one_that_is_trained_on():
    factors = {}
    for split in ("train", "select", "report"):
        plain = changed(variation=0.01, num_classes=2, select_examples=400)
        systems = plain.drawn(split, np.arange(400))[0].systems
        factors[split] = {each.tobytes() for each in systems[:, 0, :4].copy()}
    assert not factors["train"] & factors["report"]
    assert not factors["train"] & factors["select"]
    assert not factors["report"] & factors["select"]


def test_classes_are_told_apart_by_their_means_over_other_instances():
    train, ids = images(SOURCE, "train", np.arange(40 * 24)), np.arange(40 * 24) % 40
    both = np.stack([train, train[..., ::-1], train[:, :, ::-1], train[:, :, ::-1, ::-1]]).max(0)  # flips are no class
    means = np.stack([both[ids == label].mean(0).ravel() for label in range(40)])
    held = images(SOURCE, "report", np.arange(200))
    held = np.stack([held, held[..., ::-1], held[:, :, ::-1], held[:, :, ::-1, ::-1]]).max(0).reshape(200, -1)
    distances = ((held[:, None] - means[None]) ** 2).sum(-1)
    right = (distances.argmin(1) == np.arange(200) % 40).mean()
    assert right > 0.7, f"one in forty is chance, saw {right}"


def test_examples_at_the_end_of_four_billion_cost_what_the_first_do_and_are_others():
    long = changed(stream_examples=4 * 10**9)
    first, last = images(long, "train", np.arange(40)), images(long, "train", 4 * 10**9 - 40 + np.arange(40))
    assert np.array_equal(first, images(SOURCE, "train", np.arange(40)))
    assert not any(np.array_equal(a, b) for a, b in zip(first, last, strict=True))


def test_more_classes_than_are_kept_are_the_same_classes(monkeypatch):
    whole = images(SOURCE, "train", np.arange(40))
    monkeypatch.setattr(fractals, "MOST_KEPT", 8)
    assert np.array_equal(images(Fractals(SPEC), "train", np.arange(40)), whole)


def test_labels_are_exchanged_at_the_stated_rate_and_pictures_are_not():
    noisy = changed(label_noise=0.25, stream_examples=10**6)
    ids = np.arange(4000)
    assert np.array_equal(images(noisy, "train", ids[:20]), images(SOURCE, "train", ids[:20]))
    wrong = noisy.drawn("train", ids)[1] != ids % 40
    assert abs(wrong.mean() - 0.25) < 0.03


@pytest.mark.parametrize("pattern", ["point", "patch"])
def test_torch_renders_the_same_bits(pattern):
    source = changed(pattern=pattern)
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        made = fractals_on(source, torch.device(device))
        for split in ("train", "report"):
            tensor = made.batch(split, np.arange(48)).fields["image"]
            assert np.array_equal(tensor.cpu().numpy(), images(source, split, np.arange(48)))


def test_what_changes_a_picture_changes_the_fingerprint_and_lengths_do_not():
    assert changed(report_examples=9, stream_examples=99).fingerprint == SOURCE.fingerprint
    for change in ({"seed": 1}, {"num_classes": 41}, {"variation": 0.1}, {"pattern": "patch"}, {"resolution": 16}):
        assert changed(**change).fingerprint != SOURCE.fingerprint
    assert not np.array_equal(images(changed(seed=1), "train", [0]), images(SOURCE, "train", [0]))


def test_the_stream_is_frozen():
    pictures = images(SOURCE, "train", [0, 1, 2**39])
    assert [int(picture.astype(np.int64).sum()) for picture in pictures] == GOLDEN


GOLDEN = [42833, 87880, 75610]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"num_classes": 1}, "num_classes must be from 2"),
        ({"stream_examples": 39}, "stream_examples must be from 40, one a class"),
        ({"resolution": 4}, "resolution must be from 8"),
        ({"variation": 0.0}, "variation must be from 0.01"),
        ({"label_noise": 1.0}, "label_noise must be in"),
    ],
)
def test_what_cannot_be_drawn_is_refused(said, message):
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(SPEC, **said)
