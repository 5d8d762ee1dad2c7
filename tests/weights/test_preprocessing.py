"""Pictures reach a network as timm would have fed it, and as our own data room does."""

import io

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import Compose

from levelfield.data.decode import decode, shown
from levelfield.data.resize import covering
from levelfield.weights.preprocessing import CropMode, Preprocessing
from tests.narrowed import of_kind

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(91, 64), (64, 91), (300, 201), (77, 77)])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
@pytest.mark.parametrize("crop_pct", [0.9, 1.0])
def test_a_picture_is_fed_as_timm_feeds_it(size: tuple[int, int], crop_mode: CropMode, crop_pct: float) -> None:
    ours = Preprocessing(resolution=48, mean=MEAN, std=STD, crop_pct=crop_pct, crop_mode=crop_mode)
    theirs = create_transform(
        48, interpolation="bicubic", mean=MEAN, std=STD, crop_pct=crop_pct, crop_mode=crop_mode, is_training=False
    )
    expected = of_kind(Compose, theirs)(picture(*size))
    assert np.abs(ours.apply(shown(picture(*size))) - np.asarray(expected)).max() < 1e-5


@pytest.mark.parametrize("size", [(91, 64), (64, 91), (48, 48)])
def test_a_picture_is_fed_as_our_own_data_is(size: tuple[int, int]) -> None:
    encoded = io.BytesIO()
    picture(*size).save(encoded, "PNG")
    ours = Preprocessing.of_training(resolution=48, in_channels=3)
    assert np.array_equal(ours.pixels(shown(picture(*size))), covering(decode(encoded.getvalue()), 48))
