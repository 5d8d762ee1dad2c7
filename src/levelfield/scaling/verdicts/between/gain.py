"""The compute-equivalent gain: how many times as much compute one family needs to reach the other's loss."""

from __future__ import annotations

import math

import numpy as np

from levelfield.scaling.laws import Floats
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.beside import AtMiddleLoss, BeyondTheCurves, NoSharedLoss
from levelfield.scaling.results.verdicts import Gain
from levelfield.scaling.verdicts.between.curves import FamilyCurve
from levelfield.scaling.verdicts.between.difference import bounds
from levelfield.scaling.verdicts.contrasts import Evidence


def compute_equivalent_gain(a: FamilyCurve, b: FamilyCurve, evidence: Evidence, *, level: float) -> Gain:
    """ln(cost of b / cost of a) at the middle of the ln losses that both curves reach, with its interval.

    A curve reaches a loss where it first falls to it, by straight lines between its points. The interval is the central
    one over plausible curves; where it would need a curve prolonged, the gain is absent.
    """
    reached = [np.minimum.accumulate(curve.log_loss) for curve in (a, b)]
    low, high = max(float(each[-1]) for each in reached), min(float(each[0]) for each in reached)
    if low >= high:
        ahead, behind = (a, b) if reached[0][0] <= reached[1][-1] else (b, a)
        return Gain(status=(NoSharedLoss(ahead=ahead.family, behind=behind.family),))
    level_of_loss = (low + high) / 2
    estimate, drawn = 0.0, np.zeros(len(evidence.loss_errors))
    for curve, side in ((a, -1.0), (b, 1.0)):
        estimate += side * float(cost_to_reach(curve.log_cost, curve.log_loss[None], level_of_loss)[0])
        shift = evidence.clock_errors[:, curve.places] if curve.currency == "device_seconds" else 0.0
        losses = curve.log_loss + evidence.loss_errors[:, curve.places]
        with np.errstate(invalid="ignore"):
            drawn = drawn + side * cost_to_reach(curve.log_cost + shift, losses, level_of_loss)
    drawn = np.sort(np.where(np.isnan(drawn), np.inf, drawn))  # inf - inf: neither curve reaches it
    rank = math.floor(round((1 - level) / 2 * (len(drawn) + 1), 9))
    bottom, top = float(drawn[max(rank, 1) - 1]), float(drawn[-max(rank, 1)])
    loss = math.exp(level_of_loss)
    if not (math.isfinite(bottom) and math.isfinite(top)):
        return Gain(loss=loss, status=(BeyondTheCurves(loss=loss),))
    ratio = Interval(estimate=estimate, low=min(bottom, estimate), high=max(top, estimate), level=level)
    return Gain(loss=loss, log_ratio=ratio, status=(AtMiddleLoss(), *bounds(a, b)))


def cost_to_reach(log_cost: Floats, log_loss: Floats, target: float) -> Floats:
    """The ln cost at which each curve (a row of ``log_loss``) first falls to ``target``.

    -inf where it begins at or below it, inf where it never gets there. ``log_cost`` is one row or a row a curve.
    """
    best = np.minimum.accumulate(log_loss, axis=-1)
    below = best <= target
    first = np.argmax(below, axis=-1)
    rows, before = np.arange(len(best)), np.maximum(first - 1, 0)
    cost = np.broadcast_to(log_cost, best.shape)
    start, end = best[rows, before], best[rows, first]
    share = np.divide(start - target, start - end, out=np.zeros_like(start), where=start > end)
    found = cost[rows, before] + share * (cost[rows, first] - cost[rows, before])
    return np.where(~below.any(axis=-1), np.inf, np.where(below[:, 0], -np.inf, found))
