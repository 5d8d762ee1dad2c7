"""Where two families can be compared: the rungs they share, and points of equal device-seconds between rungs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from levelfield.records.study import PROTOCOL_MIN_SEEDS
from levelfield.scaling.contrasts import Statement
from levelfield.scaling.frontier import Rung
from levelfield.scaling.laws import Floats

MAX_FLOPS_GAP = 0.02
"""Families whose counted FLOPs at one rung differ by more are not at equal compute."""
NUM_SECONDS_POINTS = 5
_LIMITED = "data-limited: more than 4 epochs, so no part of the overall verdict"


def unfit(rung: Rung, few_examples: bool) -> tuple[str, ...]:
    """Why a winner supports no verdict."""
    reasons = []
    if rung.num_seeds < PROTOCOL_MIN_SEEDS:
        reasons.append(f"{rung.family} has {rung.num_seeds} fresh seeds, at least {PROTOCOL_MIN_SEEDS} are needed")
    if rung.near_chance:
        reasons.append(f"{rung.family} is near chance")
    if few_examples:
        reasons.append("a handful of report examples carries the loss, so no interval can be trusted")
    return tuple(reasons)


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
            why = (f"{missing} has no winner at this budget",)
            nothing = Statement(
                a=a[0].family, b=b[0].family, place=budget, weights=weights, seconds_weights=weights, undecidable=why
            )
            statements.append(nothing)
            continue
        weights[cells[left]], weights[cells[right]] = 1.0, -1.0
        reasons = [*unfit(left, few_examples), *unfit(right, False)]
        gap = abs(math.log(left.train_flops / right.train_flops))
        if gap > MAX_FLOPS_GAP:
            reasons.append(f"the counted training FLOPs differ by {math.expm1(gap):.0%}: not equal compute")
        limited = [rung.family for rung in (left, right) if rung.data_limited]
        statements.append(
            Statement(
                a=left.family,
                b=right.family,
                place=budget,
                weights=weights,
                seconds_weights=np.zeros(num_cells),
                a_edges=left.edges,
                b_edges=right.edges,
                undecidable=tuple(reasons),
                set_apart=(f"{_LIMITED} ({', '.join(limited)})",) if limited else (),
            )
        )
    return statements


def at_equal_seconds(
    a: Sequence[Rung], b: Sequence[Rung], cells: Mapping[Rung, int], num_cells: int, few_examples: bool
) -> tuple[list[Statement], str]:
    """Statements at a handful of device-seconds inside the overlap, or none and why.

    Each family's ln loss is interpolated linearly in ln seconds between its own rungs, never prolonged. The chord of a
    convex curve lies a little above it (about 0.002 in ln loss at threefold rungs), for both families alike.
    """
    sides = []
    for rungs in (a, b):
        usable = [rung for rung in rungs if not unfit(rung, few_examples) and not rung.data_limited]
        timed = sorted((rung for rung in usable if rung.device_seconds), key=lambda rung: rung.budget_flops)
        seconds = [rung.device_seconds or 0.0 for rung in timed]
        if len(timed) < 2:
            return [], f"{rungs[0].family} has {len(timed)} timed rungs fit for a verdict, 2 are needed"
        if any(later <= sooner for sooner, later in itertools.pairwise(seconds)):
            why = "the clock is noisy, or winners of unlike shape run at unlike speed"
            return [], f"the device-seconds of {rungs[0].family} do not rise with its budgets: {why}"
        sides.append((timed, np.log(seconds)))
    devices = {device for timed, _ in sides for rung in timed for device in rung.devices}
    if len(devices) > 1:
        return [], f"the runs were timed on different devices: {', '.join(sorted(map(str, devices)))}"
    low, high = (pick(times[end] for _, times in sides) for pick, end in ((max, 0), (min, -1)))
    if low > high:
        return [], "the families share no range of device-seconds"
    statements = []
    for place in np.linspace(low, high, NUM_SECONDS_POINTS if high - low > 0.05 else 1):
        (weights, timed_weights, a_edges), (b_weights, b_timed, b_edges) = (
            _interpolated(timed, times, float(place), cells, num_cells) for timed, times in sides
        )
        statements.append(
            Statement(
                a=a[0].family,
                b=b[0].family,
                place=math.exp(place),
                weights=weights - b_weights,
                seconds_weights=timed_weights - b_timed,
                a_edges=a_edges,
                b_edges=b_edges,
            )
        )
    return statements, ""


def _interpolated(
    timed: Sequence[Rung], times: Floats, place: float, cells: Mapping[Rung, int], num_cells: int
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """The weights of ln loss at ``place`` over cells, its sensitivity to their clocks, and the edges it rests on."""
    right = int(np.clip(np.searchsorted(times, place), 1, len(times) - 1))
    share = float(np.clip((place - times[right - 1]) / (times[right] - times[right - 1]), 0.0, 1.0))
    slope = (timed[right].log_loss - timed[right - 1].log_loss) / (times[right] - times[right - 1])
    weights, sensitivity = np.zeros(num_cells), np.zeros(num_cells)
    edges: set[str] = set()
    for rung, part in ((timed[right - 1], 1 - share), (timed[right], share)):
        if part > 1e-9:
            weights[cells[rung]] = part
            sensitivity[cells[rung]] = -slope * part
            edges.update(rung.edges)
    return weights, sensitivity, tuple(sorted(edges))
