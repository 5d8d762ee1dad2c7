"""Fewer of many: a picture of everything that a large study tried shows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

MOST_LINES = 12
"""Lines, or small panels of a family, that an eye can follow. No study in print has more rungs or sizes."""


def evenly(values: Sequence[T], most: int = MOST_LINES) -> list[T]:
    """At most ``most`` of ``values``, evenly spaced, the first and the last among them; all where there are no more."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def told_thinned(drawn: int, there: int, what: str) -> str:
    """A sentence that says how many are drawn, after a blank; empty where all are."""
    return "" if drawn == there else f" Of {there:,} {what} {drawn:,} are drawn, evenly spaced."
