"""What every spec of data says of its pictures and splits, and within which bounds."""

from __future__ import annotations

from typing import Any

from levelfield.records.errors import expect
from levelfield.records.stated import LARGEST_WHOLE_NUMBER

LARGEST_SIDE = 4096
"""Pixels along a side of an image that anybody trains on."""
LARGEST_DRAWN_SIDE = 128
"""The same of what is drawn: backgrounds of digits are cut out of a bank of 1,024 times as many pixels in memory."""
LONGEST_STREAM = 2**62
"""Examples that an order can count (see :mod:`levelfield.data.order`)."""
MOST_DRAWN_CLASSES = 2**20
"""Classes of a stream that may have any number of them: an output of a network for each."""
LONGEST_PATH = 4096
MOST_HELD_OUT = 10**7
"""Held-out examples of a split: each is judged by every trial, and its loss kept."""


def expect_common(spec: Any) -> None:
    """Check what all specs of data have in common.

    Raises:
        SpecError: a value is out of bounds.
    """
    expect(1 <= spec.resolution <= LARGEST_SIDE, "resolution", f"from 1 to {LARGEST_SIDE} pixels", spec.resolution)
    for name in ("select_examples", "report_examples"):
        size = getattr(spec, name)
        expect(size is None or 1 <= size <= MOST_HELD_OUT, name, f"from 1 to {MOST_HELD_OUT}", size)
    expect(0 <= spec.seed <= LARGEST_WHOLE_NUMBER, "seed", f"from 0 to {LARGEST_WHOLE_NUMBER}", spec.seed)
    for name in ("path", "report_path"):
        place = getattr(spec, name, None)
        expect(place is None or 1 <= len(place) <= LONGEST_PATH, name, f"of 1 to {LONGEST_PATH} characters", place)
