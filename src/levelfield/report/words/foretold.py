"""What was foretold and what came, in sentences, and why a page has no cuts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from levelfield.report.facts import LockedPrediction
from levelfield.report.words import numbers
from levelfield.scaling.foretold import MOST_ROWS_OF_A_PAGE, Foretold


def foretold_sentence(found: Sequence[Foretold]) -> str:
    """How far off the cuts were, and how often what came lay inside; empty where nothing was foretold."""
    said = [each for each in found if each.error is not None]
    if not said:
        return ""
    off = math.expm1(statistics.median(abs(each.error or 0.0) for each in said))
    inside = sum(bool(each.inside) for each in said)
    return (
        f"Of {len(found)} losses that earlier cuts would have foretold, {len(said)} were said, off by "
        f"{numbers.percent(off)} at the median; {inside} of these lie inside their intervals."
    )


def locked_sentence(known: Sequence[LockedPrediction]) -> str:
    """How those fared that were locked before their rung ran; empty without any that has run."""
    told = [(each.predicted, each.seen) for each in known if each.seen is not None]
    if not told:
        return ""
    inside = sum(predicted.low <= seen <= predicted.high for predicted, seen in told)
    return f"Of {len(told)} predictions that were locked before their rungs ran, {inside} hold what came."


def foretold_told(cuts: Sequence[Foretold], known: Sequence[LockedPrediction], num_rows: int) -> tuple[str, str]:
    """The sentence that says what to see, and what else must be said: of locked ones, or why there are no cuts."""
    of_cuts, of_locked = foretold_sentence(cuts), locked_sentence(known)
    return (of_cuts, of_locked) if of_cuts else (of_locked, cuts_absent(num_rows))


def cuts_absent(num_rows: int) -> str:
    """Why no earlier cut of the runs is shown."""
    if num_rows > MOST_ROWS_OF_A_PAGE:
        return (
            f"The table has {num_rows:,} rows, and a page makes no cuts of more than {MOST_ROWS_OF_A_PAGE:,}, each of "
            "which fits everything anew: levelfield fit --backtest does, for who asks."
        )
    return "No family has a budget above its first four, so that no cut could foretell one."
