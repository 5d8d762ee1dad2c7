"""Examples that err together because they follow one another, and how many groups of them say anything."""

from __future__ import annotations

from levelfield.records.codec import record
from levelfield.records.reason import Reason

LEAST_STRETCHES = 8
"""Fewer give no interval: the spread among them is then hardly known."""
LEAST_STRETCHES_JUDGED = 100
"""Fewer decide nothing between networks, as fewer examples do: verdicts rest on normal limits, and a stretch is what an
example is elsewhere (MIN_EFFECTIVE_EXAMPLES of scaling/noise/uncertainty.py)."""


@record
class FewStretches(Reason):
    """Held-out examples that follow one another make up ``num`` stretches, fewer than the ``needed``."""

    num: int
    needed: int


def few_stretches(num: int, needed: int = LEAST_STRETCHES) -> FewStretches | None:
    """Why ``num`` stretches give no interval, or whatever else takes the ``needed`` ones, if they do not."""
    return FewStretches(num=num, needed=needed) if num < needed else None
