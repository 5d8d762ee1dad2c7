"""Digit strings and plain digits: pure functions of the index, with disjoint glyphs and a known floor."""

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.narrowed import of_kind

from levelfield.data.arranged import training_order
from levelfield.data.draws import draw_bits, key_words, unit_interval
from levelfield.data.generated.digit_renderer import rendered_on
from levelfield.data.generated.digit_strings import DigitStrings
from levelfield.data.generated.glyphs import load_glyphs, split_glyphs
from levelfield.data.generated.label_noise import noisy_labels
from levelfield.data.generated.noise import NoiseBank
from levelfield.data.loader import Loader
from levelfield.data.order import Order
from levelfield.data.sources import open_source, open_source_once
from levelfield.records.data import DigitPairsSpec, DigitsSpec, DigitStringsSpec, Split
from levelfield.records.drawn import FewDigitsJudge
from levelfield.records.errors import SpecError
from levelfield.records.measure import Measure
from levelfield.tasks.classification import Classification

PAIRS = open_source(DigitPairsSpec())
MANY = PAIRS.batch("train", np.arange(20_000))
PLAIN = DigitPairsSpec(label_noise=0, noise_contrast=0, max_rotation_deg=0, max_shift=0, max_scale=1)


def ends_of(source) -> Measure:
    """The loss of telling the labels of ``source``, with its chance and its floor."""
    return Classification().measures(source.fields)[0]


@given(ids=st.lists(st.integers(0, 2**40 - 1), min_size=1, max_size=300), cut=st.integers(0, 300))
@settings(max_examples=30, deadline=None)
def test_an_example_does_not_depend_on_the_batch_it_comes_in(ids, cut):
    ids = np.array(ids)
    whole = PAIRS.batch("train", ids)
    for part in (slice(0, cut), slice(cut, None), slice(None, None, -1)):
        alone = PAIRS.batch("train", ids[part])
        assert np.array_equal(alone.fields["image"], whole.fields["image"][part])
        assert np.array_equal(alone.fields["label"], whole.fields["label"][part])


def test_the_stream_has_2_to_the_40_different_examples_at_hand():
    ids = np.array([0, 1, 2**40 - 1, 2**39])
    fields, valid = PAIRS.batch("train", ids)
    images, labels = fields["image"], fields["label"]
    assert images.shape == (4, 1, 32, 32)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert valid.all()
    assert len({image.tobytes() for image in MANY.fields["image"]}) == 20_000
    with pytest.raises(IndexError, match="1099511627776"):
        PAIRS.batch("train", np.array([2**40]))


def test_epochs_over_a_short_stream_repeat_the_very_same_pictures():
    short = open_source(DigitPairsSpec(stream_examples=50))
    ids, keys = np.arange(50), Order(num_examples=50, seed=0, fingerprint="x").augment_keys(np.arange(50))
    assert np.array_equal(short.batch("train", ids, keys).fields["image"], MANY.fields["image"][:50])


def test_glyphs_are_disjoint_between_splits_and_spread_over_the_digits():
    labels = load_glyphs().labels
    splits = split_glyphs(labels, report=270, select=270, seed=5)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(1797))
    for numbers in (splits["report"], splits["select"]):
        assert set(np.bincount(labels[numbers])) <= {26, 27, 28}


def test_held_out_pictures_show_only_glyphs_that_training_never_shows():
    plain = open_source(PLAIN)
    shown = {
        split: {image[:, :15].tobytes() for image in plain.batch(split, np.arange(4000)).fields["image"][:, 0]}
        for split in plain.split_sizes
    }
    assert len(shown["select"]) == len(shown["report"]) == 270
    assert not shown["train"] & shown["select"]
    assert not shown["train"] & shown["report"]
    assert not shown["select"] & shown["report"]


def test_an_undisturbed_picture_is_the_two_glyphs_side_by_side():
    plain = open_source(DigitPairsSpec(**{**vars(PLAIN), "resolution": 16}))
    fields, _ = plain.batch("train", np.arange(200))
    images, labels = fields["image"], fields["label"]
    known = {glyph.tobytes(): label for glyph, label in zip(load_glyphs().pixels, load_glyphs().labels, strict=True)}
    glyphs = np.rint((images[:, 0, 4:12].astype(float) - 96) / 9).astype(np.uint8)
    left, right = ([known[half.tobytes()] for half in halves] for halves in (glyphs[..., :8], glyphs[..., 8:]))
    assert np.array_equal(labels, 10 * np.array(left) + np.array(right))


def test_classes_are_uniform():
    counts = np.bincount(MANY.fields["label"], minlength=100)
    assert ((counts - 200) ** 2 / 200).sum() < 149  # 99 degrees of freedom, p = 0.001


@pytest.mark.parametrize("split", ["train", "select", "report"])
def test_every_split_carries_the_stated_label_noise(split):
    noisy = DigitPairsSpec(select_examples=20_000)
    ids = np.arange(20_000)
    true = open_source(DigitPairsSpec(**{**vars(noisy), "label_noise": 0.0})).batch(split, ids)
    seen = open_source(noisy).batch(split, ids)
    assert np.array_equal(seen.fields["image"], true.fields["image"])
    wrong = seen.fields["label"] != true.fields["label"]
    assert wrong.mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 20_000))
    offsets = np.bincount((seen.fields["label"] - true.fields["label"])[wrong] % 100, minlength=100)
    assert offsets[0] == 0
    assert ((offsets[1:] - wrong.sum() / 99) ** 2 / (wrong.sum() / 99)).sum() < 148


def test_a_replaced_label_is_never_the_true_one():
    bits = draw_bits(key_words(1, "test"), np.arange(50_000), 2)
    true = np.arange(50_000) % 100
    seen = noisy_labels(true, 0.5, bits, 100)
    assert np.array_equal(seen != true, unit_interval(bits[:, 0]) < 0.5)
    assert np.bincount((seen - true) % 100).tolist()[1:] == pytest.approx([250] * 99, abs=80)


def test_the_floor_is_the_loss_of_the_best_possible_predictor():
    p = 0.1
    best = np.full(100, p / 99)
    best[0] = 1 - p
    assert ends_of(PAIRS).floor == pytest.approx(-(best * np.log(best)).sum())
    assert ends_of(PAIRS).floor == pytest.approx(0.7846, abs=1e-4)
    assert ends_of(open_source(DigitPairsSpec(label_noise=0.0))).floor == 0
    assert ends_of(PAIRS).chance == pytest.approx(math.log(100))


def test_other_seeds_and_splits_show_other_pictures():
    others = [PAIRS.batch("select", np.arange(100)), PAIRS.batch("report", np.arange(100))]
    others.append(open_source(DigitPairsSpec(seed=1)).batch("train", np.arange(100)))
    ours = {image.tobytes() for image in MANY.fields["image"]}
    assert all((other.fields["label"] == MANY.fields["label"][:100]).mean() < 0.1 for other in others)
    assert all(image.tobytes() not in ours for other in others for image in other.fields["image"])


@pytest.mark.parametrize("resolution", [16, 24, 33, 64])
def test_pictures_look_alike_at_every_resolution(resolution):
    images = open_source(DigitPairsSpec(resolution=resolution)).batch("train", np.arange(500)).fields["image"]
    assert images.shape[-2:] == (resolution, resolution)
    assert images.mean() == pytest.approx(MANY.fields["image"].mean(), abs=4)
    assert images.std() == pytest.approx(MANY.fields["image"].std(), abs=5)


def test_backgrounds_have_the_stated_contrast_and_fall_in_power_as_natural_scenes_do():
    bank = NoiseBank(32, std=20)
    bits = np.random.default_rng(0).integers(0, 2**64, (2000, 2), dtype=np.uint64, endpoint=False)
    noise = bank.crops(bank.places(bits))
    assert noise.std() == pytest.approx(20, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=1)
    window = np.hanning(32)[:, None] * np.hanning(32)
    power = (np.abs(np.fft.fft2(noise * window)) ** 2).mean(0)[0, :16]
    slope = np.polyfit(np.log(np.arange(3, 14)), np.log(power[3:14]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.4)


def test_the_fingerprint_names_what_is_drawn_and_not_how_much_of_it():
    assert open_source(DigitPairsSpec(report_examples=5, stream_examples=9)).fingerprint == PAIRS.fingerprint
    for changed in (
        DigitPairsSpec(seed=1),
        DigitPairsSpec(noise_contrast=0.2),
        DigitPairsSpec(resolution=24),
        DigitPairsSpec(label_noise=0.2),
    ):
        assert open_source(changed).fingerprint != PAIRS.fingerprint


def test_digit_pairs_are_frozen_at_version_1():
    content = hashlib.blake2b(
        MANY.fields["image"][:256].tobytes() + MANY.fields["label"][:256].tobytes(), digest_size=8
    ).hexdigest()
    assert content == GOLDEN_PAIRS
    assert MANY.fields["label"][:8].tolist() == GOLDEN_LABELS
    assert PAIRS.fingerprint == GOLDEN_FINGERPRINT


GOLDEN_PAIRS = "95dca28aa98cc7c0"
GOLDEN_LABELS = [20, 5, 43, 30, 67, 58, 34, 15]
GOLDEN_FINGERPRINT = "7c0223d1b4b7f5aab4eb1a2de32a271b"


def test_plain_digits_say_why_they_support_no_verdict():
    digits = open_source(DigitsSpec())
    assert digits.no_verdict_because == FewDigitsJudge()
    assert PAIRS.no_verdict_because is None
    assert digits.split_sizes == {"train": 1077, "select": 360, "report": 360}


def test_unaugmented_digits_are_scikit_learns_own():
    digits = open_source(DigitsSpec(augment="none"))
    keys = np.arange(1077, dtype=np.uint64)
    shown = [digits.batch(split, np.arange(size), keys[:size]) for split, size in digits.split_sizes.items()]
    pixels = np.sort(np.concatenate([part.fields["image"].reshape(-1, 64) for part in shown]).view("V64").ravel())
    expected = (load_glyphs().pixels.astype(int) * 255 + 8) // 16
    assert np.array_equal(pixels, np.sort(expected.astype(np.uint8).reshape(-1, 64).view("V64").ravel()))
    assert (
        np.bincount(np.concatenate([part.fields["label"] for part in shown])).tolist()
        == np.bincount(load_glyphs().labels).tolist()
    )


def test_augmented_digits_stay_near_their_originals():
    digits = open_source(DigitsSpec(resolution=32))
    ids = np.arange(300)
    plain, moved = (
        digits.batch("train", ids, keys).fields["image"].astype(float) for keys in (None, ids.astype(np.uint64))
    )
    assert not np.array_equal(plain, moved)
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(plain, moved, strict=True)]
    assert np.mean(correlations) > 0.8
    assert moved.mean() == pytest.approx(plain.mean(), rel=0.05)


def test_a_worker_opens_a_source_once():
    assert open_source_once(DigitPairsSpec()) is open_source_once(DigitPairsSpec())
    assert isinstance(open_source_once(DigitPairsSpec()), DigitStrings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_noise": 0.99},
        {"noise_contrast": 1.5},
        {"max_scale": 0.9},
        {"max_shift": 0.3},
        {"resolution": 0},
        {"stream_examples": 0},
    ],
)
def test_a_spec_that_cannot_be_drawn_is_refused_by_name(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        DigitPairsSpec(**wrong)


def test_digits_keep_some_to_train_on():
    with pytest.raises(SpecError, match="1,797"):
        DigitsSpec(select_examples=1000, report_examples=797)


def test_three_digits_are_a_thousand_classes_with_a_floor_of_their_own():
    source = open_source(DigitStringsSpec(resolution=48, label_noise=0.05))
    assert (source.fields.num_classes, source.class_names[42]) == (1000, "042")
    best = np.full(1000, 0.05 / 999)
    best[0] = 0.95
    assert ends_of(source).floor == pytest.approx(-(best * np.log(best)).sum())
    fields, _ = source.batch("train", np.arange(20_000))
    images, labels = fields["image"], fields["label"]
    assert images.shape == (20_000, 1, 48, 48)
    assert 900 < len(np.unique(labels)) <= 1000
    for digit in (labels // 100, labels // 10 % 10, labels % 10):
        assert np.bincount(digit, minlength=10) == pytest.approx(np.full(10, 2000), abs=250)


def test_an_undisturbed_string_is_its_glyphs_side_by_side():
    plain = open_source(DigitStringsSpec(**{**vars(PLAIN), "source": "digit-strings", "resolution": 24}))
    fields, _ = plain.batch("train", np.arange(200))
    images, labels = fields["image"], fields["label"]
    known = {glyph.tobytes(): label for glyph, label in zip(load_glyphs().pixels, load_glyphs().labels, strict=True)}
    glyphs = np.rint((images[:, 0, 8:16].astype(float) - 96) / 9).astype(np.uint8)
    spelt = [sum(known[part.tobytes()] * 10 ** (2 - k) for k, part in enumerate(np.split(row, 3, 1))) for row in glyphs]
    assert np.array_equal(labels, spelt)


def test_two_digits_as_a_string_are_another_stream_than_the_pairs():
    """Recorded results of the pairs keep their meaning; a stream of another name draws other numbers."""
    strings = open_source(DigitStringsSpec(num_digits=2))
    assert strings.fields.num_classes == 100
    assert strings.fingerprint != PAIRS.fingerprint
    assert (strings.batch("train", np.arange(1000)).fields["label"] == MANY.fields["label"][:1000]).mean() < 0.05


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "spec",
    [
        DigitPairsSpec(),
        DigitStringsSpec(resolution=48),
        DigitStringsSpec(num_digits=4, resolution=33, max_rotation_deg=90, max_scale=1.5, max_shift=0.2),
    ],
)
def test_pictures_rendered_on_a_device_are_the_same_to_the_last_bit(spec, device):
    source = of_kind(DigitStrings, open_source(spec))
    rendered = rendered_on(source, torch.device(device))
    assert rendered.fingerprint == source.fingerprint
    asked: dict[Split, np.ndarray] = {"train": np.arange(700) + 2**39, "report": np.arange(5), "select": np.array([7])}
    for split, ids in asked.items():
        wanted, seen = source.batch(split, ids), rendered.batch(split, ids)
        assert seen.fields["image"].device.type == device
        assert np.array_equal(seen.fields["image"].cpu().numpy(), wanted.fields["image"])
        assert np.array_equal(seen.fields["label"], wanted.fields["label"])
    with pytest.raises(IndexError):
        rendered.batch("report", np.array([spec.report_examples]))


def test_a_loader_over_a_rendered_source_gives_the_same_batches():
    source = of_kind(DigitStrings, open_source(DigitStringsSpec(resolution=24)))
    plain, rendered = (
        itertools.islice(Loader(each, order=training_order(each, 3), global_batch_size=50, start_examples=100), 6)
        for each in (source, rendered_on(source, torch.device("cpu")))
    )
    for one, other in zip(plain, rendered, strict=True):
        assert torch.equal(one.fields["image"], other.fields["image"])
        assert torch.equal(one.fields["label"], other.fields["label"])
        assert np.array_equal(one.ids, other.ids)
