"""What must be known of a data set: said by whoever opens it, and not again by processes that work for it."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


def say(sentence: str) -> None:
    """Say ``sentence`` of a data set that was opened."""
    logger.warning("%s", sentence)


def leave_saying_to_others() -> None:
    """This process works for one that has opened the same data, and said all that was to be said of it."""
    logger.setLevel(logging.ERROR)
