"""Examples that err together because they follow one another, and how many groups of them say anything."""

from __future__ import annotations

from levelfield.records.codec import record
from levelfield.records.reason import Reason

LEAST_STRETCHES = 8
"""Fewer give no interval: the spread among them is then hardly known."""


@record
class FewStretches(Reason):
    """Held-out examples that follow one another make up ``num`` stretches, fewer than the ``needed``."""

    num: int
    needed: int


def few_stretches(num: int) -> FewStretches | None:
    """Why ``num`` stretches give no interval, if they do not."""
    return FewStretches(num=num, needed=LEAST_STRETCHES) if num < LEAST_STRETCHES else None
