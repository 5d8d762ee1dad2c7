"""What all ranks of a trial decide together after every step."""

from __future__ import annotations

from typing import NamedTuple

from levelfield.train.ranks import Ranks
from levelfield.train.timing import Stopwatch


class Wish(NamedTuple):
    """What is to be done after a step: ``stop``, since a signal has come; stop, since the time is ``over``; or ``save``
    and go on."""

    stop: bool = False
    over: bool = False
    save: bool = False

    @property
    def saves(self) -> bool:
        return any(self)


def wish_of_all(ranks: Ranks, own: Wish) -> Wish:
    """What any rank wishes, all do."""
    return own if ranks.alone else Wish(*ranks.any(*own))


def spent_by_all(ranks: Ranks, stopwatch: Stopwatch) -> dict[str, float]:
    """Seconds by purpose, those of training on all devices together."""
    return ranks.seconds(stopwatch.seconds, "data", "step")
