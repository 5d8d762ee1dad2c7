"""What is believed of many families at once: form and recency by backtests, intervals as wide as they were off."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from levelfield.records.observation import Observation
from levelfield.report.words.told import all_told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.fitting.solver import solve_one
from levelfield.scaling.ladder.backtest import LossCurve, worthwhile
from levelfield.scaling.ladder.belief import beliefs
from levelfield.scaling.ladder.errors import draw_thetas, drawn_errors
from levelfield.scaling.ladder.forms import Points
from levelfield.scaling.laws import LAWS
from levelfield.scaling.next.predict import predict
from levelfield.scaling.noise.dependence import dependence
from tests.scaling.planted import binomial_bounds, planted_times

COMPUTE = np.geomspace(1e6, 1e9, 40)


def dependent(generator: np.random.Generator, shape: tuple[int, ...], *, sd: float, memory: float) -> np.ndarray:
    """Stationary noise whose neighbours are correlated by ``memory``."""
    errors = sd * generator.standard_normal(shape)
    for place in range(1, shape[-1]):
        errors[..., place] = memory * errors[..., place - 1] + np.sqrt(1 - memory**2) * errors[..., place]
    return errors


def learning_curve(generator: np.random.Generator, *, early: float) -> np.ndarray:
    """A saturating curve whose early part is steeper by ``early``, with dependent noise."""
    floor, exponent = generator.uniform(0.1, 0.4), generator.uniform(0.3, 0.5)
    x = COMPUTE / 1e6
    losses = floor + x**-exponent * (1 + early / x)
    return losses * np.exp(dependent(generator, x.shape, sd=0.003, memory=0.7))


def curves(num: int, *, early: float) -> list[Points]:
    generator = np.random.default_rng([3, num])
    return [
        Points(
            family=f"curve {place}",
            currency="flops",
            compute=tuple(COMPUTE),
            loss=tuple(learning_curve(generator, early=early)),
            chance=None,
            covariance=None,
            degrees_of_freedom=0.0,
        )
        for place in range(num)
    ]


def test_a_floor_is_believed_of_all_curves_and_late_points_weigh_more_where_early_ones_mislead() -> None:
    straight, bent = (beliefs(curves(12, early=early), level=0.9) for early in (0.0, 3.0))
    assert len({belief.candidate for belief in straight}) == 1
    assert straight[0].candidate.form in ("saturating", "shifted")
    bends = bent[0].candidate.form in ("shifted", "broken")
    assert bends or bent[0].candidate.recency > straight[0].candidate.recency
    assert "backtests of 12 families" in all_told(bent[0].why)


@pytest.mark.slow
def test_a_challenger_is_believed_where_curves_break_and_only_there() -> None:
    generator = np.random.default_rng(0)
    x = COMPUTE / 1e6
    smooth, breaks = x**-0.3, x**-0.02 * (1 + (x / 30) ** (1 / 0.3)) ** (-0.6 * 0.3)
    for shape, challenger in ((smooth, False), (breaks, True)):
        tables = [
            Points(
                family=f"curve {place}",
                currency="flops",
                compute=tuple(COMPUTE),
                loss=tuple((0.2 + shape) * np.exp(0.003 * generator.standard_normal(len(x)))),
                chance=None,
                covariance=None,
                degrees_of_freedom=0.0,
            )
            for place in range(12)
        ]
        (belief, *_) = beliefs(tables, level=0.9)
        assert (belief.candidate.form in ("m4", "broken")) == challenger
        assert ("no challenger is better" in all_told(belief.why)) != challenger


@pytest.mark.slow
def test_intervals_beyond_the_data_are_at_least_as_wide_as_backtests_were_off_and_grow() -> None:
    tables = curves(12, early=3.0)
    (belief, *_) = beliefs(tables, level=0.9)
    assert belief.spread is not None
    rows = [
        Observation(
            run=f"{points.family} {place}",
            family=points.family,
            model=points.family,
            role="search",
            loss=loss,
            budget_flops=compute,
            train_flops=compute,
        )
        for points in tables
        for place, (compute, loss) in enumerate(zip(points.compute, points.loss, strict=True))
    ]
    analysis = analyse(rows, compared=False)
    one = dataclasses.replace(analysis, families=analysis.families[:1])  # of all it was asked what to believe
    halves = []
    for budget in (2e9, 4e9, 8e9):
        (told,) = predict(one, budget=budget)
        loss = told.loss
        assert loss is not None
        assert any(getattr(note, "num_curves", 0) == 12 for note in told.notes)
        halves.append(np.log(loss.high / loss.low) / 2)
        assert halves[-1] >= 0.99 * belief.spread.slope * (belief.spread.offset + np.log(budget / 1e9))
    assert halves[0] < halves[1] < halves[2]


def test_few_curves_have_no_spread_of_their_own() -> None:
    (belief, *_) = beliefs(curves(3, early=0.0), level=0.9)
    assert belief.spread is None


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_intervals_of_a_learning_curve_cover_whether_or_not_its_rows_err_together(memory: float) -> None:
    law, x = LAWS["saturating"], np.log(COMPUTE / 3e7)[:, None]
    truth = np.array([-1.0, 0.4, 0.3])
    at = np.log([[1e7 / 3e7], [1e8 / 3e7], [1e9 / 3e7]])
    generator = np.random.default_rng([5, round(10 * memory)])
    hits = []
    for _ in range(50):
        y = law.log_loss(truth, x) + dependent(generator, (len(x),), sd=0.01, memory=memory)
        theta, _, _ = solve_one(law, x, y)
        _, slope, _ = law.derivatives(theta, x)
        rows = [range(len(x))]
        noise = dependence(y - law.log_loss(theta, x), slope, np.ones(len(x)), rows)
        errors = drawn_errors(noise.covariance(rows), noise.degrees, generator)
        drawn = law.log_loss(draw_thetas(law, theta, x, errors, delta=np.inf, recency=0.0), at)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        seen = law.log_loss(truth, at)
        hits.append((low <= seen) & (seen <= high))
    rate = float(np.mean(hits))
    print(f"memory {memory}: {rate:.1%} of nominal 90 %")
    assert 0.82 <= rate <= 0.98


@planted_times(15, 40)
def test_what_one_learning_curve_foretells_is_covered_beyond_it(num: int) -> None:
    """Ten rows cannot show how wrong extrapolations of their like were: the forms that they allow must do."""
    hits: list[bool] = []
    for place in range(num):
        generator = np.random.default_rng([11, place])
        compute, floor, exponent = np.geomspace(1e9, 1e11, 10), generator.uniform(0.3, 1.0), generator.uniform(0.2, 0.5)
        shape = floor + 1.5 * (np.append(compute, [2e11, 4e11]) / 1e10) ** -exponent
        seen = shape * np.exp(0.01 * generator.standard_normal(12))
        rows = [
            Observation(
                run=str(row), family="one", model="one", role="search", loss=loss, budget_flops=at, train_flops=at
            )
            for row, (at, loss) in enumerate(zip(compute.tolist(), seen[:10].tolist(), strict=True))
        ]
        analysis = analyse(rows, compared=False)
        for budget, loss in ((2e11, seen[10]), (4e11, seen[11])):
            found = predict(analysis, budget=budget)[0].loss
            assert found is not None
            hits.append(bool(found.low <= loss <= found.high))
    print(f"beyond one curve of ten rows: {np.mean(hits):.1%} of nominal 90 %")
    assert np.mean(hits) >= binomial_bounds(0.9, num)[0]


def test_weights_that_leave_less_than_six_points_do_not_compete() -> None:
    wide = LossCurve(name="33 decades", compute=np.geomspace(1e-3, 1e30, 12), loss=np.linspace(2.0, 1.0, 12))
    assert {candidate.recency for candidate in worthwhile([wide])} == {0.0}
    narrow = LossCurve(name="one decade", compute=np.geomspace(1, 10, 12), loss=np.linspace(2.0, 1.0, 12))
    assert {0.0, 1.0} < {candidate.recency for candidate in worthwhile([narrow])}


def test_a_line_that_the_points_reject_is_not_in_the_interval_beyond_them_and_another_is() -> None:
    compute = np.geomspace(1e9, 1e11, 9)
    for floor, held in ((0.5, False), (0.02, True)):
        loss = (floor + 1.5 * (compute / 1e10) ** -0.3) * np.exp(0.003 * np.random.default_rng(0).standard_normal(9))
        rows = [
            Observation(run=str(i), family="one", model="one", role="search", loss=v, budget_flops=c, train_flops=c)
            for i, (c, v) in enumerate(zip(compute.tolist(), loss.tolist(), strict=True))
        ]
        (found,) = predict(analyse(rows, compared=False), budget=4e11)
        assert ("log-log" in [law.form for law in found.laws]) == held
