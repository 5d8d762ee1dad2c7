"""What the numbers of anybody's table cannot be: seen once, when it is read, for every verb that reads one.

What would make an answer wrong is refused; what may is said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from levelfield.records.errors import InputError
from levelfield.scaling.laws import Floats
from levelfield.scaling.tables.counted import counted, perhaps_wrongly_counted, wrongly_counted
from levelfield.scaling.tables.rows import Rows, having

LEAST_PER_PARAMETER, MOST_PER_PARAMETER = 1e-3, 2e5
"""Training FLOPs over 6 N D. 1 for dense transformers, whose examples are tokens; some hundredths for mixtures of many
experts; hundreds for images of as many patches, and up to some ten thousand for small convolutions on large ones (1 MAC
= 2 FLOPs). Compute in GFLOPs, or examples in millions, lie beyond."""
MOST_APART = 1e3
"""How far the runs of one family may differ in that ratio: more is a column of two units."""
MOST_DECADES = 6.0
"""Between one run's compute and the next one's: more is a column of two units, or a law that nobody should prolong."""
RISES = 1.5
"""Standard errors by which the rank correlation of loss with compute lies above 0 (Fisher's z) where a metric is better
the higher it is. Of planted losses none lies above -2.5, of planted accuracies all above 1.6; of noise alone, which has
no law either, 7 %."""
MIN_RISING = 4
_BIT_OVER_NAT, _LIKE_A_BIT = -math.log(math.log(2)), 0.02
"""ln of the factor between a loss in bits and in nats, and how near differences of ln loss then lie to it."""
_PERFECT = 0.999
_NEAR_ONE = 0.95
_BETTER_HIGHER = re.compile(
    r"(?<![a-z])(acc(uracy)?|top.?[15]|au(ro)?c|m?ap|m?iou|f1|bleu|psnr|r2|reward|success(_rate)?|recall|precision)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_STATE = re.compile(r"(^|[^a-z])(state|status)($|[^a-z])", re.IGNORECASE)
_FINISHED = frozenset(("finished", "finish", "completed", "complete", "done", "success", "succeeded", "ok"))
_NOT_FINISHED = frozenset(
    (
        *("crashed", "failed", "failure", "error", "oom", "killed", "aborted", "interrupted", "cancelled", "canceled"),
        *("running", "preempted", "preempting", "pending", "queued", "stopped", "timeout"),
    )
)
_BETTER_LOWER = re.compile(r"err|loss|nll|nats|bits|perplex|ppl|1\s*-|entropy", re.IGNORECASE)


def implausible(rows: Rows, *, where: Any, loss: str, place_of: Callable[[int], str]) -> tuple[str, ...]:
    """What may be wrong with finished ``rows``, in sentences; ``loss`` is the name of their measure.

    ``where`` is the table that a complaint names, ``place_of`` where a reader finds its row of a number.

    Raises:
        InputError: runs that have not finished; compute of another unit than its parameters and examples say, or of
            two units; a measure that is better the higher it is; seeds that are copies of one run.
    """
    for problem in (
        _unfinished(rows, place_of),
        _spellings(rows),
        _units(rows, place_of),
        _gap(rows, place_of),
        wrongly_counted(constants := counted(rows)),
        _direction(rows, loss),
        _copies(rows),
    ):
        if problem:
            raise InputError(f"{where}: {problem}")
    return (*_may_be_chance(rows), *_may_be_bits(rows), *perhaps_wrongly_counted(constants))


def _unfinished(rows: Rows, place_of: Callable[[int], str]) -> str:
    """Runs that a column says have not finished, among others that have."""
    for trait, (name, _) in enumerate(rows[0].traits):
        if not _STATE.search(name):
            continue
        states = rows.coded("traits").mapped(lambda traits, own=trait: traits[own][1])
        done = [state for state in states.present if state.casefold() in _FINISHED]
        gone = [state for state in states.present if state.casefold() in _NOT_FINISHED]
        if done and gone:
            place = int(np.flatnonzero(states.where(gone.__contains__))[0])
            return (
                f"{place_of(place)}: the column {name!r} says {gone[0]!r}, and a row is a finished run: the loss of "
                f"one that was not is another's; --where {name}={done[0]} keeps those that are"
            )
    return ""


def _spellings(rows: Rows) -> str:
    """Families that differ by their capitals alone."""
    known: dict[str, str] = {}
    for family in sorted(set(rows.coded("family").present)):
        other = known.setdefault(family.casefold(), family)
        if other != family:
            return f"families {other!r} and {family!r} differ by their capitals alone: are they one? Spell it alike"
    return ""


def _units(rows: Rows, place_of: Callable[[int], str]) -> str:
    """Compute against six FLOPs a parameter and example."""
    known = np.flatnonzero([bool(n and d) for n, d in zip(rows.column("params"), rows.column("examples"), strict=True)])
    if not known.size:
        return ""
    told = rows.at(known)
    ratio = np.log(told.numbers("train_flops") / (6.0 * told.numbers("params") * told.numbers("examples")))
    middle = math.exp(float(np.median(ratio)))
    if not LEAST_PER_PARAMETER <= middle <= MOST_PER_PARAMETER:
        return (
            f"training compute is {middle:.3g} times 6 x parameters x examples in the middle run, where 1 is usual for "
            f"tokens and up to some thousands for images: are all three plain numbers (FLOPs, not GFLOPs or PF-days; "
            "parameters and examples, not millions)?"
        )
    families = told.coded("family").codes
    own = np.empty(len(ratio))
    for family in np.unique(families):
        own[families == family] = np.median(ratio[families == family])
    apart = np.abs(ratio - own)
    if apart.max() <= math.log(MOST_APART):
        return ""
    place = int(known[np.argmax(apart)])
    times = math.exp(float(apart.max()))
    return (
        f"{place_of(place)}: compute over 6 x parameters x examples lies {times:.3g} times away from that of its "
        "family's other runs: are its units those of the others?"
    )


def _gap(rows: Rows, place_of: Callable[[int], str]) -> str:
    """Compute that leaps."""
    compute = np.log10(rows.numbers("train_flops"))
    order = np.argsort(compute, kind="stable")
    leaps = np.diff(compute[order])
    if not leaps.size or leaps.max() <= MOST_DECADES:
        return ""
    widest = int(np.argmax(leaps))
    above = len(order) - widest - 1
    place = int(order[widest + 1] if above <= len(order) / 2 else order[widest])
    return (
        f"{place_of(place)}: compute of {10 ** compute[place]:.3g} FLOPs lies {leaps[widest]:.1f} decades from the "
        "next run's: is its unit that of the others? --where keeps the rows that belong together"
    )


def _direction(rows: Rows, loss: str) -> str:
    """A measure that is better the higher it is, by its name or by how it moves with compute."""
    judged = having(rows, "role", "winner") or rows
    trends = list(_trends(judged))
    named = bool(_BETTER_HIGHER.search(loss)) and not _BETTER_LOWER.search(loss)
    falls = any(trend < 0 for trend in trends)
    if named and not falls:
        return f"{loss!r} is better the higher it is, and a loss is better the lower: give 1 minus it, an error"
    if trends and min(trends) > 0 and sum(trends) > RISES * math.sqrt(len(trends)):
        return (
            f"{loss!r} rises with compute in every family: is it better the higher it is? Give 1 minus an accuracy, "
            "and see whether compute is that of the same run"
        )
    return ""


def _trends(rows: Rows) -> Iterator[float]:
    """The rank correlation of the mean ln loss with the budget in its standard errors, a family with enough budgets."""
    for own in rows.grouped_by("family").values():
        codes, first = own.groups("budget_flops")
        if len(first) >= MIN_RISING:
            rho = _rank_correlation(own.at(first).numbers("budget_flops"), own.means(codes))
            yield math.atanh(min(max(rho, -_PERFECT), _PERFECT)) * math.sqrt(len(first) - 3)


def _rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman's, 0 where either does not vary (ties take places in their order)."""
    if np.ptp(y) == 0 or np.ptp(x) == 0:
        return 0.0
    ranks = np.argsort(np.argsort(np.stack([x, y]), axis=1, kind="stable"), axis=1)
    return float(np.asarray(np.corrcoef(ranks))[0, 1])


_CELL = (
    *("family", "budget_flops", "model", "role", "variant", "optimizer", "base_lr", "global_batch_size", "axes"),
    *("params", "examples", "epochs"),
)


def _copies(rows: Rows) -> str:
    """Seeds that all have the loss of their neighbour to the last digit."""
    losses, seeds, codes = rows.numbers("loss"), rows.coded("seed").codes, rows.groups(*_CELL)[0]
    order = np.lexsort((seeds, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    fresh = np.diff(seeds[order], prepend=-1) != 0
    fresh[starts] = True
    num_seeds = np.add.reduceat(fresh.astype(int), starts)
    ordered = losses[order]
    same = np.maximum.reduceat(ordered, starts) == np.minimum.reduceat(ordered, starts)
    several = num_seeds > 1
    if (num_seeds[several] - 1).sum() < 2 or not same[several].all():
        return ""
    shown = rows[int(order[starts[several][0]])]
    return (
        f"all seeds of a cell have one loss to the last digit (such as {shown.loss:.6g} of {shown.model} at "
        f"{shown.budget_flops:.3g} FLOPs): copies of a run are no seeds and say nothing of noise; name a column that "
        "tells runs apart, or leave the copies out"
    )


def _may_be_chance(rows: Rows) -> Iterator[str]:
    """Errors near 1 where nobody said what chance is."""
    losses = rows.numbers("loss")
    if any(rows.coded("chance").present) or losses.max() > 1.0 or losses.max() < _NEAR_ONE or np.median(losses) < 0.05:
        return
    least = min(float(own.numbers("loss").min()) for own in _cheapest(rows))
    if least >= _NEAR_ONE:
        yield (
            f"no run of the smallest budget has an error below {least:.3g}: if that is chance, name the column of the "
            "loss of chance (--chance), and rungs near it are shown, not fitted or judged"
        )


def _may_be_bits(rows: Rows) -> Iterator[str]:
    """A family whose losses lie by the factor of a bit over a nat above or below another's, at every budget."""
    best = {family: dict(_best_by_budget(own)) for family, own in rows.grouped_by("family").items()}
    if not best:
        return
    first = max(best, key=lambda family: len(best[family]))
    for family, losses in best.items():
        shared = [abs(math.log(losses[budget] / best[first][budget])) for budget in losses.keys() & best[first].keys()]
        if family != first and len(shared) >= 3 and all(abs(each - _BIT_OVER_NAT) < _LIKE_A_BIT for each in shared):
            yield (
                f"losses of {family!r} and {first!r} differ by a factor of {math.exp(_BIT_OVER_NAT):.3g} at every "
                "budget, as bits and nats of the same do: are both in one unit?"
            )


def _best_by_budget(rows: Rows) -> Iterator[tuple[float, float]]:
    budgets, losses = rows.numbers("budget_flops"), rows.numbers("loss")
    order = np.lexsort((losses, budgets))
    firsts = np.flatnonzero(np.diff(budgets[order], prepend=-1.0))
    yield from zip(budgets[order][firsts].tolist(), losses[order][firsts].tolist(), strict=True)


def _cheapest(rows: Rows) -> Iterator[Rows]:
    """The runs of each family's smallest budget."""
    for own in rows.grouped_by("family").values():
        budgets = own.numbers("budget_flops")
        yield own.at(np.flatnonzero(budgets == budgets.min()))
