"""Fractals: an unlimited stream of any number of classes, made by index and never stored.

Source: FractalDB - Kataoka et al., "Pre-training without natural images", 2020 (arXiv 2101.08515): a class is an
iterated function system, its instances are that system slightly changed, flipped, and painted in points or in patches.

Example ``id`` of a split is a pure function of (spec, split, id). Its class is ``id`` modulo the number of classes, so
that any run of consecutive ids is balanced. An instance shrinks every map by a factor of its own; that of the first map
is 0, 1 or one of 2 and 3 modulo 4, in steps of a 1,024th, for the report, the select and the train split, so no
held-out instance is one that is trained on. ``label_noise`` is that of :mod:`levelfield.data.generated.digit_strings`.

What is random is drawn as whole numbers, what follows is whole numbers too, by NumPy here or by torch on a device
(``fractal_renderer.py``), to the same last bit. Memory does not grow with the stream; of at most :data:`MOST_KEPT`
classes the systems are kept, 192 bytes each, of others they are found again for every batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words
from levelfield.data.generated.chaos import SLOTS, Systems, points_of, to_pixels
from levelfield.data.generated.iterated import MOST_MAPS, systems_of
from levelfield.data.generated.label_noise import noisy_labels
from levelfield.data.source import Examples, check_ids
from levelfield.records.codec import to_plain
from levelfield.records.data import Split
from levelfield.records.drawn import FractalsSpec
from levelfield.records.fields import FieldFacts
from levelfield.records.fingerprint import fingerprint

FRACTALS_VERSION = 1
"""Part of the fingerprint. A change that alters a single pixel or label must change it."""
MOST_KEPT = 2**16
BRIGHTEST_HALVINGS = 8
"""The grey level of a pixel with n points is 255 less 255 halved n times, and no brighter after so many."""
_CHUNK = 32
_STEPS = 1024


class Instances(NamedTuple):
    """What the pictures of a batch consist of: ``systems``, whose points ``key`` and ``ids`` [B] draw, ``flips`` bool
    [B, 2] of rows and of columns, and ``patches`` bool [B, 3, 3], or None for points."""

    systems: Systems
    key: UInt64s
    ids: Int64s
    flips: NDArray[np.bool_]
    patches: NDArray[np.bool_] | None


class Fractals:
    """See the module. ``batch`` ignores ``augment_keys``: the stream itself is the augmentation.

    What it costs is in ``benchmarks/results/fractals_cpu_202611.md`` (``python -m benchmarks.fractals``).
    """

    in_channels = 1
    no_verdict_because = None
    remarks = ()

    def __init__(self, spec: FractalsSpec) -> None:
        self.spec, self.resolution = spec, spec.resolution
        self.fields = FieldFacts(num_classes=spec.num_classes, label_noise=spec.label_noise)
        self.class_names = tuple(f"fractal {label}" for label in range(spec.num_classes))  # nobody's class of a number
        self.split_sizes: Mapping[Split, int] = {
            "train": spec.stream_examples,
            "select": spec.select_examples,
            "report": spec.report_examples,
        }
        sizes = ("stream_examples", "select_examples", "report_examples")
        drawn = {name: value for name, value in to_plain(spec).items() if name not in sizes}
        self.fingerprint = fingerprint(spec.source, [FRACTALS_VERSION, drawn])
        self._classes = key_words(1, spec.source, spec.seed, "classes")
        self._keys = {split: key_words(2, spec.source, spec.seed, split) for split in self.split_sizes}
        kept = min(spec.num_classes, MOST_KEPT)
        self._systems = np.empty((kept, SLOTS, 6), dtype=np.int32)
        self._known = np.zeros(kept, dtype=bool)

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        images = np.empty((len(ids), 1, self.resolution, self.resolution), dtype=np.uint8)
        labels = np.empty(len(ids), dtype=np.int64)
        for start in range(0, len(ids), _CHUNK):  # small enough for the cache
            chunk = slice(start, start + _CHUNK)
            instances, labels[chunk] = self.drawn(split, ids[chunk])
            images[chunk, 0] = rendered(instances, self.resolution)
        return Examples({"image": images, "label": labels}, np.ones(len(ids), dtype=bool))

    def drawn(self, split: Split, ids: Int64s) -> tuple[Instances, Int64s]:
        """What the pictures ``ids`` [B] consist of, and their labels [B], noise included."""
        spec, key = self.spec, self._keys[split]
        bits = draw_bits(key[:1], ids, 3 + 3 * MOST_MAPS)
        classes = ids % spec.num_classes
        changed = _changed(self._system_of(classes), bits[:, 3:].reshape(-1, MOST_MAPS, 3), spec.variation, split)
        looks = below(bits[:, 2], 1 << 11)
        flips = np.stack([looks & 1, looks >> 1 & 1], axis=1).astype(bool)
        patches = None
        if spec.pattern == "patch":
            patches = (looks[:, None] >> np.arange(2, 11) & 1).astype(bool).reshape(-1, 3, 3)
            patches[:, 1, 1] = True
        labels = noisy_labels(classes, spec.label_noise, bits[:, :2], spec.num_classes)
        return Instances(changed, key[1:], ids, flips, patches), labels

    def _system_of(self, classes: Int64s) -> Systems:
        distinct, where = np.unique(classes, return_inverse=True)
        if distinct[-1] >= len(self._known):
            return systems_of(self._classes, distinct)[where]
        new = distinct[~self._known[distinct]]
        if len(new):
            self._systems[new] = systems_of(self._classes, new)
            self._known[new] = True  # after the systems: a second thread reads both
        return self._systems[classes]


def _changed(systems: Systems, bits: UInt64s, variation: float, split: Split) -> Systems:
    """``systems`` ``[B, SLOTS, 6]`` of instances, by ``bits`` ``[B, maps, 3]``: a map's factor, and its shift's two."""
    most = round(variation * _STEPS)
    less = below(bits, most + 1)
    first = 4 * below(bits[:, 0, 0], most // 4)
    less[:, 0, 0] = first + {"report": 0, "select": 1}.get(split, 2 + (bits[:, 0, 0] & np.uint64(1)).astype(np.int64))
    starts = np.ones(systems.shape[:2], dtype=np.int64)
    starts[:, 1:] = (systems[:, 1:] != systems[:, :-1]).any(-1)
    map_of = np.cumsum(starts, axis=1) - 1
    factors = (_STEPS - np.take_along_axis(less, map_of[:, :, None], axis=1)).astype(np.int32)
    return (systems * factors[..., [0, 0, 0, 0, 1, 2]]) >> 10


def rendered(instances: Instances, side: int) -> NDArray[np.uint8]:
    """Pictures ``[B, side, side]``: points counted, painted as patches, flipped, and made visible."""
    number = len(instances.ids)
    pixels = to_pixels(points_of(instances.systems, instances.key, instances.ids, side=side), side=side)
    places = pixels + np.arange(number)[:, None] * side**2
    counts = np.bincount(places.ravel(), minlength=number * side**2).reshape(number, side, side)
    if instances.patches is not None:
        counts = _painted(counts, instances.patches)
    for axis in (1, 2):
        flipped = instances.flips[:, axis - 1, None, None]
        counts = np.where(flipped, np.flip(counts, axis), counts)
    return (255 - (255 >> np.minimum(counts, BRIGHTEST_HALVINGS))).astype(np.uint8)


def _painted(counts: Int64s, patches: NDArray[np.bool_]) -> Int64s:
    """Every point paints the pixels around it that its picture's patch has."""
    side = counts.shape[1]
    around = np.pad(counts, ((0, 0), (1, 1), (1, 1)))
    painted = np.zeros_like(counts)
    for row in range(3):
        for column in range(3):
            moved = around[:, row : row + side, column : column + side]
            painted += np.where(patches[:, row, column, None, None], moved, 0)
    return painted
