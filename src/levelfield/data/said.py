"""What must be known of a data set: said by whoever opens it, and not again by processes that work for it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

logger = logging.getLogger(__name__)


_told: set[str] | None = None


def say(sentence: str) -> None:
    """Say ``sentence`` of a data set that was opened."""
    if _told is not None:
        if sentence in _told:
            return
        _told.add(sentence)
    logger.warning("%s", sentence)


@contextlib.contextmanager
def each_said_once() -> Iterator[None]:
    """Meanwhile no sentence is said twice: one command may open the same data several times."""
    global _told
    before, _told = _told, set()
    try:
        yield
    finally:
        _told = before


@contextlib.contextmanager
def said_elsewhere() -> Iterator[None]:
    """Meanwhile nothing is said: by a report that tells it all, or by the process that this one works for."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
