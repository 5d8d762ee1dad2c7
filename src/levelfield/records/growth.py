"""How a race goes on that has not decided: what it would do next, each as a record that says what it changes."""

from __future__ import annotations

from levelfield.records.codec import record
from levelfield.records.reason import Reason


@record
class WiderRates(Reason):
    """Rates ``factor`` times lower and higher, since winners of ``families`` lie at an end of those tried."""

    families: tuple[str, ...]
    factor: float


@record
class LongerWalks(Reason):
    """Up to ``cap`` values along an axis, since winners of ``families`` were not enclosed along ``axes``."""

    families: tuple[str, ...]
    axes: tuple[str, ...]
    cap: int


@record
class MoreSeeds(Reason):
    """``seeds`` a winner, which tell families that are equal from others by the ``margin`` in 8 of 10 races."""

    seeds: int
    margin: float


@record
class SomeSeeds(Reason):
    """``seeds`` a winner, though no number of them alone is foreseen to decide by the ``margin``."""

    seeds: int
    margin: float


@record
class RungAbove(Reason):
    """A rung above, at ``budget_flops``: a new question, whose answer is not foretold."""

    budget_flops: float
