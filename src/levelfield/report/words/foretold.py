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
    told = [each.inside for each in known if each.seen is not None]
    if not told:
        return ""
    inside = sum(bool(each) for each in told)
    return f"Of {len(told)} predictions that were locked before their rungs ran, {inside} hold what came."


def fared(prediction: LockedPrediction, *, inside: str, outside: str) -> str:
    """What became of one that was locked, in a word or two."""
    if prediction.inside is None:
        return "diverged" if prediction.diverged else "not run yet"
    return inside if prediction.inside else outside


def score_sentence(found: Foretold) -> str:
    """How a run fared whose loss was foretold; of one that was."""
    assert found.said is not None  # what is locked was said
    assert found.error is not None
    off = numbers.signed_percent(-found.error)
    where = "inside" if found.inside else "outside"
    return (
        f"{numbers.family_name(found.family)} at {numbers.power(found.budget_flops)} FLOPs came to "
        f"{numbers.loss(found.came)}, {off} against the {numbers.loss_interval(found.said)} that was foretold: {where} "
        "the interval"
    )


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
