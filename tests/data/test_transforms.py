"""Changes of images: each a pure function of its key and id, checked against slow code that says the same plainly."""

import numpy as np
import pytest
import torch

from levelfield.data.augment.flips import augment_photos
from levelfield.data.draws import below, draw_bits, key_words
from levelfield.data.generated.glyphs import enlarge, load_glyphs
from levelfield.data.transforms import NORMALISATION, Affine, SpritePlacer, to_float

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (400, 3, 16, 16), dtype=np.uint8)
IDS = np.arange(400)
KEYS = RNG.integers(0, 2**64, 400, dtype=np.uint64)


def slow_crop_flip(image: np.ndarray, top: int, left: int, flip: bool) -> np.ndarray:
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    crop = padded[:, top : top + 16, left : left + 16]
    return crop[:, :, ::-1] if flip else crop


def test_crop_flip_is_one_of_its_fifty_outcomes_each_about_as_often():
    outcomes = np.zeros((2, 5, 5), dtype=int)
    for image, changed in zip(PHOTOS, augment_photos(PHOTOS, "crop-flip", KEYS, IDS), strict=True):
        matches = [
            (flip, top, left)
            for flip in (0, 1)
            for top in range(5)
            for left in range(5)
            if np.array_equal(changed, slow_crop_flip(image, top, left, bool(flip)))
        ]
        assert len(matches) == 1
        outcomes[matches[0]] += 1
    assert ((outcomes - 8) ** 2 / 8).sum() < 85.4  # 49 degrees of freedom, p = 0.001


def test_flip_alone_flips_half_and_moves_nothing():
    changed = augment_photos(PHOTOS, "flip", KEYS, IDS)
    kept = (changed == PHOTOS).all((1, 2, 3))
    flipped = (changed == PHOTOS[..., ::-1]).all((1, 2, 3))
    assert (kept | flipped).all()
    assert 160 < flipped.sum() < 240
    assert np.array_equal(augment_photos(PHOTOS, "none", KEYS, IDS), PHOTOS)


def test_an_augmentation_depends_on_key_and_id_and_on_nothing_beside_it():
    whole = augment_photos(PHOTOS, "crop-flip", KEYS, IDS)
    backwards = slice(None, None, -1)
    assert np.array_equal(augment_photos(PHOTOS[7:9], "crop-flip", KEYS[7:9], IDS[7:9]), whole[7:9])
    again = augment_photos(PHOTOS[backwards], "crop-flip", KEYS[backwards], IDS[backwards])
    assert np.array_equal(again[backwards], whole)
    assert not np.array_equal(augment_photos(PHOTOS, "crop-flip", KEYS + np.uint64(1), IDS), whole)
    assert not np.array_equal(augment_photos(PHOTOS, "crop-flip", KEYS, IDS + 1), whole)


def test_a_sprite_is_placed_where_floating_point_geometry_says():
    affine = Affine(max_rotation_deg=30, max_shift=0.1, max_scale=1.3)
    sprites = enlarge(load_glyphs().pixels[:50], 9, 255)
    tile, pitch = sprites.shape[-1], 9 * 8 / 16
    placer = SpritePlacer(sprites, pitch=pitch, side=32, centre=(16, 8), affine=affine)
    bits = draw_bits(key_words(1, "test"), np.arange(50), 4)
    window = placer.place(np.arange(50), bits)
    angles = np.radians(30) * (2 * below(bits[:, 0], 4096) / 4095 - 1)
    scales = 1.3 ** -(1 - 2 * below(bits[:, 1], 1024) / 1023)
    shifts = (below(bits[:, 2:], 8193) / 4096 - 1) * 3.2
    differing = 0
    for n in range(50):
        for i, row in enumerate(range(placer.rows.start, placer.rows.stop)):
            for j, column in enumerate(range(placer.columns.start, placer.columns.stop)):
                y, x = row + 0.5 - 16 - shifts[n, 0], column + 0.5 - 8 - shifts[n, 1]
                u = tile / 2 + (np.cos(angles[n]) * x + np.sin(angles[n]) * y) * pitch / scales[n]
                v = tile / 2 + (np.cos(angles[n]) * y - np.sin(angles[n]) * x) * pitch / scales[n]
                expected = sprites[n, int(np.clip(v, 0, tile - 1)), int(np.clip(u, 0, tile - 1))]
                differing += window[n, i, j] != expected
    assert differing / window.size < 1e-3  # only where a centre falls on a sprite pixel's very edge


def test_windows_lose_no_ink():
    affine = Affine(max_rotation_deg=180, max_shift=0.05, max_scale=1.2)
    sprites = enlarge(np.full((1, 8, 8), 16, dtype=np.uint8), 9, 255)
    bits = draw_bits(key_words(1, "test"), np.arange(300), 4)
    windows = [
        SpritePlacer(sprites, pitch=9.0, side=side, centre=(side / 2, side / 2), affine=Affine(**vars(affine) | more))
        for side, more in ((40, {}), (80, {"max_shift": 0.025}))
    ]
    ink = [placer.place(np.zeros(300, dtype=np.int64), bits).sum((1, 2), dtype=np.int64) for placer in windows]
    assert np.array_equal(ink[0], ink[1])


def test_enlarged_glyphs_keep_their_pixels_and_are_linear_between():
    pixels = load_glyphs().pixels[:20]
    fine = enlarge(pixels, 5, 240).astype(int)
    assert np.array_equal(fine[:, 7:47:5, 7:47:5], pixels.astype(int) * 15)
    assert np.array_equal(fine[:, 7, 8], (pixels[:, 0, 0] * 15.0 * 0.8 + pixels[:, 0, 1] * 15.0 * 0.2).round())
    assert not fine[:, 0].any()
    assert not fine[:, :, -1].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_become_floats_by_the_stated_mean_and_deviation(channels):
    images = torch.from_numpy(RNG.integers(0, 256, (4, channels, 5, 5), dtype=np.uint8))
    before = images.clone()
    floats = to_float(images)
    mean, std = (np.array(part).reshape(1, -1, 1, 1) for part in NORMALISATION[channels])
    assert floats.dtype == torch.float32
    assert np.allclose(floats.numpy(), (images.numpy() / 255 - mean) / std, atol=1e-5)
    assert torch.equal(images, before)
