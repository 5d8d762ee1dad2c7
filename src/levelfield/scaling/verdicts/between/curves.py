"""A family's ln loss between its own points: straight from one to the next in ln cost, never prolonged.

The chord of a convex curve lies a little above it (about 0.002 in ln loss at threefold rungs), for both families alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MIN_SEEDS
from levelfield.scaling.laws import Floats
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons.laws import UnlikeDevices
from levelfield.scaling.results.reasons.verdicts import (
    FewExamplesCarry,
    FewFitRungs,
    FewFreshSeeds,
    NoSharedRange,
    SecondsDoNotRise,
)
from levelfield.scaling.tables.rungs import Rung

MIN_RUNGS = 2


@dataclass(frozen=True, kw_only=True)
class FamilyCurve:
    """The points of one family in rising cost: their places among all cells, ln cost, ln loss, edges.

    ``num_cells`` is the number of all cells, so that weights over them can be given.
    """

    family: str
    currency: Currency
    places: NDArray[np.intp]
    num_cells: int
    log_cost: Floats
    log_loss: Floats
    edges: tuple[tuple[str, ...], ...]
    devices: frozenset[str | None] = frozenset()

    @property
    def low(self) -> float:
        return float(self.log_cost[0])

    @property
    def high(self) -> float:
        return float(self.log_cost[-1])

    @property
    def bounded(self) -> bool:
        """Whether some points are only upper bounds on the family's best loss."""
        return any(self.edges)

    def within(self, low: float, high: float) -> NDArray[np.intp]:
        """Which points lie between ``low`` and ``high`` of ln cost."""
        return np.flatnonzero((self.log_cost >= low - 1e-9) & (self.log_cost <= high + 1e-9))

    def weights(self, at: Floats) -> tuple[Floats, Floats]:
        """Of ln loss at ln costs ``at``: weights over cells' ln losses and over their clocks, each (places, cells)."""
        right = np.clip(np.searchsorted(self.log_cost, at), 1, len(self.log_cost) - 1)
        length = self.log_cost[right] - self.log_cost[right - 1]
        share = np.clip((at - self.log_cost[right - 1]) / length, 0.0, 1.0)
        share = np.where(share < 1e-9, 0.0, np.where(share > 1 - 1e-9, 1.0, share))
        slope = (self.log_loss[right] - self.log_loss[right - 1]) / length
        rows = np.arange(len(at))
        weights, timed = np.zeros((2, len(at), self.num_cells))
        weights[rows, self.places[right - 1]] = 1 - share
        weights[rows, self.places[right]] = share
        if self.currency == "device_seconds":
            timed = -slope[:, None] * weights
        return weights, timed

    def edges_at(self, weights: Floats) -> tuple[str, ...]:
        """The edges of the points that have a share in ``weights`` over cells."""
        rests = [edges for place, edges in zip(self.places, self.edges, strict=True) if weights[place] != 0]
        return tuple(sorted({edge for edges in rests for edge in edges}))


def unfit(rung: Rung, few_examples: bool) -> tuple[Reason, ...]:
    """Why a winner supports no verdict."""
    reasons: list[Reason] = []
    if rung.num_seeds < PROTOCOL_MIN_SEEDS:
        reasons.append(FewFreshSeeds(family=rung.family, num=rung.num_seeds, needed=PROTOCOL_MIN_SEEDS))
    if few_examples:
        reasons.append(FewExamplesCarry())
    return tuple(reasons)


def curve_of(
    rungs: Sequence[Rung],
    cells: Mapping[Rung, int],
    currency: Currency,
    *,
    few_examples: bool = False,
    log_losses: Floats | None = None,
) -> FamilyCurve | Reason:
    """The curve through the winners of one family that support a verdict, or why there is none.

    With ``log_losses`` (one a cell) the rungs are rows of a table without seeds, and those losses are theirs.
    """
    family = rungs[0].family
    learnt = [rung for rung in rungs if not rung.near_chance]
    usable = [rung for rung in learnt if not rung.data_limited] or learnt
    if log_losses is None:
        usable = [rung for rung in usable if not unfit(rung, few_examples)]
    usable = sorted((rung for rung in usable if rung.cost(currency)), key=lambda rung: rung.budget_flops)
    if len(usable) < MIN_RUNGS:
        return FewFitRungs(family=family, num=len(usable), needed=MIN_RUNGS, timed=currency == "device_seconds")
    cost = [rung.cost(currency) or 0.0 for rung in usable]
    if any(later <= sooner for sooner, later in itertools.pairwise(cost)):
        return SecondsDoNotRise(family=family)
    places = np.array([cells[rung] for rung in usable])
    return FamilyCurve(
        family=family,
        currency=currency,
        places=places,
        num_cells=len(cells),
        log_cost=np.log(cost),
        log_loss=np.array([rung.log_loss for rung in usable]) if log_losses is None else log_losses[places],
        edges=tuple(rung.edges for rung in usable),
        devices=frozenset(device for rung in usable for device in rung.devices),
    )


def two_curves(
    a: Sequence[Rung],
    b: Sequence[Rung],
    cells: Mapping[Rung, int],
    currency: Currency,
    *,
    few_examples: bool = False,
    log_losses: Floats | None = None,
) -> tuple[FamilyCurve, FamilyCurve] | Reason:
    """The curves of two families that share a range of cost, or why they cannot be held against one another."""
    curves = [curve_of(rungs, cells, currency, few_examples=few_examples, log_losses=log_losses) for rungs in (a, b)]
    for curve in curves:
        if isinstance(curve, Reason):
            return curve
    left, right = (curve for curve in curves if isinstance(curve, FamilyCurve))
    devices = left.devices | right.devices
    if currency == "device_seconds" and len(devices) > 1:
        return UnlikeDevices(devices=tuple(sorted(map(str, devices))))
    if max(left.low, right.low) > min(left.high, right.high):
        return NoSharedRange(currency=currency)
    return left, right


def overlap(a: FamilyCurve, b: FamilyCurve) -> tuple[float, float]:
    """The range of ln cost that both curves cover."""
    return max(a.low, b.low), min(a.high, b.high)
