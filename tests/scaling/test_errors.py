"""What a law keeps: enough to predict from without another fit, in as many numbers as it has rows."""

import dataclasses

import numpy as np
import pytest

from levelfield.records.codec import to_json
from levelfield.scaling.analyse import analyse
from levelfield.scaling.ladder.backtest import LawForm
from levelfield.scaling.ladder.errors import covariance_of, errors_of_curve, errors_of_rungs
from levelfield.scaling.ladder.forms import Belief, Points, laws_of
from levelfield.scaling.next.knowledge import loss_knowledge
from levelfield.scaling.next.predict import predict
from levelfield.scaling.noise.dependence import Dependence
from tests.narrowed import present
from tests.scaling.planted import winner_rows


@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_the_errors_of_a_curve_come_back_to_the_last_bit(memory):
    told = Dependence(variance=3e-5, memory=memory, degrees=20.5)
    assert np.array_equal(covariance_of(errors_of_curve(told), 40), told.covariance([range(40)]))


def test_the_errors_of_rungs_come_back_to_the_last_bit_and_independent_ones_as_their_variances():
    root = np.random.default_rng(0).standard_normal((5, 2)) * [[1.0], [1.0], [0.0], [1.0], [0.0]]
    shared = np.diag([1.0, 2.0, 3.0, 4.0, 5.0]) + root @ root.T
    found = errors_of_rungs(shared, 12.0)
    assert np.array_equal(covariance_of(found, 5), shared)
    assert len(found.pairs) == 3, "only rungs that share anything"
    assert errors_of_rungs(np.eye(5), 12.0).pairs == ()


def test_a_prediction_and_a_plan_take_the_law_as_it_was_fitted_and_only_its_backtests_cut_the_rows():
    found = analyse(winner_rows(np.random.default_rng(0), seed_sd=0.01, families=("vit",)))
    rows = [[dataclasses.replace(row, loss=2 * row.loss) for row in law.rows] for law in found.laws]
    laws = [dataclasses.replace(law, rows=tuple(own)) for law, own in zip(found.laws, rows, strict=True)]
    (other,), (own,) = (predict(each, budget=1e13) for each in (dataclasses.replace(found, laws=tuple(laws)), found))
    assert other.loss is not None
    assert own.loss is not None
    assert other.loss.estimate == pytest.approx(own.loss.estimate, rel=1e-9), "of losses, backtests read ratios alone"
    assert (other.loss.low, other.loss.high) == pytest.approx((own.loss.low, own.loss.high), rel=1e-9)
    law = next(law for law in found.laws if law.chosen and law.currency == "flops")
    flatter = dataclasses.replace(law, theta=(law.theta[0], law.theta[1] / 2, *law.theta[2:]))
    moved = dataclasses.replace(found, laws=tuple(flatter if each is law else each for each in found.laws))
    before, after = (predict(analysis, budget=1e14)[0].loss for analysis in (found, moved))
    assert before is not None
    assert after is not None
    assert after.estimate > 1.05 * before.estimate
    known = [loss_knowledge(each, target=1e14, num_seeds=3).after(np.array([1e13])) for each in (law, flatter)]
    assert known[0](np.array([1.0])) != known[1](np.array([1.0]))


@pytest.mark.slow
def test_a_law_of_many_rows_is_written_in_as_many_numbers():
    sizes = {}
    for num in (150, 300, 600):
        compute = np.geomspace(1e9, 1e13, num)
        noise = 0.004 * np.random.default_rng(num).standard_normal(num)
        points = Points(
            family="all",
            currency="flops",
            compute=tuple(compute.tolist()),
            loss=tuple((3 * (compute / 1e9) ** -0.1 * np.exp(noise)).tolist()),
            chance=None,
            covariance=None,
            degrees_of_freedom=0.0,
        )
        belief = Belief(candidate=LawForm("log-log"))
        laws = laws_of(points, belief, level=0.9, generator=np.random.default_rng(0))
        sizes[num] = len(to_json([law for law in present(laws) if law.chosen]))
    print(f"bytes of a law by its rows: {sizes}")
    assert sizes[600] < 100_000
    assert sizes[600] - sizes[300] <= 2.1 * (sizes[300] - sizes[150]), "what each further row adds"
