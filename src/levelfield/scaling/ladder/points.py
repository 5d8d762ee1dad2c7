"""What a law is fitted to: the winners of a family, or the frontier of a table that has none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MAX_EPOCHS
from levelfield.scaling.ladder.forms import Points
from levelfield.scaling.noise.luck import CORRECTED_SDS
from levelfield.scaling.noise.uncertainty import Noise
from levelfield.scaling.results.analysis import Winner
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons.laws import (
    BestWithoutLuck,
    BoundRungs,
    LimitedRungs,
    NoSearchRun,
    NotAllTimed,
    NothingTimed,
    PointsAre,
    UnlikeDevices,
)
from levelfield.scaling.results.refusals import LawOf, RecordSeconds, Refusal, RunOnOneDevice
from levelfield.scaling.results.verdicts import Optimism
from levelfield.scaling.tables.rungs import Frontier, Rung


def winner_record(rung: Rung, place: int, noise: Noise, *, level: float) -> Winner | None:
    """The winner of a rung with the interval of its loss over runs and report examples; None without seed noise."""
    from scipy.special import stdtrit

    if noise.seed_sd is None:
        return None
    weights = np.zeros((1, len(noise.num_seeds)))
    weights[0, place] = 1.0
    _, degrees = noise.seed_variances(weights)
    half = float(stdtrit(degrees[0], (1 + level) / 2)) * float(noise.standard_errors(weights)[0])
    first, middle = rung.first, rung.log_loss
    return Winner(
        family=rung.family,
        budget_flops=rung.budget_flops,
        model=first.model,
        params=first.params,
        examples=first.examples,
        epochs=first.epochs,
        base_lr=first.base_lr,
        global_batch_size=first.global_batch_size,
        num_seeds=rung.num_seeds,
        seed_losses=tuple(run.loss for run in rung.runs),
        loss=Interval(
            estimate=math.exp(middle), low=math.exp(middle - half), high=math.exp(middle + half), level=level
        ),
        device_seconds=rung.device_seconds,
        near_chance=rung.near_chance,
        data_limited=rung.data_limited,
        edges=rung.edges,
    )


def winner_points(rungs: Sequence[Rung], places: Sequence[int], noise: Noise, currency: Currency) -> Points | Refusal:
    """The winners of one family as points of a law in ``currency``."""
    family = rungs[0].family
    what = LawOf(family=family, currency=currency)
    timed = [(rung, place) for rung, place in zip(rungs, places, strict=True) if rung.cost(currency) is not None]
    if not timed:
        return Refusal(what=what, why=(NothingTimed(),), remedy=RecordSeconds())
    devices = {device for rung, _ in timed for device in rung.devices}
    if currency == "device_seconds" and len(devices) > 1:
        unlike = UnlikeDevices(devices=tuple(sorted(map(str, devices))))
        return Refusal(what=what, why=(unlike,), remedy=RunOnOneDevice())
    notes: list[Reason] = []
    if any(rung.edges for rung, _ in timed):
        notes.append(BoundRungs())
    if any(rung.data_limited for rung, _ in timed):
        notes.append(LimitedRungs(max_epochs=PROTOCOL_MAX_EPOCHS))
    timed.sort(key=lambda pair: pair[0].cost(currency) or 0.0)
    return Points(
        family=family,
        currency=currency,
        compute=tuple(rung.cost(currency) or 0.0 for rung, _ in timed),
        loss=tuple(math.exp(rung.log_loss) for rung, _ in timed),
        chance=timed[0][0].first.chance,
        covariance=noise.covariance([place for _, place in timed]),
        degrees_of_freedom=_degrees(noise, [place for _, place in timed]),
        notes=tuple(notes),
    )


def _degrees(noise: Noise, places: Sequence[int]) -> float:
    """How well the noise of the cells at ``places`` together is known."""
    if noise.seed_sd is None:
        return 0.0
    weights = np.zeros((1, len(noise.num_seeds)))
    weights[0, places] = 1.0
    return float(noise.seed_variances(weights)[1][0])


def frontier_points(
    found: Frontier, family: str, noise: Noise, currency: Currency, optimism: Sequence[Optimism] = ()
) -> Points | Refusal:
    """The best search run of each budget as points of a law, for a table without winners, its luck taken off."""
    best, how, _ = found
    corrected = {each.budget_flops: each.corrected for each in optimism if each.family == family}
    sd = noise.seed_sd
    if any(corrected.values()):
        how, sd = BestWithoutLuck(num_budgets=len(best)), CORRECTED_SDS * (sd or 0.0)
    costs = [row.train_flops if currency == "flops" else row.device_seconds for row in best]
    if not best or any(cost is None for cost in costs):
        why = NotAllTimed() if best else NoSearchRun()
        return Refusal(what=LawOf(family=family, currency=currency), why=(why,))
    known = [corrected.get(row.budget_flops) for row in best]
    losses = [row.loss if mean is None else mean.estimate for row, mean in zip(best, known, strict=True)]
    points = sorted(((cost or 0.0, loss) for cost, loss in zip(costs, losses, strict=True)))
    return Points(
        family=family,
        currency=currency,
        compute=tuple(cost for cost, _ in points),
        loss=tuple(loss for _, loss in points),
        chance=best[0].chance,
        covariance=None if sd is None else np.eye(len(points)) * sd**2,
        degrees_of_freedom=noise.degrees_of_freedom,
        notes=(PointsAre(how=how),),
    )
