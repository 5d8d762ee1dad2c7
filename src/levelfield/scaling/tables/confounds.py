"""What differs between two families beside their architecture, and might be taken for it.

Some differences are rules of the protocol: a loss that is another metric, or measured on other examples, forbids every
verdict; unequal repetition of data is named. The rest is found: any fact of the runs whose values the families do not
share alike. A table that somebody else made can only be described, not blamed on the architecture, while these stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.results.reasons.verdicts import (
    ConfoundForbids,
    MustBeShared,
    NothingInCommon,
    SearchedLess,
    SeenAgainUnequally,
    SpreadOverBoth,
    UnequallySpread,
    UnlikeTasks,
)
from levelfield.scaling.results.verdicts import Confound
from levelfield.scaling.tables.outcomes import outcomes
from levelfield.scaling.tables.rungs import grouped

MAX_IMBALANCE = 0.5
"""Families whose shares of a fact's values differ by more (total variation) are not alike in it."""
MAX_EPOCHS_RATIO = 1.1
FEWER_TRIALS = "fewer trials"
MAX_SEARCH_RATIO = 1.5
"""Where no equal rule was declared, a family with so many times fewer search runs has only a bound."""
_MOST_SHOWN = 4
COMMON = ("metric", "report_set")
"""Traits that all judged runs must share, or their losses are not the same quantity."""
_FIXED: tuple[tuple[str, Callable[[Observation], str]], ...] = (
    ("optimizer", lambda run: run.optimizer),
    ("device", lambda run: run.device or ""),
)


def confounds(
    rows: Sequence[Observation], a: str, b: str, *, named: Sequence[str] = (), equal_search: bool = False
) -> tuple[Confound, ...]:
    """Everything that is confounded with ``a`` against ``b``, what forbids a verdict first.

    The runs that are judged (winners, else search runs) count. ``named`` traits are listed even where they are
    balanced over the families. With ``equal_search`` the same rule and cap were declared for both.
    """
    judged = [row for row in rows if row.role == "winner"] or [row for row in rows if row.role == "search"]
    sides = [[row for row in judged if row.family == family] for family in (a, b)]
    if not all(sides):
        return ()
    found = [_classes(*sides), _epochs(*sides), None if equal_search else _search(rows, a, b)]
    for name, value in _FIXED:
        found.append(_fact(name, *([value(row) for row in side] for side in sides), insist=False))
    measured = outcomes([*sides[0], *sides[1]]) - {*named, *COMMON}
    for name in dict.fromkeys(name for row in judged for name, _ in (*row.traits, *row.axes) if name not in measured):
        left, right = ([_shown(dict((*row.traits, *row.axes)).get(name, "")) for row in side] for side in sides)
        found.append(_fact(name, left, right, insist=name in named))
    return tuple(sorted((each for each in found if each), key=lambda each: (not each.forbids, not each.separated)))


def forbidding(found: Sequence[Confound]) -> tuple[Reason, ...]:
    """Why these confounds allow no verdict at all; empty where they do."""
    return tuple(
        ConfoundForbids(name=each.name, a_values=each.a_values, b_values=each.b_values, why=each.why)
        for each in found
        if each.forbids
    )


def _fact(name: str, left: Sequence[str], right: Sequence[str], *, insist: bool) -> Confound | None:
    """The confound by one fact; absent facts are no value of their own, and names of single runs are no fact."""
    left, right = [value for value in left if value], [value for value in right if value]
    if not (left and right):
        return None
    shares = [Counter(side) for side in (left, right)]
    values = shares[0].keys() | shares[1].keys()
    forbids = name in COMMON
    insist = insist or forbids
    if len(values) == 1 or (not insist and len(values) > max(2, (len(left) + len(right)) // 2)):
        return None
    apart = sum(abs(shares[0][value] / len(left) - shares[1][value] / len(right)) for value in values) / 2
    separated = not shares[0].keys() & shares[1].keys()
    if apart <= MAX_IMBALANCE and not insist:
        return None
    if forbids:
        why = MustBeShared()
    elif separated:
        why = NothingInCommon()
    else:
        why = UnequallySpread() if apart > MAX_IMBALANCE else SpreadOverBoth()
    left_told, right_told = (_listed(share) for share in shares)
    return Confound(name=name, a_values=left_told, b_values=right_told, separated=separated, forbids=forbids, why=why)


def _shown(value: str) -> str:
    """Numbers to three digits, so that values that mean the same count as one."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value


def _listed(shares: Counter[str]) -> str:
    shown = sorted(shares, key=lambda value: (-shares[value], value))
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return ", ".join(sorted(shown[:_MOST_SHOWN])) + more


def _classes(left: Sequence[Observation], right: Sequence[Observation]) -> Confound | None:
    """Losses with unlike chance levels are losses of unlike tasks."""
    chances = [{round(run.chance, 4) for run in side if run.chance} for side in (left, right)]
    if not all(chances) or chances[0] & chances[1]:
        return None
    told = [", ".join(f"{value:.3g}" for value in sorted(side)) for side in chances]
    return Confound(
        name="chance",
        a_values=told[0],
        b_values=told[1],
        separated=True,
        forbids=True,
        why=UnlikeTasks(),
    )


def _epochs(left: Sequence[Observation], right: Sequence[Observation]) -> Confound | None:
    """Data repeated more often by one family than by the other, at any budget that both ran."""
    by_budget = [grouped((run for run in side if run.epochs), lambda r: r.budget_flops) for side in (left, right)]
    worst: tuple[float, float, float, float] | None = None
    for budget in by_budget[0].keys() & by_budget[1].keys():
        mine, theirs = (max(run.epochs or 0.0 for run in side[budget]) for side in by_budget)
        ratio = max(mine, theirs) / min(mine, theirs)
        if max(mine, theirs) > 1 and ratio > MAX_EPOCHS_RATIO:
            worst = max(worst or (0.0, 0.0, 0.0, 0.0), (ratio, budget, mine, theirs))
    if worst is None:
        return None
    _, budget, mine, theirs = worst
    return Confound(
        name="epochs",
        a_values=f"{mine:.3g}",
        b_values=f"{theirs:.3g}",
        separated=False,
        forbids=False,
        why=SeenAgainUnequally(budget_flops=budget),
    )


def less_searched(rows: Sequence[Observation], a: str, b: str) -> str:
    """The family whose recipe was sought with far fewer runs, so that its best loss is only a bound; empty if neither.

    It matters only to winners: a table of search runs alone is no verdict anyway.
    """
    counts = _search_counts(rows, a, b)
    if not any(row.role == "winner" for row in rows) or max(counts) <= MAX_SEARCH_RATIO * min(counts):
        return ""
    return a if counts[0] < counts[1] else b


def _search_counts(rows: Sequence[Observation], a: str, b: str) -> tuple[int, int]:
    left, right = (sum(row.family == family and row.role in ("search", "audit") for row in rows) for family in (a, b))
    return left, right


def _search(rows: Sequence[Observation], a: str, b: str) -> Confound | None:
    """Families searched with unlike effort, by the runs that chose their recipes."""
    less = less_searched(rows, a, b)
    if not less:
        return None
    left, right = _search_counts(rows, a, b)
    return Confound(
        name="search",
        a_values=str(left),
        b_values=str(right),
        separated=False,
        forbids=False,
        why=SearchedLess(family=less),
    )
