"""What would decide what a table does not: more runs, or another reading of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.results.reasons.laws import FewBudgets, TooFewForForm
from levelfield.scaling.results.refusals import (
    AddRungs,
    AddSizes,
    MaybeAccuracy,
    NameExamples,
    NameNominalBudgets,
    NameSizes,
    ShareBudgets,
    TuneRisingRungs,
)

LEAST_BUDGETS = 8
"""Fewer budgets are a ladder, even with one run at each."""
SAME_BUDGET = 0.1
"""Runs of one nominal budget lie no farther apart in ln compute."""
RISING = 0.5
"""A loss whose ranks follow those of compute so closely (Spearman) rises with it, scatter aside."""


def law_remedy(rows: Sequence[Observation], why: Reason) -> Reason:
    """What to do where the ``rows`` of one family support no law of compute, for the reason ``why``."""
    if top := _accuracy_of(rows):
        return MaybeAccuracy(top=top)
    if isinstance(why, FewBudgets | TooFewForForm):
        return AddRungs(or_fewer_parameters=isinstance(why, TooFewForForm))
    if num := _clusters(rows):
        return NameNominalBudgets(num_clusters=num)
    if _is_cloud(rows) and not any(row.params for row in rows):
        return NameSizes()
    return TuneRisingRungs()


def allocation_remedy(rows: Sequence[Observation]) -> Reason:
    """What to do where too few budgets of one family's ``rows`` have a vertex."""
    if not any(row.examples for row in rows):
        return NameExamples()
    if num := _clusters(rows):
        return NameNominalBudgets(num_clusters=num)
    return ShareBudgets() if _is_cloud(rows) else AddSizes()


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
