"""What would decide what a table does not: more runs, or another reading of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from levelfield.records.observation import Observation

LEAST_BUDGETS = 8
"""Fewer budgets are a ladder, even with one run at each."""
SAME_BUDGET = 0.1
"""Runs of one nominal budget lie no farther apart in ln compute."""
RISING = 0.5
"""A loss whose ranks follow those of compute so closely (Spearman) rises with it, scatter aside."""
_OWN = "nearly every row has a compute of its own"


def law_remedy(rows: Sequence[Observation], why: str) -> str:
    """What to do where the ``rows`` of one family support no law of compute, for the reason ``why``."""
    if top := _accuracy_of(rows):
        return f"the loss rises with compute and is no more than {top}: if it is an accuracy, use {top} - accuracy"
    if "are needed" in why:
        return "add rungs, or ask for a form of fewer parameters" if "parameters" in why else "add rungs"
    if num := _clusters(rows):
        return _nominal(num)
    if _is_cloud(rows) and not any(row.params for row in rows):
        return f"{_OWN}: if sizes compete there, name them (--params, --examples); else look for a change of regime"
    return "tune the rungs that rise, or look for a change of regime"


def allocation_remedy(rows: Sequence[Observation]) -> str:
    """What to do where too few budgets of one family's ``rows`` have a vertex."""
    if not any(row.examples for row in rows):
        return "name the column of examples (--examples)"
    if num := _clusters(rows):
        return _nominal(num)
    if _is_cloud(rows):
        return f"{_OWN}, so that no budget has several sizes: the closed form serves; for profiles, share budgets"
    return "add sizes beyond the best ones"


def _nominal(num: int) -> str:
    return f"{_OWN}, in {num} clusters: name the column of nominal budgets (--budget-column)"


def _accuracy_of(rows: Sequence[Observation]) -> int | None:
    """The most that the loss could be were it an accuracy (1 or 100), where it rises with compute; else None."""
    if len(rows) < 4 or len({row.loss for row in rows}) == 1:
        return None
    compute, loss = (
        np.argsort(np.argsort(values)) for values in ([r.budget_flops for r in rows], [r.loss for r in rows])
    )
    top = max(row.loss for row in rows)
    if np.corrcoef(compute, loss)[0, 1] < RISING or top > 100:
        return None
    return 1 if top <= 1 else 100


def _is_cloud(rows: Sequence[Observation]) -> bool:
    """Whether there are many budgets, most of them with one row."""
    budgets = Counter(row.budget_flops for row in rows)
    return len(budgets) >= LEAST_BUDGETS and 2 * sum(times == 1 for times in budgets.values()) > len(budgets)


def _clusters(rows: Sequence[Observation]) -> int:
    """How many nominal budgets a cloud has: tight clusters of three rows and more on average; 0 where it has none."""
    if not _is_cloud(rows):
        return 0
    compute = np.sort(np.log([row.budget_flops for row in rows]))
    cuts = np.flatnonzero(np.diff(compute) > SAME_BUDGET) + 1
    ends = [0, *cuts.tolist(), len(compute)]
    tight = all(compute[stop - 1] - compute[start] <= 2 * SAME_BUDGET for start, stop in pairwise(ends))
    return len(ends) - 1 if tight and len(compute) >= 3 * (len(ends) - 1) else 0
