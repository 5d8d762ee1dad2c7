"""Profile likelihood: coverage on planted laws, ends that the points do not set, and the linear case by formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f

from levelfield.scaling.fitting.fit import Fit, fit, fit_law
from levelfield.scaling.fitting.profile import profile_intervals
from tests.narrowed import present
from tests.scaling.planted import binomial_bounds, planted_times

COMPUTE = np.geomspace(1e9, 1e12, 10)
NOISE = 0.01


def saturating(generator: np.random.Generator, *, floor: float = 1.2, compute=COMPUTE) -> Fit:
    loss = (floor + 3.0 * (compute / 1e9) ** -0.35) * np.exp(NOISE * generator.standard_normal(len(compute)))
    return present(fit(compute, loss, form="saturating", run_sd=NOISE, refuse=False))


@planted_times(25, 200)
def test_nominal_90_percent_intervals_cover_floor_and_exponent(num: int) -> None:
    hits = {"E": 0, "b": 0}
    for seed in range(num):
        found = saturating(np.random.default_rng(seed))
        for name, interval in profile_intervals(found, variance=NOISE**2, degrees=1e6, level=0.9).items():
            truth = {"E": 1.2, "b": 0.35}[name]
            below = interval.low is None or interval.low <= truth
            hits[name] += below and (interval.high is None or truth <= interval.high)
    low, high = binomial_bounds(0.9, num)
    assert all(low <= hit / num <= high for hit in hits.values()), hits


def test_of_a_straight_line_it_is_the_interval_of_least_squares() -> None:
    generator = np.random.default_rng(0)
    loss = 5.0 * COMPUTE**-0.1 * np.exp(NOISE * generator.standard_normal(10))
    found = present(fit(list(COMPUTE), list(loss), form="log-log", delta=1e3))
    interval = profile_intervals(found, variance=NOISE**2, degrees=8, level=0.9)["b"]
    x = np.log(COMPUTE) - np.log(COMPUTE).mean()
    half = NOISE / np.sqrt((x**2).sum()) * np.sqrt(f.ppf(0.9, 1, 8))
    assert interval.low == pytest.approx(interval.estimate - half, rel=1e-4)
    assert interval.high == pytest.approx(interval.estimate + half, rel=1e-4)


def test_a_floor_that_the_points_do_not_show_has_no_lower_end() -> None:
    found = saturating(np.random.default_rng(1), floor=0.05, compute=np.geomspace(1e9, 1e10, 6))
    interval = profile_intervals(found, variance=NOISE**2, degrees=1e6, level=0.9)["E"]
    assert interval.low is None
    assert interval.high is None or interval.high > 0.5


def test_the_ends_are_where_the_objective_has_risen_by_the_critical_value() -> None:
    generator = np.random.default_rng(0)
    params, examples = (values.ravel() for values in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)))
    loss = (1.7 + 400 * params**-0.34 + 410 * examples**-0.28) * np.exp(NOISE * generator.standard_normal(36))
    found = present(fit_law("size-and-examples", {"params": params, "examples": examples}, loss, delta=0.1))
    intervals = profile_intervals(found, variance=NOISE**2, degrees=1e6, level=0.9)
    assert intervals.keys() == {"E", "alpha", "beta"}
    for name, truth in (("E", 1.7), ("alpha", 0.34), ("beta", 0.28)):
        low, high = present(intervals[name].low), present(intervals[name].high)
        assert low < truth < high
        assert low < intervals[name].estimate < high


def test_points_weighed_less_widen_it() -> None:
    generator = np.random.default_rng(3)
    loss = (1.2 + 3.0 * (COMPUTE / 1e9) ** -0.35) * np.exp(NOISE * generator.standard_normal(10))
    widths = []
    for recency in (0.0, 1.0):
        found = present(fit(list(COMPUTE), list(loss), form="saturating", run_sd=NOISE, recency=recency))
        interval = profile_intervals(found, variance=NOISE**2, degrees=1e6, level=0.9)["b"]
        assert interval.low is not None
        assert interval.high is not None
        widths.append(interval.high - interval.low)
    assert widths[1] > widths[0]
