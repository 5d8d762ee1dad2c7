"""Branches of one trunk err together."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from levelfield.scaling.analyse import analyse
from levelfield.scaling.noise.components import Components, covariance_of_means, trunk_places, variance_components
from levelfield.scaling.noise.uncertainty import noise_of
from tests.scaling.planted import winner_rows


def branches(generator: np.random.Generator, *, trunk_sd: float, own_sd: float, trunks: int = 3, cells: int = 5):
    """ln losses (cells, trunks) of one family, and the names of their trunks."""
    losses = trunk_sd * generator.standard_normal(trunks) + own_sd * generator.standard_normal((cells, trunks))
    return losses.tolist(), [[f"trunk {trunk}" for trunk in range(trunks)]] * cells


def test_both_components_are_recovered_on_average():
    found = []
    for place in range(300):
        losses, trunks = branches(np.random.default_rng([3, place]), trunk_sd=0.03, own_sd=0.01)
        noise = noise_of(losses, trunks=trunks)
        covariance = noise.covariance([0, 1])
        assert covariance is not None
        shared = covariance[0, 1] * 3
        found.append((shared, covariance[0, 0] * 3 - shared))
    trunk, own = np.mean(found, axis=0)
    assert trunk == pytest.approx(0.03**2, rel=0.15)
    assert own == pytest.approx(0.01**2, rel=0.1)


def test_runs_of_their_own_have_the_pooled_noise_whatever_their_trunks_are_called():
    losses = np.random.default_rng(0).standard_normal((4, 3)).tolist()
    named = noise_of(losses, trunks=[[f"{cell}-{run}" for run in range(3)] for cell in range(4)])
    assert named.shared is None
    assert named.seed_sd == noise_of(losses).seed_sd


def test_one_trunk_a_family_leaves_nothing_to_judge_its_luck_by():
    losses, trunks = branches(np.random.default_rng(0), trunk_sd=0.03, own_sd=0.01, trunks=1)
    noise = noise_of(losses, trunks=trunks)
    assert noise.seed_sd is None


def test_the_covariance_of_means_is_that_of_the_runs():
    trunks = trunk_places(["a", "b", "a", ""])
    cells = np.array([0, 0, 1, 1])
    found = covariance_of_means(cells, 2, Components(own=1.0, trunk=4.0, degrees_of_freedom=2.0), trunks)
    expected = np.array([[5 / 2, 4 / 4], [4 / 4, 5 / 2]])
    assert found.covariance(np.arange(2)) == pytest.approx(expected)
    assert found.quadratic_forms(np.array([[1.0, -1.0]])) == pytest.approx([3.0])
    assert np.cov(found.draws(np.random.default_rng(0), 40_000).T) == pytest.approx(expected, abs=0.06)
    assert trunks.tolist() == [0, 1, 0, 2], "an unnamed trunk is a run's own"


def test_residuals_of_nothing_give_no_components():
    assert variance_components(np.ones(3), np.eye(3), trunk_places(["a", "a", "b"])) is None


def test_components_are_those_of_the_squares_written_out_in_full():
    """Henderson's method 3 with runs x runs matrices, as a textbook has it."""
    generator = np.random.default_rng(4)
    y, design = generator.standard_normal(30), np.column_stack([np.ones(30), generator.standard_normal((30, 2))])
    trunks = trunk_places([f"t{place}" for place in generator.integers(0, 9, 30)])
    y = y + 2 * generator.standard_normal(9)[trunks]
    makers = [
        np.eye(30) - each @ np.linalg.pinv(each) for each in (design, np.column_stack([design, np.eye(9)[trunks]]))
    ]
    free, inside = (float(np.trace(maker)) for maker in makers)
    own = float(y @ makers[1] @ y) / inside
    trunk = (float(y @ makers[0] @ y) - own * free) / float(np.trace(makers[0] @ (trunks[:, None] == trunks)))
    found = variance_components(y, design, trunks)
    assert found is not None
    assert found == pytest.approx((own, trunk, free - inside))


@pytest.mark.slow
def test_branches_of_one_trunk_widen_the_overall_interval_but_not_the_trend():
    generator = np.random.default_rng(5)
    luck = {(family, seed): 0.03 * generator.standard_normal() for family in ("nfnet", "vit") for seed in (1, 2, 3)}
    rows = [
        dataclasses.replace(row, loss=row.loss * math.exp(luck[row.family, row.seed]))
        for row in winner_rows(generator, seed_sd=0.004)
    ]
    named = [dataclasses.replace(row, cluster=f"{row.family} {row.seed}") for row in rows]
    blind, aware = (analyse(each).comparisons[0] for each in (rows, named))

    def width(interval):
        return interval.high - interval.low

    assert width(aware.overall.difference) > 2 * width(blind.overall.difference)
    assert width(aware.ancova.slope) < 0.5 * width(blind.ancova.slope)
