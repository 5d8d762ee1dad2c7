"""Data that is made and not found: one frozen spec a stream, see :mod:`levelfield.data.generated`."""

from __future__ import annotations

from typing import Literal

from levelfield.records.codec import record
from levelfield.records.data_bounds import (
    LARGEST_DRAWN_SIDE,
    LONGEST_STREAM,
    MOST_DRAWN_CLASSES,
    expect_common,
)
from levelfield.records.errors import expect
from levelfield.records.reason import Reason
from levelfield.records.stated import stated


@record
class FewDigitsJudge(Reason):
    """Why losses on scikit-learn's plain digits compare nothing: a few of the held-out images carry most of the loss.

    Five of 360 do, and seeds differ by a factor of two.
    """


@stated
class _DigitStreamSpec:
    """What the unlimited streams of handwritten digits over 1/f noise have in common.

    ``label_noise`` is the probability that a label is drawn uniformly from the other classes, which plants a known
    entropy floor under the loss. ``noise_contrast`` is the standard deviation of the background as a share of the
    ink's contrast; ``max_shift`` is a share of the image's side, ``max_scale`` a ratio either way.
    ``stream_examples`` is the length of an epoch: the default is never exhausted, a small one makes data scarce.
    """

    resolution: int = 32
    label_noise: float = 0.1
    noise_contrast: float = 0.15
    max_rotation_deg: float = 15.0
    max_shift: float = 0.06
    max_scale: float = 1.15
    stream_examples: int = 2**40
    select_examples: int = 4096
    report_examples: int = 20000
    seed: int = 0

    def __post_init__(self) -> None:
        expect(0 <= self.label_noise < 0.99, "label_noise", "in [0, 0.99)", self.label_noise)
        expect(0 <= self.noise_contrast <= 1, "noise_contrast", "in [0, 1]", self.noise_contrast)
        expect(1 <= self.max_scale <= 4, "max_scale", "from 1 to 4", self.max_scale)
        expect(0 <= self.max_shift <= 0.25, "max_shift", "in [0, 0.25] of the image's side", self.max_shift)
        expect(0 <= self.max_rotation_deg <= 180, "max_rotation_deg", "in [0, 180]", self.max_rotation_deg)
        most = LONGEST_STREAM
        expect(1 <= self.stream_examples <= most, "stream_examples", f"from 1 to {most}", self.stream_examples)
        expect(self.resolution <= LARGEST_DRAWN_SIDE, "resolution", f"at most {LARGEST_DRAWN_SIDE}", self.resolution)
        expect_common(self)


@stated
class DigitPairsSpec(_DigitStreamSpec):
    """Two digits side by side, 100 classes; the embedded default. Fields: see :class:`_DigitStreamSpec`."""

    source: Literal["digit-pairs"] = "digit-pairs"

    @property
    def num_digits(self) -> int:
        return 2


@stated
class DigitStringsSpec(_DigitStreamSpec):
    """``num_digits`` digits side by side: 10 to that power classes. Fields: see :class:`_DigitStreamSpec`."""

    source: Literal["digit-strings"] = "digit-strings"
    num_digits: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(1 <= self.num_digits <= 4, "num_digits", "from 1 to 4", self.num_digits)


@stated
class DigitsSpec:
    """scikit-learn's 1,797 handwritten digits, 8 px: a smoke test that supports no verdict."""

    source: Literal["digits"] = "digits"
    resolution: int = 8
    augment: Literal["none", "affine"] = "affine"
    select_examples: int = 360
    report_examples: int = 360
    seed: int = 0

    def __post_init__(self) -> None:
        held_out = self.select_examples + self.report_examples
        expect(held_out < 1797, "select_examples + report_examples", "below the 1,797 digits there are", held_out)
        expect_common(self)


@stated
class FractalsSpec:
    """Fractals of ``num_classes`` iterated function systems: see :mod:`levelfield.data.generated.fractals`.

    Of an instance of a class every map shrinks by its own factor down to 1 - ``variation``, and moves less by as much.
    ``pattern`` is what a point of it paints: a "point", or the "patch" of 3 x 3 pixels that the instance drew.
    ``label_noise`` and ``stream_examples`` are those of the digit streams.
    """

    source: Literal["fractals"] = "fractals"
    num_classes: int = 1000
    resolution: int = 32
    pattern: Literal["point", "patch"] = "point"
    variation: float = 0.2
    label_noise: float = 0.0
    stream_examples: int = 2**40
    select_examples: int = 4096
    report_examples: int = 20000
    seed: int = 0

    def __post_init__(self) -> None:
        expect(0 <= self.label_noise < 0.99, "label_noise", "in [0, 0.99)", self.label_noise)
        expect(0.01 <= self.variation <= 0.5, "variation", "from 0.01 to 0.5", self.variation)
        most = MOST_DRAWN_CLASSES
        expect(2 <= self.num_classes <= most, "num_classes", f"from 2 to {most}", self.num_classes)
        most = LONGEST_STREAM
        least = self.num_classes
        held = least <= self.stream_examples <= most
        expect(held, "stream_examples", f"from {least}, one a class, to {most}", self.stream_examples)
        least, most = SMALLEST_FRACTAL, LARGEST_DRAWN_SIDE
        expect(least <= self.resolution <= most, "resolution", f"from {least} to {most}", self.resolution)
        expect_common(self)


SMALLEST_FRACTAL = 8
"""Pixels along a side on which a fractal can be told from another."""
