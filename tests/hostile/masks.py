"""Pictures with masks, damaged as in :mod:`tests.hostile.ingests`: opened in place and built, from every format.

The oracle is the pairs as they were written. What was not damaged is read as them, before and after it is built; what
was is refused, or gives what its digests say. Of what is built every mask has a class, or none, for every pixel.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

from levelfield.data.decode import decode
from levelfield.data.ingest.build import build
from levelfield.data.ingest.masked_places import MaskedPlaceSaid, listed_pairs, masked_forms_at, masked_stores_at
from levelfield.data.ingest.opening import opened_pairs
from levelfield.data.mask_values import classes_of_pixels
from levelfield.testing.masked_readers import Pairs, expected_pairs, pairs_of
from tests.hostile.ingests import DAMAGES, undamaged
from tests.masked_formats import MASKED_FORMATS

COUNT = 2000


def attempt(seed: int, index: int, folder: Path) -> str:
    """See the package."""
    draw = random.Random(f"masks/{seed}/{index}")
    pairs = _pairs(draw)
    place = MASKED_FORMATS[draw.choice(tuple(MASKED_FORMATS))](folder / "data", pairs)
    damage = draw.choice(DAMAGES)
    damage(draw, folder / "data")
    whole = damage is undamaged
    if whole or draw.random() < 0.5:
        store = masked_stores_at(place)["train"]
        if pairs_of(store) != expected_pairs(pairs) and whole:  # of others every byte is compared with its digest
            return "wrong: other pairs than were written"
    return _built(place, pairs, folder, whole=whole)


def _built(place: MaskedPlaceSaid, pairs: Pairs, folder: Path, *, whole: bool) -> str:
    before = set(folder.rglob("*"))
    try:
        manifest = build(listed_pairs(place), folder / "out", shard_bytes=4000)
    finally:
        strange = [path for path in set(folder.rglob("*")) - before if folder / "out" not in (path, *path.parents)]
        assert not strange, f"written elsewhere: {strange}"
    made, found = MaskedPlaceSaid(path=str(folder / "out")), 0
    for form in masked_forms_at(made, made.path).values():
        store = opened_pairs(form, rehash=True)
        for row in range(len(store)):
            encoded, mask = store.read(row)
            picture = decode(encoded)
            classes_of_pixels(mask, (picture.shape[1], picture.shape[0]), store.facts)
        found += len(store)
    if found != sum(part.contents.num_examples for part in manifest.parts.values()):
        return "wrong: the manifest counts other examples"
    if whole and pairs_of(masked_stores_at(made)["train"]) != expected_pairs(pairs):
        return "wrong: built otherwise than written"
    return "right"


def _pairs(draw: random.Random) -> Pairs:
    return [(f"film_{number:03d}", *_pair(draw)) for number in range(draw.choice((2, 5, 9)))]


def _pair(draw: random.Random) -> tuple[bytes, bytes]:
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.frombytes("RGB", (8, 6), draw.randbytes(144)).save(picture, draw.choice(("PNG", "JPEG")))
    classes = np.frombuffer(draw.randbytes(48), dtype=np.uint8).reshape(6, 8) % 4  # 3 is of no class
    Image.fromarray(classes).save(mask, "PNG")
    return picture.getvalue(), mask.getvalue()
