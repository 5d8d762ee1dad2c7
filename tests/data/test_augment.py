"""Augmentation drawn by key and id alone, in the same law as timm's: the same draws give the same pixels."""

import hashlib
import random
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from small_pictures import encoded, picture, write_folder
from tests.narrowed import of_kind
from timm.data import auto_augment
from timm.data import transforms as timm_transforms

from levelfield.data.augment import rand
from levelfield.data.augment.rand import FILL, NAMES, Drawn, applied, drawn, rand_augmented
from levelfield.data.augment.resized_crop import crop_draws, middle_box, random_box
from levelfield.data.resize import resized
from levelfield.data.sources import open_source
from levelfield.data.sources.splits import ImageSource
from levelfield.records.augment import RandAugment
from levelfield.records.data import ImagesSpec, data_identity
from levelfield.records.errors import SpecError

RNG = np.random.default_rng(5)
KEYS, IDS = RNG.integers(0, 2**64, 2000, dtype=np.uint64), np.arange(2000)
_, WORDS = crop_draws(KEYS, IDS)


class Scripted:
    """Python's ``random``, its numbers made of given words as ours are."""

    def __init__(self, words: list[int]) -> None:
        self.tries = [words[first : first + 4] for first in range(0, len(words), 4)]
        self.asked = 0

    def uniform(self, low: float, high: float) -> float:
        """The area of a try, then its ratio."""
        word = self.tries[self.asked // 2][self.asked % 2]
        self.asked += 1
        return low + (high - low) * ((word >> 11) * 2.0**-53)

    def randint(self, low: int, high: int) -> int:
        """The row of the last try, then its column."""
        word = self.tries[(self.asked - 1) // 2].pop()
        return low + ((word >> 32) * (high - low + 1) >> 32)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (64, 64), (256, 341), (1, 1), (3, 2), (1000, 60), (60, 1000)])
@pytest.mark.parametrize("least", [0.08, 0.35])
def test_a_random_box_is_the_one_that_timm_cuts_for_the_same_draws(size, least, monkeypatch):
    image = Image.new("L", size)
    for words in WORDS[:150]:
        monkeypatch.setattr(timm_transforms, "random", Scripted(words))
        get_params: Any = timm_transforms.RandomResizedCropAndInterpolation.get_params
        top, left, height, width = get_params(image, (least, 1.0), (3 / 4, 4 / 3))
        box = random_box(size[0], size[1], words, least_area=least)
        if 0 in (width, height):
            continue  # timm cuts nothing out of a line; torchvision tries again, and so do we
        assert (box.left, box.top, box.width, box.height) == (left, top, width, height)


def test_boxes_lie_inside_and_are_as_large_as_they_are_said_to_be():
    boxes = [random_box(400, 300, words, least_area=0.08) for words in WORDS]
    assert all(box.left >= 0 and box.left + box.width <= 400 for box in boxes)
    assert all(box.top >= 0 and box.top + box.height <= 300 for box in boxes)
    areas = np.array([box.width * box.height / 120_000 for box in boxes])
    assert areas.min() > 0.075
    assert areas.max() <= 1
    ratios = np.log([box.width / box.height for box in boxes])
    assert abs(ratios).max() < np.log(4 / 3) + 0.03
    assert random_box(400, 300, WORDS[0], least_area=1.0) == middle_box(400, 300)


def test_flips_are_half_and_independent_of_the_box():
    flips, _ = crop_draws(KEYS, IDS)
    assert 900 < sum(flips) < 1100


_THEIRS = {
    "auto-contrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
    "rotate": "Rotate",
    "shear-x": "ShearX",
    "shear-y": "ShearY",
    "translate-x": "TranslateXRel",
    "translate-y": "TranslateYRel",
    "color": "Color",
    "contrast": "Contrast",
    "brightness": "Brightness",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "solarize-add": "SolarizeAdd",
}
_GROWING = ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")


@pytest.mark.parametrize("increasing", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_an_operation_gives_the_pixels_that_timm_gives(name, increasing, monkeypatch):
    image = picture(3, (40, 40))
    theirs = _THEIRS[name] + "Increasing" * (increasing and _THEIRS[name] in _GROWING)
    transforms = auto_augment._RAND_INCREASING_TRANSFORMS if increasing else auto_augment._RAND_TRANSFORMS
    assert theirs in transforms
    assert len(transforms) == len(NAMES)
    for magnitude in (0.0, 3.0, 7.3, 9.0, 10.0):
        for negated in (False, True):
            for filter in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
                sign = -1 if negated else 1
                monkeypatch.setattr(auto_augment, "_randomly_negate", lambda value, sign=sign: sign * value)
                known = {"img_mean": FILL, "interpolation": filter}
                operation = auto_augment.AugmentOp(theirs, prob=1.0, magnitude=cast(Any, magnitude), hparams=known)
                ours = applied(image, Drawn(name, magnitude, negated, filter), increasing=increasing)
                if (name, magnitude) == ("posterize", 10.0 if increasing else 0.0):
                    assert not np.asarray(ours).any(), "no bit is left; timm fails on that with Pillow 13"
                    continue
                assert np.array_equal(np.asarray(ours), np.asarray(operation(image)))


def test_operations_are_drawn_as_often_as_timm_draws_them():
    policy = RandAugment.of("rand-m9-n2-mstd0.5-inc1")
    found = [each for operations in drawn(policy, KEYS, IDS) for each in operations]
    assert abs(len(found) - 2000) < 4 * np.sqrt(4000) / 2, "half of them are left out"
    counts = np.array([sum(each.name == name for each in found) for name in NAMES])
    assert ((counts - len(found) / 15) ** 2 / (len(found) / 15)).sum() < 36.1, "14 degrees of freedom, p = 0.001"
    magnitudes = np.array([each.magnitude for each in found])
    random.seed(0)
    theirs = np.array([min(10.0, max(0.0, random.gauss(9, 0.5))) for _ in range(20_000)])
    assert abs(magnitudes.mean() - theirs.mean()) < 0.05
    assert abs(magnitudes.std() - theirs.std()) < 0.05
    assert magnitudes.max() <= 10
    assert {each.magnitude for row in drawn(RandAugment.of("rand-m7-n1"), KEYS, IDS) for each in row} == {7.0}


@pytest.mark.parametrize(
    "text", ["rand", "rand-m9", "rand-m11-n2", "rand-m9-n0", "rand-n2-m9", "rand-m09-n2", "rand-m9-n2-mstd0", ""]
)
def test_a_policy_is_written_in_one_way(text):
    with pytest.raises(SpecError, match="randaugment must be"):
        ImagesSpec(path="x", resolution=16, randaugment=text)


def test_what_would_be_ignored_is_refused():
    with pytest.raises(SpecError, match="randaugment must be left out"):
        ImagesSpec(path="x", resolution=16, augment="none", randaugment="rand-m9-n2")
    with pytest.raises(SpecError, match="least_crop_area must be left out"):
        ImagesSpec(path="x", resolution=16, least_crop_area=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rows = [(seed % 3, encoded(picture(seed, (30 + seed, 60 - seed)), "JPEG")) for seed in range(24)]
    return write_folder(tmp_path_factory.mktemp("augment") / "x", rows)


def source_of(folder, **more):
    held_out = {"select_examples": 2, "report_examples": 2}
    return open_source(ImagesSpec(path=str(folder), resolution=20, **held_out, **more))


AUGMENTS = {
    "flip": {"augment": "flip"},
    "crop-flip": {"augment": "crop-flip"},
    "resized-crop-flip": {"augment": "resized-crop-flip"},
    "all of the picture": {"augment": "resized-crop-flip", "least_crop_area": 0.9},
    "randaugment": {"augment": "resized-crop-flip", "randaugment": "rand-m9-n2-mstd0.5-inc1"},
    "flip and randaugment": {"augment": "flip", "randaugment": "rand-m5-n3"},
}


GOLDEN = {
    "flip": "e22cab8d4a2c82ef",
    "crop-flip": "9d204b4dc78b0a3b",
    "resized-crop-flip": "e4a8cc7e2eb70b88",
    "all of the picture": "6491681bb96afebf",
    "randaugment": "a83e27f2db0f564a",
    "flip and randaugment": "f1328800edc99bf6",
}


@pytest.mark.parametrize("name", AUGMENTS)
def test_what_an_example_becomes_depends_on_its_key_and_its_id_alone(folder, name):
    source = source_of(folder, **AUGMENTS[name])
    ids, keys = np.arange(20), KEYS[:20]
    whole = source.batch("train", ids, keys).fields["image"]
    again = source_of(folder, **AUGMENTS[name]).batch("train", ids[::-1], keys[::-1]).fields["image"]
    assert np.array_equal(again[::-1], whole), "in another batch, nothing kept of before"
    for part in (slice(3, 4), slice(0, 7)):
        assert np.array_equal(source.batch("train", ids[part], keys[part]).fields["image"], whole[part])
    other = source.batch("train", ids, KEYS[100:120]).fields["image"]
    assert (other != whole).any(axis=(1, 2, 3)).sum() >= (5 if name in ("flip", "all of the picture") else 18)
    assert hashlib.sha256(whole.tobytes()).hexdigest()[:16] == GOLDEN[name]


def test_a_crop_is_cut_out_of_the_original_and_not_of_its_middle(folder):
    source = source_of(folder, augment="resized-crop-flip")
    table, numbers = of_kind(ImageSource, source)._locate("train", np.arange(20))
    flips, words = crop_draws(KEYS[:20], np.arange(20))
    found = source.batch("train", np.arange(20), KEYS[:20]).fields["image"]
    outside = 0
    for place, number in enumerate(numbers.tolist()):
        whole = table.whole(number)
        assert whole is not None
        box = random_box(whole.shape[1], whole.shape[0], words[place], least_area=0.08)
        expected = resized(whole, box, 20)
        assert np.array_equal(found[place], expected[..., ::-1] if flips[place] else expected)
        side, (height, width) = min(whole.shape[:2]), whole.shape[:2]
        outside += box.top < (height - side) // 2 or box.left < (width - side) // 2
    assert outside > 2


def test_randaugment_changes_nothing_where_every_operation_is_left_out():
    images = RNG.integers(0, 256, (2000, 3, 4, 4), dtype=np.uint8)
    policy = RandAugment.of("rand-m9-n1")
    changed = rand_augmented(images, policy, KEYS, IDS)
    untouched = np.array([not operations for operations in drawn(policy, KEYS, IDS)])
    assert np.array_equal(changed[untouched], images[untouched])
    assert 900 < untouched.sum() < 1100
    assert rand.SKIPPED == 0.5


def test_how_pixels_are_made_is_part_of_what_a_trial_is(monkeypatch):
    from levelfield.records import data

    spec = ImagesSpec(path="x", resolution=16)
    identity = data_identity(spec)
    assert identity["pixels"] == data.PIXELS_VERSION
    assert {"least_crop_area", "randaugment"} & identity.keys() == set(), "what is not said keeps no place"
    assert data_identity(ImagesSpec(path="x", resolution=16, randaugment="rand-m9-n2")) != identity
