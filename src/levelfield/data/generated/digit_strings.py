"""Digit strings: an unlimited stream of handwritten digits over 1/f noise, made by index and never stored.

Example ``id`` of a split is a pure function of (spec, split, id): its digits, a glyph of that split for each, their
poses, a background and the label's noise. The class is the number that the digits spell, uniform over K = 10 to the
number of digits. Glyphs are disjoint between splits, so held-out loss asks for handwriting that was never seen.

With probability p = ``label_noise`` the label is one of the K - 1 others, in every split: no network can have a lower
expected loss than H = -(1 - p) ln(1 - p) - p ln(p / (K - 1)), and a fitted law can be seen to find it.

What is random is drawn on the CPU as whole numbers (:class:`Drawing`); what follows is gathering and adding of whole
numbers, by NumPy here or by torch on a device (``digit_renderer.py``), to the same last bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words
from levelfield.data.generated.glyphs import CONTENT_HASH, NUM_GLYPHS, SIDE, Glyphs, enlarge, load_glyphs, split_glyphs
from levelfield.data.generated.label_noise import noisy_labels
from levelfield.data.generated.noise import NoiseBank
from levelfield.data.source import Examples, check_ids
from levelfield.data.transforms import Affine, SpritePlacer
from levelfield.records.codec import to_plain
from levelfield.records.data import DigitPairsSpec, DigitStringsSpec, Split
from levelfield.records.fields import FieldFacts
from levelfield.records.fingerprint import fingerprint

STREAM_VERSION = 1
"""Part of the fingerprint. A change to this file that alters a single pixel or label must change it."""

GLYPHS_HELD_OUT: Mapping[str, int] = {"select": 270, "report": 270}
"""Of 1,797: 27 a digit, which leaves about 126 a digit to train."""

BACKGROUND = 96
FULL_INK = 144
"""Grey levels: the mean background, and what full ink adds to it."""

_CHUNK = 128


class Drawing(NamedTuple):
    """What the pictures of a batch consist of, as whole numbers.

    ``crops`` int64 [B, 2, 3]: tile, row and column of the two noise tiles that are added up. ``glyphs`` int64 [digits,
    B]; ``poses`` int32 [digits, B, 4], see :meth:`levelfield.data.transforms.SpritePlacer.poses`.
    """

    crops: Int64s
    glyphs: Int64s
    poses: NDArray[np.int32]


class DigitStrings:
    """See the module. ``batch`` ignores ``augment_keys``: the stream itself is the augmentation.

    Measured for two digits: 12 to 17 microseconds an image of 32 px on one core, in batches of 32 to 4096.
    """

    in_channels = 1
    no_verdict_because = None
    remarks = ()

    def __init__(self, spec: DigitPairsSpec | DigitStringsSpec) -> None:
        self.spec = spec
        self.resolution = spec.resolution
        num_classes = 10**spec.num_digits
        self.fields = FieldFacts(num_classes=num_classes, label_noise=spec.label_noise)
        self.class_names = tuple(f"{label:0{spec.num_digits}d}" for label in range(num_classes))
        self.split_sizes: Mapping[Split, int] = {
            "train": spec.stream_examples,
            "select": spec.select_examples,
            "report": spec.report_examples,
        }
        sizes = ("stream_examples", "select_examples", "report_examples")
        drawn = to_plain(dataclasses.replace(spec, **dict.fromkeys(sizes, 1)))
        self.fingerprint = fingerprint(spec.source, [STREAM_VERSION, CONTENT_HASH, drawn])
        self._keys = {split: key_words(1, spec.source, spec.seed, split) for split in self.split_sizes}
        self._glyphs = _glyphs_by_digit(load_glyphs(), spec.seed)
        self.noise = NoiseBank(spec.resolution, spec.noise_contrast * FULL_INK)
        self.placers = _placers(spec)

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        images = np.empty((len(ids), 1, self.resolution, self.resolution), dtype=np.uint8)
        labels = np.empty(len(ids), dtype=np.int64)
        for start in range(0, len(ids), _CHUNK):  # small enough for the cache
            chunk = slice(start, start + _CHUNK)
            drawing, labels[chunk] = self.drawn(split, ids[chunk])
            images[chunk, 0] = self._render(drawing)
        return Examples({"image": images, "label": labels}, np.ones(len(ids), dtype=bool))

    def drawn(self, split: Split, ids: Int64s) -> tuple[Drawing, Int64s]:
        """What the pictures ``ids`` [B] consist of, and their labels [B], noise included."""
        num_digits = self.spec.num_digits
        words = num_digits + 4 + 5 * num_digits
        bits = draw_bits(self._keys[split], ids, words)
        digits = below(bits[:, :num_digits], 10)
        label_bits, noise_bits, own = np.split(bits[:, num_digits:], (2, 4), axis=1)
        glyphs, counts = self._glyphs[split]
        chosen = np.empty((num_digits, len(ids)), dtype=np.int64)
        poses = np.empty((num_digits, len(ids), 4), dtype=np.int32)
        for place, placer in enumerate(self.placers):
            which, pose_bits = own[:, 5 * place], own[:, 5 * place + 1 : 5 * place + 5]
            digit = digits[:, place]
            chosen[place] = glyphs[digit, (which >> np.uint64(32)).astype(np.int64) * counts[digit] >> 32]
            poses[place] = placer.poses(len(ids), pose_bits)
        spelt = digits @ 10 ** np.arange(num_digits - 1, -1, -1)
        labels = noisy_labels(spelt, self.spec.label_noise, label_bits, len(self.class_names))
        return Drawing(self.noise.places(noise_bits), chosen, poses), labels

    def _render(self, drawing: Drawing) -> NDArray[np.int16]:
        """Pictures ``[B, H, W]`` in 0..255."""
        canvas = self.noise.crops(drawing.crops)
        canvas += BACKGROUND
        for placer, glyphs, poses in zip(self.placers, drawing.glyphs, drawing.poses, strict=True):
            canvas[:, placer.rows, placer.columns] += placer.draw(glyphs, poses)
        return canvas.clip(0, 255, out=canvas)


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


def _placers(spec: DigitPairsSpec | DigitStringsSpec) -> tuple[SpritePlacer, ...]:
    """The digits share the width evenly, on one line in the middle."""
    size = spec.resolution / spec.num_digits
    factor = min(2 * round(1.5 * size / SIDE) + 1, 15)
    sprites = enlarge(load_glyphs().pixels, factor, FULL_INK)
    affine = Affine(max_rotation_deg=spec.max_rotation_deg, max_shift=spec.max_shift, max_scale=spec.max_scale)
    pitch = factor * SIDE / size
    centres = [(spec.resolution / 2, (place + 0.5) * size) for place in range(spec.num_digits)]
    return tuple(
        SpritePlacer(sprites, pitch=pitch, side=spec.resolution, centre=centre, affine=affine) for centre in centres
    )
