"""Where two families can be compared: the rungs they share, and points of equal device-seconds between rungs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MAX_EPOCHS
from levelfield.scaling.results.reasons.verdicts import (
    DataLimited,
    FamilyNearChance,
    NoWinnerHere,
    UnequalCompute,
)
from levelfield.scaling.tables.rungs import Rung
from levelfield.scaling.verdicts.between.curves import FamilyCurve, overlap, unfit
from levelfield.scaling.verdicts.contrasts import Statement

MAX_FLOPS_GAP = 0.02
"""Families whose counted FLOPs at one rung differ by more are not at equal compute."""
NUM_SECONDS_POINTS = 5


def at_equal_flops(
    a: Sequence[Rung], b: Sequence[Rung], cells: Mapping[Rung, int], num_cells: int, few_examples: bool
) -> list[Statement]:
    """One statement for every budget at which either family has a winner."""
    a_rungs, b_rungs = ({rung.budget_flops: rung for rung in side} for side in (a, b))
    statements = []
    for budget in sorted(a_rungs.keys() | b_rungs.keys()):
        weights = np.zeros(num_cells)
        left, right = a_rungs.get(budget), b_rungs.get(budget)
        if left is None or right is None:
            missing = (a if left is None else b)[0].family
            why = (NoWinnerHere(family=missing),)
            nothing = Statement(
                a=a[0].family, b=b[0].family, place=budget, weights=weights, seconds_weights=weights, undecidable=why
            )
            statements.append(nothing)
            continue
        weights[cells[left]], weights[cells[right]] = 1.0, -1.0
        reasons: list[Reason] = [*unfit(left, few_examples), *unfit(right, False)]
        gap = abs(math.log(left.train_flops / right.train_flops))
        if gap > MAX_FLOPS_GAP and not (left.capped or right.capped):
            reasons.append(UnequalCompute(gap=math.expm1(gap)))
        unlearnt = tuple(rung.family for rung in (left, right) if rung.near_chance)
        if len(unlearnt) == 2:
            reasons.extend(FamilyNearChance(family=family) for family in unlearnt)
        limited = tuple(rung.family for rung in (left, right) if rung.data_limited)
        statements.append(
            Statement(
                a=left.family,
                b=right.family,
                place=budget,
                weights=weights,
                seconds_weights=np.zeros(num_cells),
                a_edges=left.edges,
                b_edges=right.edges,
                unlearnt=unlearnt,
                undecidable=tuple(reasons),
                set_apart=(DataLimited(families=limited, max_epochs=PROTOCOL_MAX_EPOCHS),) if limited else (),
            )
        )
    return statements


def at_equal_seconds(a: FamilyCurve, b: FamilyCurve) -> list[Statement]:
    """Statements at a handful of device-seconds inside the overlap, between the families' own rungs."""
    low, high = overlap(a, b)
    at = np.linspace(low, high, NUM_SECONDS_POINTS if high - low > 0.05 else 1)
    (a_weights, a_timed), (b_weights, b_timed) = a.weights(at), b.weights(at)
    return [
        Statement(
            a=a.family,
            b=b.family,
            place=math.exp(place),
            weights=a_weights[row] - b_weights[row],
            seconds_weights=a_timed[row] - b_timed[row],
            a_edges=a.edges_at(a_weights[row]),
            b_edges=b.edges_at(b_weights[row]),
        )
        for row, place in enumerate(at.tolist())
    ]
