"""The optimal learning rate as a surface in size and examples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from levelfield.records.observation import Observation
from levelfield.report.words.told import told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.next.predict import predict
from levelfield.scaling.optimum.rates import rate_at, rate_surfaces
from levelfield.scaling.optimum.tuning import tuning_status
from levelfield.scaling.optimum.walls import walls_of
from levelfield.scaling.results.optima import LearningRateCell
from levelfield.scaling.results.reasons.optima import FallToWall, FittedBelowWall, NoMinimumOfRates, VaryTogether
from tests.scaling.planted import binomial_bounds, planted_times, search_rows, winner_rows

POWERS = (-0.1, -0.2)
CURVATURE = 0.05


def best_rate(params, examples):
    return 0.2 * (params / 3e4) ** POWERS[0] * (examples / 1e4) ** POWERS[1]


def tuned_rows(generator, *, run_sd=0.003, octaves: Sequence[int] = range(-3, 4)):
    """A planted surface: each cell tried factors of 2 about a rate near its own optimum, off by up to an octave."""
    rows = []
    for row in search_rows(generator, rates=(0.2,)):
        start = best_rate(row.params, row.examples) * 2.0 ** generator.uniform(-1, 1)
        for octave in octaves:
            off = math.log2(start * 2.0**octave / best_rate(row.params, row.examples))
            lost = CURVATURE * off**2
            loss = row.loss * math.exp(lost + run_sd * generator.standard_normal())
            changes = {"run": f"{row.run}-{octave}", "base_lr": start * 2.0**octave, "loss": loss}
            rows.append(Observation(**{**vars(row), **changes}))
    return rows


def test_the_exponents_of_a_planted_surface_are_recovered_with_their_interval():
    (surface,) = analyse(tuned_rows(np.random.default_rng(0))).rate_surfaces
    assert surface.params_exponent is not None
    assert surface.examples_exponent is not None
    for found, truth in zip((surface.params_exponent, surface.examples_exponent), POWERS, strict=True):
        assert found.estimate == pytest.approx(truth, abs=0.01)
        assert found.low - 0.005 < truth < found.high + 0.005
        assert found.high - found.low < 0.05


@planted_times(15, 60)
def test_the_interval_of_the_optimal_rate_covers_it_inside_the_data(num):
    hits = 0
    for place in range(num):
        generator = np.random.default_rng([3, place])
        rows = tuned_rows(generator, run_sd=0.01, octaves=(-1, 0, 1))
        (surface,) = analyse(rows, compared=False).rate_surfaces
        found = rate_at(surface, 5e4, 2e4, level=0.9)
        hits += found is not None and found.best.low <= best_rate(5e4, 2e4) <= found.best.high
    print(f"coverage of the optimal rate at 0.9: {hits / num}")
    assert hits / num >= binomial_bounds(0.9, num)[0]


def test_the_flat_range_loses_what_it_says():
    rows = tuned_rows(np.random.default_rng(0), run_sd=0.0)
    (surface,) = analyse(rows).rate_surfaces
    assert surface.tolerance == 0.01
    found = rate_at(surface, 5e4, 2e4, level=0.9)
    assert found is not None
    for end in found.flat:
        assert CURVATURE * math.log2(end / best_rate(5e4, 2e4)) ** 2 == pytest.approx(0.01, rel=0.05)


def test_the_tolerance_is_the_noise_of_a_run_where_seeds_measured_it():
    generator = np.random.default_rng(0)
    rows = [*tuned_rows(generator), *winner_rows(generator, families=("nfnet",), seed_sd=0.02)]
    analysis = analyse(rows)
    (surface,) = analysis.rate_surfaces
    assert surface.tolerance == analysis.seed_noise


def test_a_prediction_gives_the_rate_with_its_interval_and_flat_range():
    generator = np.random.default_rng(0)
    rows = [*tuned_rows(generator), *winner_rows(generator, families=("nfnet",), seed_sd=0.003)]
    (prediction,) = predict(analyse(rows), budget=6e12)
    assert prediction.params is not None
    assert prediction.examples is not None
    assert prediction.base_lr is not None
    assert prediction.base_lr_interval is not None
    assert prediction.base_lr_flat is not None
    truth = best_rate(prediction.params, prediction.examples)
    assert prediction.base_lr_interval.low < truth < prediction.base_lr_interval.high
    assert prediction.base_lr_flat[0] < prediction.base_lr < prediction.base_lr_flat[1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"octaves": (0, 1), "run_sd": 0.0}, "bracketed cells, at least 5 are needed"),
        ({"run_sd": 0.5}, "no minimum beyond their noise"),
    ],
)
def test_tuning_curves_that_show_no_minimum_have_no_surface(changes, why):
    (surface,) = analyse(tuned_rows(np.random.default_rng(1), **changes)).rate_surfaces
    assert why in told(surface.status)
    assert surface.rate is None
    assert rate_at(surface, 1e4, 1e4, level=0.9) is None


def test_size_and_examples_that_vary_together_leave_no_surface():
    rows = [
        Observation(**{**vars(row), "examples": 2 * row.params, "epochs": row.params / 5e5})
        for row in tuned_rows(np.random.default_rng(0))
    ]
    (surface,) = analyse(rows).rate_surfaces
    assert surface.status == VaryTogether()


def test_a_bracket_in_a_models_name_is_part_of_its_name():
    """A name once said whether a cell varied the recipe: "ViT 1e7 (p16)" then had no surface and no learning rate."""
    rows = tuned_rows(np.random.default_rng(1))
    renamed = [dataclasses.replace(row, model=f"ViT {row.params:.0e} (p16)") for row in rows]
    (plain,), (found,) = (analyse(each).rate_surfaces for each in (rows, renamed))
    assert plain.rate is not None
    assert found == plain


LOPSIDED = {
    "exponential": lambda h: 0.03 * (np.exp(h) - h - 1),
    "a parabola a side": lambda h: np.where(h < 0, 0.015, 0.05) * h**2,
    "straight far out": lambda h: 0.08 * (np.sqrt(1 + h**2) - 1) * np.where(h > 0, 2.0, 1.0),
    "steeper above": lambda h: 0.025 * h**2 * (1 + 0.4 * np.tanh(h)),
}
SHAPES = {
    **LOPSIDED,
    "a wall": lambda h: 0.02 * h**2 + 2.0 / (1 + np.exp(-8 * (h - 1.8))),
    "falling": lambda h: -0.02 * h,
    "falling to a wall": lambda h: np.where(h < 0, -0.02 * h, 3.0),
}
STEEP = (-0.8, 0.3)


def steep_cells(shape, generator, *, rates=7, run_sd=0.005, sharper=(0.3, -0.1), off=0.0):
    """25 tuning curves on one grid of rates: the best rate falls as N^-0.8 and rises as D^0.3, from 1e-3 in the middle.

    Curves are ``sharper`` by these powers of size and length; cells' own best rates lie ``off`` by this sd of ln rate.
    """
    cells = []
    for params in np.geomspace(6e7, 1e9, 5):
        for examples in np.geomspace(2e9, 1e11, 5):
            size, length = params / 2.4e8, examples / 1.4e10
            best = 1e-3 * size ** STEEP[0] * length ** STEEP[1] * math.exp(off * generator.standard_normal())
            tried = 1e-3 * 2.0 ** (np.arange(rates) - (rates - 1) / 2)
            lost = SHAPES[shape](np.log(tried / best)) * size ** sharper[0] * length ** sharper[1]
            losses = (2.5 + 3 * size**-0.3) * np.exp(lost + run_sd * generator.standard_normal(rates))
            lowest = float(tried[np.argmin(losses)])
            cells.append(
                LearningRateCell(
                    family="vit",
                    model=f"{params:.2e}",
                    variant="",
                    budget_flops=6 * params * examples,
                    params=params,
                    examples=examples,
                    epochs=1.0,
                    tried=tuple(zip(tried.tolist(), losses.tolist(), strict=True)),
                    best_base_lr=lowest,
                    status=tuning_status(tried.tolist(), lowest),
                )
            )
    return cells


def covered(shape, num, *, refused=0.0, **changes):
    """Estimates (tables, 3) of both exponents and the ln rate in the middle, and whether their intervals hold.

    At most the share ``refused`` of the tables may have no surface, because of a wall.
    """
    truths, estimates, hits = (*STEEP, 1e-3), [], []
    for place in range(num):
        cells = steep_cells(shape, np.random.default_rng([17, place]), **changes)
        (surface,) = rate_surfaces(cells, ["vit"], seed_sd=None, level=0.9)
        found = rate_at(surface, 2.4e8, 1.4e10, level=0.9)
        if found is None and isinstance(surface.status, FallToWall) and refused:
            continue
        assert found is not None, told(surface.status)
        assert surface.params_exponent is not None
        assert surface.examples_exponent is not None
        intervals = (surface.params_exponent, surface.examples_exponent, found.best)
        hits.append([each.low <= truth <= each.high for each, truth in zip(intervals, truths, strict=True)])
        estimates.append([intervals[0].estimate, intervals[1].estimate, math.log(found.best.estimate)])
    assert len(estimates) >= (1 - refused) * num
    return np.array(estimates), np.mean(hits, axis=0)


@pytest.mark.parametrize("shape", ["exponential", "a parabola a side"])
def test_lopsided_curves_that_sharpen_with_size_do_not_tilt_the_surface(shape):
    """One cubic for all curves, sharp or flat, gave exponents of -0.71 to -0.91 for -0.8, and never covered it."""
    estimates, coverage = covered(shape, 20)
    assert estimates[:, :2].mean(axis=0) == pytest.approx(STEEP, abs=0.015)
    assert estimates[:, 2].mean() == pytest.approx(math.log(1e-3), abs=0.08)
    assert np.all(coverage >= binomial_bounds(0.9, 20)[0])


@pytest.mark.acceptance
@pytest.mark.parametrize("shape", LOPSIDED)
@pytest.mark.parametrize(
    "changes",
    [{"rates": 5, "run_sd": 0.003}, {"rates": 8}, {"rates": 10, "sharper": (-0.3, 0.0)}, {"off": 0.1, "run_sd": 0.003}],
    ids=["five rates", "eight rates", "ten rates, flatter with size", "cells off the plane"],
)
def test_exponents_of_lopsided_curves_are_covered_as_often_as_their_intervals_say(shape, changes):
    estimates, coverage = covered(shape, 200, **changes)
    print(f"{shape}, {changes}: mean {estimates.mean(axis=0).round(3)}, coverage {coverage}")
    low, high = binomial_bounds(0.9, 200)  # 83 and 97 %, once in a thousand times
    assert np.all(low <= coverage)
    # Seen: 84 to 98 %. Where cells lie on the plane the larger of two covariances is too large, by up to 5 %.
    assert np.all(coverage[:2] <= high + 0.01)


WALLS = {
    "a wall": SHAPES["a wall"],
    "a nearer wall": lambda h: 0.02 * h**2 + 2.0 / (1 + np.exp(-8 * (h - 1.2))),
    "a sudden wall": lambda h: np.where(h < 1.2, 0.02 * h**2, 3.0),
    "a wall at the next rate": lambda h: np.where(h < 0.6, 0.02 * h**2, 3.0),
}
SHAPES.update(WALLS)


@pytest.mark.slow
def test_runs_on_the_foot_of_a_wall_do_not_draw_the_best_rate_towards_it():
    """With them the rate was 0.24 in ln off, by twice its interval; told of by nothing."""
    cells = steep_cells("a wall", np.random.default_rng([17, 0]))
    (surface,) = rate_surfaces(cells, ["vit"], seed_sd=None, level=0.9)
    found = rate_at(surface, 2.4e8, 1.4e10, level=0.9)
    assert found is not None
    assert found.best.low < 1e-3 < found.best.high
    assert isinstance(surface.status, FittedBelowWall)
    assert "runs diverge abruptly above the minimum" in told(surface.status)
    assert found.flat[1] <= found.best.estimate * surface.status.times


def test_a_minimum_at_the_wall_is_a_bound_and_not_a_rate():
    """Losses fall up to the largest rate that does not diverge."""
    (surface,) = rate_surfaces(
        steep_cells("falling to a wall", np.random.default_rng(0)), ["vit"], seed_sd=None, level=0.9
    )
    assert isinstance(surface.status, FallToWall)
    assert surface.rate is None
    assert "largest rate that does not diverge" in told(surface.status)


def test_smooth_curves_have_no_walls():
    for shape in LOPSIDED:
        cells = steep_cells(shape, np.random.default_rng(0), rates=10, off=0.1)
        assert np.mean(np.isfinite(walls_of([np.log(cell.tried) for cell in cells]))) < 0.1


@pytest.mark.acceptance
@pytest.mark.parametrize("shape", WALLS)
@pytest.mark.parametrize("rates", [7, 10])
def test_rates_below_walls_are_covered_as_often_as_their_intervals_say(shape, rates):
    estimates, coverage = covered(shape, 30, refused=0.5, rates=rates)
    print(
        f"{shape}, {rates} rates: {len(estimates)} of 30, mean {estimates.mean(axis=0).round(3)}, coverage {coverage}"
    )
    assert np.all(coverage >= binomial_bounds(0.9, len(estimates))[0])
    assert abs(estimates[:, 2].mean() - math.log(1e-3)) < 0.1


def test_curves_that_fall_all_along_the_rates_have_no_surface():
    cells = steep_cells("falling", np.random.default_rng(0), run_sd=0.03)
    (surface,) = rate_surfaces(cells, ["vit"], seed_sd=None, level=0.9)
    assert isinstance(surface.status, NoMinimumOfRates)
