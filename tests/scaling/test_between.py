"""Difference curve, trend, gain and crossover: exact without noise, absent with a reason where unsupported."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from levelfield.report.words.told import all_told
from levelfield.scaling.results.reasons.beside import NoSharedLoss, SomeAreBounds
from levelfield.scaling.results.reasons.verdicts import FewFitRungs, NoSharedRange
from levelfield.scaling.verdicts.between.gain import cost_to_reach
from tests.narrowed import present
from tests.scaling.contested import flops, seconds
from tests.scaling.planted import BUDGETS, saturating_loss, winner_rows

MIDDLE = math.sqrt(BUDGETS[0] * BUDGETS[-1])


def tilted(offset: float, slope: float, *, seed_sd: float = 1e-4, seeds: int = 3, place: int = 0):
    """Winners whose difference is a straight line of ``slope`` an e-fold of compute, ``offset`` in the middle."""
    rows = winner_rows(np.random.default_rng([21, place]), seed_sd=seed_sd, seeds=seeds)
    return [
        dataclasses.replace(row, loss=row.loss * math.exp(offset + slope * math.log(row.budget_flops / MIDDLE)))
        if row.family == "nfnet"
        else row
        for row in rows
    ]


def test_a_planted_offset_and_slope_come_back_although_both_families_bend():
    ancova = flops(tilted(-0.06, 0.01)).ancova
    assert ancova.middle == pytest.approx(MIDDLE)
    assert ancova.offset is not None
    assert ancova.slope is not None
    assert ancova.offset.estimate == pytest.approx(-0.06, abs=3e-4)
    assert ancova.slope.estimate == pytest.approx(0.01, abs=2e-4)
    assert ancova.num_points == 10


def test_rungs_that_lie_between_each_others_give_the_same_trend():
    own = {"nfnet": BUDGETS, "vit": tuple(1.7 * budget for budget in BUDGETS)}
    rows = [row for family in own for row in winner_rows(
        np.random.default_rng(1), families=(family,), budgets=own[family], seed_sd=1e-4)]  # fmt: skip
    moved = [dataclasses.replace(row, loss=row.loss * 0.95) if row.family == "nfnet" else row for row in rows]
    found = flops(moved)
    assert found.overall.difference is None, "no rung is shared"
    assert found.ancova.offset is not None
    assert found.ancova.offset.estimate == pytest.approx(math.log(0.95), abs=0.004)
    assert [found.curve.points[end].x for end in (0, -1)] == pytest.approx([1.7 * BUDGETS[0], BUDGETS[-1]])
    assert all(point.y == pytest.approx(math.log(0.95), abs=0.02) for point in found.curve.points)


def test_differences_off_a_line_widen_the_trend_and_are_said():
    rows = [
        dataclasses.replace(row, loss=row.loss * 1.1) if (row.family, row.budget_flops) == ("vit", BUDGETS[2]) else row
        for row in tilted(0.0, 0.0, seed_sd=0.005)
    ]
    bent, straight = (flops(each).ancova for each in (rows, tilted(0.0, 0.0, seed_sd=0.005)))
    assert "more than noise explains" in all_told(bent.status)
    assert bent.slope is not None
    assert straight.slope is not None
    assert bent.slope.high - bent.slope.low > 3 * (straight.slope.high - straight.slope.low)


def test_the_curve_passes_through_the_rungs_and_its_band_holds_for_more_than_one_of_them():
    found = flops(tilted(-0.05, 0.0, seed_sd=0.01))
    at, offset = {point.x: point for point in found.curve.points}, present(found.ancova.offset)
    for verdict in found.per_budget:
        x = min(at, key=lambda place: abs(place / verdict.budget - 1))
        assert verdict.difference is not None
        assert at[x].y == pytest.approx(verdict.difference.estimate)
        assert at[x].high - at[x].y > 1.8 * (offset.high - offset.estimate)
    assert len(found.curve.points) > 40


def test_the_gain_is_the_horizontal_distance_between_the_planted_curves():
    gain = flops(tilted(-0.05, 0.0)).gain
    assert gain.log_ratio is not None
    assert gain.loss is not None
    x = np.linspace(math.log(1e9), math.log(1e14), 4001)
    y = np.array([saturating_loss(math.exp(place)) for place in x])
    nfnet, vit = (np.interp(-gain.loss, -y * factor, x) for factor in (math.exp(-0.05), 1.0))
    assert gain.log_ratio.estimate == pytest.approx(vit - nfnet, abs=0.03)
    assert gain.log_ratio.estimate > 0, "nfnet is better, so vit needs more"


def test_there_is_no_gain_where_the_curves_share_no_loss():
    gain = flops(tilted(-1.5, 0.0)).gain
    assert gain.log_ratio is None
    assert gain.status == (NoSharedLoss(ahead="nfnet", behind="vit"),)


def test_there_is_no_gain_where_noise_reaches_beyond_a_curve():
    """The families share 4 % of loss, the seeds of a rung lie 5 % apart."""
    spread = [dataclasses.replace(row, loss=row.loss * math.exp(0.05 * (row.seed - 2))) for row in tilted(-0.66, 0.0)]
    gain = flops(spread).gain
    assert gain.log_ratio is None
    assert "noise may carry" in all_told(gain.status)


def test_the_cost_of_a_loss_is_infinite_either_way_beyond_the_curve():
    log_cost, curve = np.array([0.0, 1.0, 2.0]), np.array([[3.0, 2.0, 1.0]])
    assert cost_to_reach(log_cost, curve, 1.5)[0] == pytest.approx(1.5)
    assert cost_to_reach(log_cost, curve, 0.5)[0] == math.inf
    assert cost_to_reach(log_cost, curve, 3.5)[0] == -math.inf
    assert cost_to_reach(log_cost, np.array([[3.0, 1.0, 2.0]]), 2.0)[0] == pytest.approx(0.5), "the first time counts"


def test_a_planted_crossover_is_found_between_its_rungs():
    crossover = flops(tilted(0.02, -0.04, seed_sd=0.003)).crossover
    truth = MIDDLE * math.exp(0.5)
    assert crossover.place is not None
    assert crossover.place.estimate == pytest.approx(truth, rel=0.15)
    assert BUDGETS[2] < crossover.place.low < crossover.place.estimate < crossover.place.high < BUDGETS[3]
    assert crossover.probability_of_none is not None
    assert crossover.probability_of_none < 0.02
    assert all_told(crossover.status).startswith("NFNet has the lower loss above the crossover")
    (most,) = (chance for chance in crossover.chances if chance[2] == max(c[2] for c in crossover.chances))
    assert most[0] / 2 < truth < most[1] * 2
    assert sum(chance for *_, chance in crossover.chances) == pytest.approx(1 - crossover.probability_of_none)


def test_no_crossover_is_quoted_outside_the_overlap():
    beyond = MIDDLE * math.exp(0.16 / 0.04)  # the planted lines would cross at twice the top rung and more
    assert beyond > BUDGETS[-1]
    crossover = flops(tilted(-0.16, 0.04, seed_sd=0.005)).crossover
    assert crossover.place is None
    assert crossover.probability_of_none is not None
    assert crossover.probability_of_none > 0.95
    assert "no root inside the overlap" in all_told(crossover.status)


def test_nothing_between_the_rungs_is_said_without_an_overlap_or_without_noise():
    apart = [
        dataclasses.replace(row, budget_flops=row.budget_flops * 1e3, train_flops=row.train_flops * 1e3)
        if row.family == "vit"
        else row
        for row in winner_rows(np.random.default_rng(0))
    ]
    found = flops(apart)
    for part in (found.curve, found.ancova, found.gain, found.crossover):
        assert part.status == (NoSharedRange(currency="flops"),)
    few = flops(winner_rows(np.random.default_rng(0), seeds=2))
    assert few.ancova.status == (FewFitRungs(family="nfnet", num=0, needed=2, timed=False),)
    assert few.curve.points == ()


def test_points_at_an_edge_are_named_beside_everything_that_rests_on_them():
    rows = [dataclasses.replace(row, edges=("size",)) if row.family == "vit" else row for row in tilted(-0.05, 0.0)]
    found = flops(rows)
    for part in (found.curve, found.ancova, found.gain):
        assert SomeAreBounds(families=("vit",)) in part.status


def test_equal_seconds_have_a_curve_of_their_own():
    rows = winner_rows(np.random.default_rng(0), seconds_per_flop={"nfnet": 4e-10, "vit": 1e-10}, seconds_sd=0.02)
    by_seconds = seconds(rows)
    ends = [by_seconds.curve.points[end].x for end in (0, -1)]
    assert ends == pytest.approx([4e-10 * BUDGETS[0], 1e-10 * BUDGETS[-1]], rel=0.1)
    assert by_seconds.gain.log_ratio is not None
    assert by_seconds.gain.log_ratio.estimate == pytest.approx(-math.log(4), abs=0.4)
