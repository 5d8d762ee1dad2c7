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
    """``seeds`` a winner, after which the pairs that are open are decided with the probability ``chance``.

    With ``check_seeds``, as many runs of every trial that decides an axis for other rungs; None where these stay.
    """

    seeds: int
    chance: float
    check_seeds: int | None = None


@record
class RungAbove(Reason):
    """A rung above, at ``budget_flops``: a new question, whose answer is not foretold.

    All rungs together then decide the pairs that are open with the probability ``chance``, if these differ there as
    below; None where none is open, or nothing is known of the noise.
    """

    budget_flops: float
    chance: float | None = None
