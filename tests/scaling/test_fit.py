"""The laws, the solver, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelfield.records.reason import Reason
from levelfield.report.words.told import told
from levelfield.scaling.fitting.fit import fit, fit_law, refusal, without_outliers
from levelfield.scaling.fitting.solver import solve_many
from levelfield.scaling.laws import LAWS, OF_COMPUTE
from levelfield.scaling.results.reasons.laws import (
    FewBudgets,
    NearChance,
    NotFalling,
    NotMonotone,
    NotPositive,
    OutliersMove,
    UnsupportedFit,
)
from tests.narrowed import of_kind, present

BUDGETS = np.geomspace(1e10, 1e13, 7)


def test_a_law_without_noise_is_recovered_to_the_last_digits():
    found = present(fit(BUDGETS, 0.7 + 300 * BUDGETS**-0.25, form="saturating"))
    assert found.parameters == pytest.approx({"A": 300, "b": 0.25, "E": 0.7}, rel=1e-5)
    assert found.gradient_norm < 1e-9
    assert found.agreement == 1
    assert found.predict(1e15) == pytest.approx(0.7 + 300 * 1e15**-0.25, rel=1e-5)
    line = present(fit(BUDGETS, 40 * BUDGETS**-0.1))
    assert line.parameters == pytest.approx({"A": 40, "b": 0.1}, rel=1e-9)


def test_the_solver_is_never_above_scipys_least_squares():
    from scipy.optimize import least_squares

    generator = np.random.default_rng(0)
    x = np.log(BUDGETS / 1e11)[:, None]
    y = np.log(0.8 + 1.5 * np.exp(-0.25 * x[:, 0])) + 0.03 * generator.standard_normal((30, len(x)))
    law = LAWS["saturating"]
    ours = solve_many(law, x, y)
    for theta, row in zip(ours, y, strict=True):
        bounds = tuple(np.array([getattr(p, end) for p in law.parameters]) for end in ("low", "high"))
        peer = min(
            least_squares(
                lambda t, row=row: law.log_loss(t, x) - row, start, bounds=bounds, xtol=1e-14, ftol=1e-14, gtol=1e-14
            ).cost
            for start in ([0.4, 0.25, 0.8], [0.9, 0.1, 0.1], [0.0, 1.0, 1.2])
        )
        cost = 0.5 * np.sum((law.log_loss(theta, x) - row) ** 2)
        assert cost <= peer * (1 + 1e-6) + 1e-12


def test_fewer_than_four_budgets_are_refused():
    found = fit([1e10, 1e11, 1e12], [3.0, 2.0, 1.5])
    assert found == FewBudgets(num=3, needed=4)
    assert told(of_kind(Reason, found)) == "3 budgets away from chance, at least 4 are needed"


def test_rungs_near_chance_are_shown_but_not_fitted():
    loss = [0.95 * math.log(100), *(40 * BUDGETS[1:] ** -0.12)]
    found = present(fit(BUDGETS, loss, chance=math.log(100)))
    assert len(found.kept) == 6
    assert isinstance(found.rows[0].dropped, NearChance)
    assert found.parameters["b"] == pytest.approx(0.12)
    few = fit(BUDGETS, [4.5] * 4 + [2.0, 1.9, 1.8], chance=math.log(100))
    assert few == FewBudgets(num=3, needed=4, num_dropped=4, num_rows=7)
    assert told(of_kind(Reason, few)).endswith("(4 of 7 rows dropped)")


def test_a_double_descent_is_refused_with_the_rung_that_rises():
    loss = [3.0, 2.2, 1.9, 2.6, 2.1, 1.6, 1.3]
    refused = fit(BUDGETS, loss)
    assert isinstance(refused, NotMonotone)
    assert refused.compute == pytest.approx(BUDGETS[3])
    assert "the loss lies 36.8% above a cheaper rung" in told(refused)
    shown = present(fit(BUDGETS, loss, refuse=False))
    assert not shown.supported
    assert shown.ending == "rises"
    assert shown.remarks[0] == refused


def test_a_rise_within_the_noise_of_seeds_is_no_reason_to_refuse():
    loss = [3.0, 2.5, 2.2, 2.23, 1.9, 1.7, 1.5]
    assert present(fit(BUDGETS, loss, run_sd=0.01)).supported
    assert isinstance(fit(BUDGETS, loss, run_sd=0.001), NotMonotone)


def test_a_loss_that_does_not_fall_is_refused():
    assert fit(BUDGETS, [2.0, 2.01, 2.0, 2.02, 2.01, 2.0, 2.02], run_sd=0.02) == NotFalling()


def test_values_that_are_no_numbers_are_dropped_with_the_reason():
    found = present(fit([*BUDGETS, 1e14], [*(40 * BUDGETS**-0.12), math.nan]))
    assert found.rows[-1].dropped == NotPositive()
    assert len(found.kept) == 7


def test_replicates_from_the_optimum_of_all_points_end_where_their_own_seeds_do():
    law, generator = LAWS["size-and-examples"], np.random.default_rng(4)
    x = generator.uniform(-3, 3, (80, 2))
    y = law.log_loss(np.array([-1.0, 0.35, -0.8, 0.3, 0.4]), x) + 0.01 * generator.standard_normal(80)
    counts = generator.multinomial(80, np.full(80, 1 / 80), size=600).astype(float)
    whole = solve_many(law, x, y, delta=0.01)[0]
    exact = {"weights": counts, "delta": 0.01, "tolerance": 1e-9, "least_gain": 0.0}
    started, seeded = solve_many(law, x, y, start=whole, **exact), solve_many(law, x, y, **exact)
    assert started.shape == (600, 5)
    np.testing.assert_allclose(started, seeded, rtol=1e-5, atol=1e-6)


def test_every_fit_that_is_not_refused_has_converged():
    compute = np.geomspace(1e10, 1e13, 10)
    for seed in range(6):
        noise = 0.01 * np.random.default_rng(seed).standard_normal(10)
        for form in ("broken", "m4"):
            found = present(fit(compute, np.exp(np.log(0.7 + 300 * compute**-0.25) + noise), form=form))
            assert found.ending != "not converged"


def test_a_fit_that_stopped_short_of_its_optimum_is_refused_unless_asked_for(monkeypatch):
    monkeypatch.setattr("levelfield.scaling.fitting.fit.CONVERGED", 0.0)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(7))
    loss = (0.7 + 300 * BUDGETS**-0.25) * noise
    for refused in (fit(BUDGETS, loss, form="saturating"), fit_law("saturating", {"compute": BUDGETS}, loss)):
        assert isinstance(refused, UnsupportedFit)
        assert refused.ending == "not converged"
        assert "the solver stopped before the gradient vanished (fitted on 7 of 7 points" in told(refused)
    assert present(fit(BUDGETS, loss, form="saturating", refuse=False)).ending == "not converged"


@pytest.mark.parametrize("num", [30, 1000, 3000])
def test_independent_noise_is_no_rise_however_many_rows_there_are(num):
    compute = np.geomspace(1e10, 1e14, num)
    noise = 0.003 * np.random.default_rng(0).standard_normal(num)
    assert present(fit(compute, (1.69 + 40 * compute**-0.08) * np.exp(noise), form="saturating")).supported


def test_ten_rungs_may_rise_by_three_sds_of_a_difference():
    loss = 40 * np.geomspace(1e10, 1e13, 10) ** -0.1
    for sds, refused in ((2.99, False), (3.01, True)):
        risen = loss.copy()
        risen[5] = loss[4] * math.exp(sds * math.sqrt(2) * 0.01)
        assert (refusal(np.arange(10.0), np.log(risen), run_sd=0.01) is not None) is refused


@pytest.mark.parametrize("form", OF_COMPUTE)
def test_compute_over_six_hundred_decades_breaks_nothing(form):
    compute = np.geomspace(1e-300, 1e300, 12)
    assert present(fit(compute, 1 + compute**-0.01, form=form, refuse=False)).rows


def test_outlying_rows_are_named_with_what_the_law_is_without_them():
    generator = np.random.default_rng(2)
    params, examples = generator.uniform(6, 9, 60), generator.uniform(8, 11, 60)
    inputs = {"params": 10**params, "examples": 10**examples}
    loss = (1.7 + 400 * 10 ** (-0.34 * params) + 410 * 10 ** (-0.28 * examples)) * np.exp(
        0.003 * generator.uniform(-1, 1, 60)
    )
    assert without_outliers(present(fit_law("size-and-examples", inputs, loss))) is None
    loss[7] *= 1.2
    found = of_kind(OutliersMove, without_outliers(present(fit_law("size-and-examples", inputs, loss))))
    (row,) = found.outlying
    assert (row.loss, *row.inputs) == (loss[7], inputs["params"][7], inputs["examples"][7])
    assert [each.name for each in found.moved] == ["A", "alpha", "B", "beta", "E"]
    assert all(each.without != each.value for each in found.moved)
    assert told(found).startswith(f"without 1 row beyond 3.5 robust sds (loss {loss[7]:.4g} at ")


def test_a_few_rungs_tell_no_outlier():
    loss = 40 * BUDGETS**-0.1
    loss[3] *= 1.01
    assert without_outliers(present(fit(BUDGETS, loss))) is None
