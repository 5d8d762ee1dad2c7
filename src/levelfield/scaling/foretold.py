"""What would have been foretold at each earlier cut of a table, beside what came: the future left out, again and again.

At a cut the rows above a budget are hidden, everything is fitted anew to the rest, and the next budget and the last
are foretold as :func:`levelfield.scaling.next.predict.predict` would have; of a study without its losses of single
report examples, so that intervals are those of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from levelfield.records.codec import record
from levelfield.records.errors import RefusedError
from levelfield.records.observation import Observation
from levelfield.scaling.analyse import analyse
from levelfield.scaling.ladder.belief import NOTHING_ASKED, Asked
from levelfield.scaling.next.predict import predict
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.tables.rows import Rows, having
from levelfield.scaling.tables.rungs import checked, frontier, rungs

FEWEST_BUDGETS = 4
"""Of a family below a cut: fewer have no law."""
MOST_ROWS_OF_A_PAGE = 2000
MOST_CUTS = 8
"""A cloud of hundreds of budgets is cut at so many of them, evenly spread."""


@record
class Foretold:
    """``family`` at ``budget_flops``, foretold from its budgets up to ``cut_flops``, and the loss that ``came``.

    ``came`` is the mean over seeds of the winner there, or of the best cell of a search, whose luck is not taken off.
    ``said`` is absent where nothing could be foretold from so little.
    """

    family: str
    cut_flops: float
    budget_flops: float
    said: Interval | None
    came: float

    @property
    def error(self) -> float | None:
        """ln(said / came)."""
        return None if self.said is None else math.log(self.said.estimate / self.came)

    @property
    def inside(self) -> bool | None:
        """Whether what came lies inside the interval."""
        return None if self.said is None else self.said.low <= self.came <= self.said.high


def foretold(
    observations: Sequence[Observation],
    *,
    level: float = 0.9,
    asked: Asked = NOTHING_ASKED,
    sizes_counted: bool = True,
) -> tuple[Foretold, ...]:
    """What every cut would have said of the next budget and of the last one, by family and rising cut.

    ``sizes_counted`` is as for :func:`levelfield.scaling.analyse.analyse`.

    Empty where no family has a budget above its first four.

    Raises:
        InputError: a malformed table.
    """
    rows = having(checked(observations), "role", "search", "winner", "control", "audit")
    came = {family: _came(rows, family) for family in sorted(rows.coded("family").present)}
    found = [each for cut in _cuts(came) for each in _at_cut(rows, cut, came, level, asked, sizes_counted)]
    return tuple(sorted(found, key=lambda each: (each.family, each.cut_flops, each.budget_flops)))


def cuts_of(observations: Sequence[Observation], *, sizes_counted: bool = True) -> tuple[Foretold, ...]:
    """What a page shows of them: every cut of a study's rungs, and of a long table none.

    A cut costs as much as fitting all laws once; ``levelfield fit --backtest`` cuts a long table for who asks.
    """
    if not 0 < len(observations) <= MOST_ROWS_OF_A_PAGE:
        return ()
    return foretold(observations, sizes_counted=sizes_counted)


def _came(rows: Rows, family: str) -> dict[float, float]:
    """The loss at every budget of ``family``."""
    winners = rungs(having(rows, "family", family), "winner")
    if winners:
        return {rung.budget_flops: math.exp(rung.log_loss) for rung in winners}
    return {row.budget_flops: row.loss for row in frontier(rows, family).runs}


def _cuts(came: dict[str, dict[float, float]]) -> list[float]:
    """The budgets above which rows are hidden: such that some family has enough below and one above."""
    able = sorted({cut for budgets in came.values() for cut in sorted(budgets)[FEWEST_BUDGETS - 1 : -1]})
    places = np.unique(np.linspace(0, len(able) - 1, min(MOST_CUTS, len(able))).round().astype(int)) if able else ()
    return [able[place] for place in places]


def _at_cut(
    rows: Rows, cut: float, came: dict[str, dict[float, float]], level: float, asked: Asked, sizes_counted: bool
) -> Iterator[Foretold]:
    seen = rows.at(np.flatnonzero(rows.numbers("budget_flops") <= cut))
    analysis = analyse(seen, level=level, compared=False, asked=asked, sizes_counted=sizes_counted)
    for family in analysis.families:
        budgets = came[family]
        later = [budget for budget in sorted(budgets) if budget > cut]
        if len(budgets) - len(later) < FEWEST_BUDGETS or not later:
            continue
        for budget in dict.fromkeys((later[0], later[-1])):
            try:
                predictions = predict(analysis, budget=budget, level=level)
            except RefusedError:
                said = None
            else:
                said = next((each.loss for each in predictions if each.family == family), None)
            yield Foretold(family=family, cut_flops=cut, budget_flops=budget, said=said, came=budgets[budget])
