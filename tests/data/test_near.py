"""Pictures that are the same under other bytes: found where they were saved again, and not by comparing all."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from small_pictures import picture

from levelfield.data.ingest import near
from levelfield.data.ingest.near import LEAST_CORRELATION, candidates, difference_hash, thumbnail


def photo(seed: int) -> Image.Image:
    """Texture of many scales, as photographs have."""
    draw = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((120, 90)))
        for side in (3, 7, 20, 60)
    ]
    return Image.fromarray(np.average(layers, axis=0, weights=(8, 4, 2, 1)).astype(np.uint8))


def saved_again(image: Image.Image, *, quality: int, size: tuple[int, int]) -> Image.Image:
    stream = io.BytesIO()
    image.resize(size).save(stream, "JPEG", quality=quality)
    return Image.open(stream)


@pytest.mark.parametrize(("quality", "size"), [(60, (120, 90)), (90, (80, 60)), (75, (200, 150))])
def test_pictures_saved_again_are_found_and_strangers_are_not(quality, size):
    photos = [photo(seed) for seed in range(60)]
    others = [saved_again(photo(seed), quality=quality, size=size) for seed in range(40, 80)]
    hashes = [np.array([difference_hash(each) for each in those], dtype=np.uint64) for those in (photos, others)]
    pairs = [
        (place, other)
        for place, other in candidates(*hashes)
        if float(thumbnail(photos[place]) @ thumbnail(others[other])) >= LEAST_CORRELATION
    ]
    true = {(40 + number, number) for number in range(20)}
    assert set(pairs) <= true
    assert len(pairs) >= 18, "nine of ten"


def test_every_pair_within_the_bits_is_a_candidate():
    draw = np.random.default_rng(0)
    hashes = draw.integers(0, 2**64, 2000, dtype=np.uint64)
    others = hashes.copy()
    for bit in draw.integers(0, 64, (near.MOST_BITS, len(others))).astype(np.uint64):
        others ^= np.uint64(1) << bit
    assert {(number, number) for number in range(2000)} <= set(candidates(hashes, others))
    assert all(
        int(hashes[place] ^ others[other]).bit_count() <= near.MOST_BITS for place, other in candidates(hashes, others)
    )


def test_a_flat_picture_has_no_bits_and_one_hash_for_all_costs_no_square():
    assert difference_hash(Image.new("RGB", (50, 50), "grey")) is None
    assert difference_hash(picture(1)) is not None
    same = np.zeros(5000, dtype=np.uint64)
    begun = time.process_time()
    assert len(list(candidates(same, same))) == 5000 * near.MOST_TRIED
    assert time.process_time() - begun < 2
