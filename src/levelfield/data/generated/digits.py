"""The plain handwritten digits: a smoke test in seconds that supports no verdict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from levelfield.data.draws import Int64s, UInt64s, draw_bits
from levelfield.data.generated.glyphs import CONTENT_HASH, SIDE, enlarge, load_glyphs, split_glyphs
from levelfield.data.source import Examples, check_ids
from levelfield.data.transforms import Affine, SpritePlacer
from levelfield.records.data import DigitsSpec, Split
from levelfield.records.drawn import FewDigitsJudge
from levelfield.records.fields import FieldFacts
from levelfield.records.fingerprint import fingerprint

DIGITS_VERSION = 1
AUGMENTATION = Affine(max_rotation_deg=10.0, max_shift=0.06, max_scale=1.1)
"""Half a glyph pixel and ten degrees; never flipped, since a flipped digit is another one or none."""

_FACTOR = 9


class Digits:
    """1,797 digits of 10 classes, enlarged bilinearly to ``spec.resolution``; ids number the glyphs of a split."""

    fields = FieldFacts(num_classes=10)
    class_names = tuple("0123456789")
    in_channels = 1
    no_verdict_because = FewDigitsJudge()
    remarks = ()

    def __init__(self, spec: DigitsSpec) -> None:
        self.spec = spec
        self.resolution = spec.resolution
        glyphs = load_glyphs()
        self._labels = glyphs.labels
        self._splits = split_glyphs(
            glyphs.labels, report=spec.report_examples, select=spec.select_examples, seed=spec.seed
        )
        self.split_sizes: Mapping[Split, int] = {split: len(numbers) for split, numbers in self._splits.items()}
        held_out = [spec.select_examples, spec.report_examples]
        drawn = [DIGITS_VERSION, CONTENT_HASH, spec.resolution, spec.seed, held_out]
        self.fingerprint = fingerprint("digits", drawn)
        self._placer = SpritePlacer(
            enlarge(glyphs.pixels, _FACTOR, 255),
            pitch=_FACTOR * SIDE / spec.resolution,
            side=spec.resolution,
            centre=(spec.resolution / 2, spec.resolution / 2),
            affine=AUGMENTATION,
        )

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        numbers = self._splits[split][ids]
        augmented = self.spec.augment == "affine" and split == "train"
        bits = draw_bits(augment_keys, ids, 4) if augmented and augment_keys is not None else None
        images = np.ascontiguousarray(self._placer.place(numbers, bits)[:, None])
        return Examples({"image": images, "label": self._labels[numbers]}, np.ones(len(ids), dtype=bool))
