"""What must be known of a data set: said by whoever opens it, and not again by processes that work for it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

logger = logging.getLogger(__name__)


def say(sentence: str) -> None:
    """Say ``sentence`` of a data set that was opened."""
    logger.warning("%s", sentence)


@contextlib.contextmanager
def said_elsewhere() -> Iterator[None]:
    """Meanwhile nothing is said: by a report that tells it all, or by the process that this one works for."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
