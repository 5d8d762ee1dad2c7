"""What was foretold beside what came: by earlier cuts of the runs, and locked before a rung ran."""

from __future__ import annotations

import math
from collections.abc import Sequence

from levelfield.report.facts import LockedPrediction
from levelfield.report.figures import theme
from levelfield.report.figures.axes import log_axis, percent_axis
from levelfield.report.figures.canvas import Canvas, Mark, Shift
from levelfield.report.figures.figure import Figure, Panel
from levelfield.report.words import numbers
from levelfield.report.words.foretold import cuts_absent, foretold_told
from levelfield.scaling.foretold import Foretold
from levelfield.scaling.results.intervals import Interval

_APART = 9.0
"""px between what was foretold of one budget."""
_READING = (
    "0 is what came. A filled mark is what the runs up to a cut would have foretold, fitted anew; a large hollow "
    "diamond what was locked before its rung ran. Bars are the intervals: one that crosses 0 holds what came."
)


def foretold_figure(
    families: tuple[str, ...], cuts: Sequence[Foretold], locked: Sequence[LockedPrediction], *, num_rows: int
) -> Figure:
    """Everything that was foretold, relative to what came, against the budget that it was foretold of.

    ``num_rows`` are those of the runs: of very many a page makes no cuts, and says so.
    """
    title = "What was foretold, and what came"
    said = [each for each in cuts if each.said is not None]
    known = [each for each in locked if each.seen is not None]
    if not said and not known:
        return Figure(name="foretold", title=title, absent=cuts_absent(num_rows))
    budgets = [each.budget_flops for each in (*said, *known)]
    errors = [_relative(each.said, each.came) for each in said if each.said]
    errors += [_relative(each.predicted, each.seen) for each in known if each.seen]
    canvas = Canvas(
        x=log_axis("training compute in FLOPs that was foretold of", budgets, room=0.12),
        y=percent_axis("foretold relative to what came in %", [0.0, *(end for own in errors for end in own)], room=0.1),
        width=560,
    )
    canvas.level(0.0)
    styles = theme.family_styles(families)
    places: dict[float, int] = {}
    for cut in said:
        style = styles.get(cut.family, theme.FALLBACK)
        canvas.points([_of_cut(cut)], color=style.color, shape=style.shape, shift=_beside(places, cut.budget_flops))
    for prediction in known:
        style = styles.get(prediction.family, theme.FALLBACK)
        shift = _beside(places, prediction.budget_flops)
        canvas.points([_of_lock(prediction)], color=style.color, shape="diamond", hollow=True, size=120, shift=shift)
    panel = Panel(name="foretold", title=title, specification=canvas.specification(title), wide=True)
    caption, further = foretold_told(cuts, known, num_rows)
    reading = f"{further} {_READING}" if further else _READING
    return Figure(name="foretold", title=title, caption=caption, reading=reading, panels=(panel,))


def _beside(places: dict[float, int], budget: float) -> Shift:
    """Where the next mark of a budget stands: the first in the middle, others to its right and left."""
    place = places.get(budget, 0)
    places[budget] = place + 1
    return ((1 if place % 2 else -1) * ((place + 1) // 2) * _APART, 0.0)


def _relative(said: Interval, came: float) -> tuple[float, float, float]:
    """ln of the estimate and of the ends over what came."""
    estimate, low, high = (math.log(max(value, 1e-12) / came) for value in (said.estimate, said.low, said.high))
    return estimate, low, high


def _of_cut(cut: Foretold) -> Mark:
    assert cut.said is not None
    how = f"fitted up to {numbers.flops(cut.cut_flops)}"
    return _mark(cut.family, cut.budget_flops, cut.said, cut.came, how)


def _of_lock(found: LockedPrediction) -> Mark:
    assert found.seen is not None
    how = f"locked {numbers.minute(found.locked)}"
    return _mark(found.family, found.budget_flops, found.predicted, found.seen, how)


def _mark(family: str, budget: float, said: Interval, came: float, how: str) -> Mark:
    estimate, low, high = _relative(said, came)
    lines = (
        f"{numbers.family_name(family)} at {numbers.flops(budget)}, {how}",
        f"foretold {numbers.loss_interval(said)}, then came {numbers.loss(came)}",
    )
    return Mark(x=budget, y=estimate, low=low, high=high, text="\n".join(lines))
