"""Digit pairs: an unlimited stream of two handwritten digits over 1/f noise, made by index and never stored.

Example ``id`` of a split is a pure function of (spec, split, id): two digits, a glyph of that split for each, their
poses, a background and the label's noise. The class is ``10 * left + right``, uniform over 100. Glyphs are disjoint
between splits, so held-out loss asks for handwriting that was never seen.

With probability p = ``label_noise`` the label is one of the 99 others, in every split: no network can have a lower
expected loss than H = -(1 - p) ln(1 - p) - p ln(p / 99), and a fitted law can be seen to find it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words, unit_interval
from levelfield.data.sources.base import Examples, check_ids
from levelfield.data.sources.glyphs import CONTENT_HASH, NUM_GLYPHS, SIDE, Glyphs, enlarge, load_glyphs, split_glyphs
from levelfield.data.sources.noise import NoiseBank
from levelfield.data.transforms import Affine, SpritePlacer
from levelfield.records.codec import to_plain
from levelfield.records.data import DigitPairsSpec, Split
from levelfield.records.fingerprint import fingerprint

DIGIT_PAIRS_VERSION = 1
"""Part of the fingerprint. A change to this file that alters a single pixel or label must change it."""

NUM_CLASSES = 100
GLYPHS_HELD_OUT: Mapping[str, int] = {"select": 270, "report": 270}
"""Of 1,797: 27 a digit, which leaves about 126 a digit to train."""

BACKGROUND = 96
INK = 144
"""Grey levels: the mean background, and what full ink adds to it."""

_CHUNK = 128
_WORDS = 16


class DigitPairs:
    """See the module. ``batch`` ignores ``augment_keys``: the stream itself is the augmentation.

    Measured: 12 to 17 microseconds an image of 32 px on one core, in batches of 32 to 4096.
    """

    num_classes = NUM_CLASSES
    class_names = tuple(f"{left}{right}" for left in range(10) for right in range(10))
    in_channels = 1
    chance_loss = math.log(NUM_CLASSES)
    no_verdict_because = None

    def __init__(self, spec: DigitPairsSpec) -> None:
        self.spec = spec
        self.resolution = spec.resolution
        self.split_sizes: Mapping[Split, int] = {
            "train": spec.stream_examples,
            "select": spec.select_examples,
            "report": spec.report_examples,
        }
        self.floor_loss = entropy_floor(spec.label_noise)
        sizes = ("stream_examples", "select_examples", "report_examples")
        drawn = to_plain(dataclasses.replace(spec, **dict.fromkeys(sizes, 1)))
        self.fingerprint = fingerprint("digit-pairs", [DIGIT_PAIRS_VERSION, CONTENT_HASH, drawn])
        self._keys = {split: key_words(1, "digit-pairs", spec.seed, split) for split in self.split_sizes}
        self._glyphs = _glyphs_by_digit(load_glyphs(), spec.seed)
        self._noise = NoiseBank(spec.resolution, spec.noise_contrast * INK)
        self._left, self._right = _placers(spec)

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.sources.base.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        images = np.empty((len(ids), 1, self.resolution, self.resolution), dtype=np.uint8)
        labels = np.empty(len(ids), dtype=np.int64)
        for start in range(0, len(ids), _CHUNK):  # small enough for the cache
            chunk = slice(start, start + _CHUNK)
            bits = draw_bits(self._keys[split], ids[chunk], _WORDS)
            left, right = below(bits[:, 0], 10), below(bits[:, 1], 10)
            images[chunk, 0] = self._render(split, left, right, bits[:, 4:])
            labels[chunk] = noisy_labels(10 * left + right, self.spec.label_noise, bits[:, 2:4])
        return Examples(images, labels, np.ones(len(ids), dtype=bool))

    def _render(self, split: Split, left: Int64s, right: Int64s, bits: UInt64s) -> NDArray[np.int16]:
        """Pictures ``[B, H, W]`` in 0..255 of the digits, from bits ``[B, 12]``."""
        canvas = self._noise.crops(bits[:, :2])
        canvas += BACKGROUND
        for placer, digits, own in ((self._left, left, bits[:, 2:7]), (self._right, right, bits[:, 7:12])):
            glyphs, counts = self._glyphs[split]
            chosen = glyphs[digits, (own[:, 0] >> np.uint64(32)).astype(np.int64) * counts[digits] >> 32]
            canvas[:, placer.rows, placer.columns] += placer.place(chosen, own[:, 1:])
        return canvas.clip(0, 255, out=canvas)


def entropy_floor(label_noise: float) -> float:
    """The entropy, in nats, of a label that is one of the 99 wrong ones with probability ``label_noise``."""
    if label_noise == 0:
        return 0.0
    kept, wrong = 1 - label_noise, label_noise / (NUM_CLASSES - 1)
    return -kept * math.log(kept) - label_noise * math.log(wrong)


def noisy_labels(labels: Int64s, label_noise: float, bits: UInt64s) -> Int64s:
    """``labels``, each replaced by one of the 99 others with probability ``label_noise``; bits ``[B, 2]``."""
    replaced = unit_interval(bits[:, 0]) < label_noise
    others = (labels + 1 + below(bits[:, 1], NUM_CLASSES - 1)) % NUM_CLASSES
    return np.where(replaced, others, labels)


def _glyphs_by_digit(glyphs: Glyphs, seed: int) -> dict[Split, tuple[Int64s, Int64s]]:
    """For each split, glyph numbers ``[10, most]`` (padded) and how many each digit has ``[10]``."""
    held_out = GLYPHS_HELD_OUT
    splits = split_glyphs(glyphs.labels, report=held_out["report"], select=held_out["select"], seed=seed)
    tables: dict[Split, tuple[Int64s, Int64s]] = {}
    for split, numbers in splits.items():
        by_digit = [numbers[glyphs.labels[numbers] == digit] for digit in range(10)]
        counts = np.array([len(members) for members in by_digit])
        table = np.zeros((10, counts.max()), dtype=np.int64)
        for digit, members in enumerate(by_digit):
            table[digit, : len(members)] = members
        tables[split] = table, counts
    assert sum(int(counts.sum()) for _, counts in tables.values()) == NUM_GLYPHS
    return tables


def _placers(spec: DigitPairsSpec) -> tuple[SpritePlacer, SpritePlacer]:
    """A digit fills half the canvas: left and right of the middle, on one line."""
    size = spec.resolution / 2
    factor = min(2 * round(1.5 * size / SIDE) + 1, 15)
    sprites = enlarge(load_glyphs().pixels, factor, INK)
    affine = Affine(max_rotation_deg=spec.max_rotation_deg, max_shift=spec.max_shift, max_scale=spec.max_scale)
    pitch = factor * SIDE / size
    left, right = (
        SpritePlacer(sprites, pitch=pitch, side=spec.resolution, centre=(size, share * spec.resolution), affine=affine)
        for share in (0.25, 0.75)
    )
    return left, right
