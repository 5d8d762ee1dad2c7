"""How wrong a form may be for every e-fold beyond its rows: by its own backtests, as far as they can tell.

Estimated: the sd of ln loss by which a form errs an e-fold beyond its rows. Shipped are three figures a form
(shipped.py): ``untested``, of a table without a backtest, and ``least`` and ``own``, of one whose backtests show a
slope. Backtests that noise alone explains show 0, whatever the form: two in three planted ladders and single curves do.
They tell as much as they could have shown: with ν the slope that noise gives them and τ the untested one, a law of
compute without a slope of its own is wrong by

    least^2 + (τ^2 - least^2) ν^2 / (ν^2 + τ^2),

``least`` where an error of τ would have been seen plainly, τ where none could be seen. Taken for ``least`` always,
planted ladders and curves whose small runs fall steeply were covered in 75 % at nominal 90 %, 30 to 300 times beyond
their rows, and are now in 84 % (206 development tables of benchmarks/planted_tables.py: 88 and 92 % over all, interval
score 0.198 and 0.195). Laws of size and examples count as tested by any backtest: many cells tell them, and so wide
they covered 100 % where they hold, with a score of 0.103 instead of 0.086.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from levelfield.scaling.ladder.misses import Miss, excess_slope
from levelfield.scaling.laws import OF_COMPUTE
from levelfield.scaling.next.shipped import form_error


def form_slope(form: str, misses: Sequence[Miss]) -> float:
    """The sd of ln loss by which ``form`` is wrong for every e-fold of compute, its table's ``misses`` heard."""
    known, own = form_error(form), excess_slope(misses)
    if own is None:
        return known.untested
    if form not in OF_COMPUTE:
        return math.hypot(known.least, known.own * own)
    noise = sum(each.noise_sd**2 for each in misses) / sum(each.distance**2 for each in misses)
    unseen = noise / (noise + known.untested**2)
    least = known.least**2 + (known.untested**2 - known.least**2) * unseen
    return math.sqrt(least + (known.own * own) ** 2)
