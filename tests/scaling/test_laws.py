"""Every law inherits these tests by being in the table of laws."""

from __future__ import annotations

import numpy as np
import pytest

from levelfield.scaling.laws import LAWS, bounds, summed
from levelfield.scaling.solver import CONVERGED, minimise, solve_one

PLANTED = {
    "log-log": [0.1, 0.2],
    "saturating": [-0.3, 0.4, 0.3],
    "shifted": [-0.3, 0.5, 0.3, 0.3],
    "m4": [0.3, 0.2, 1.5, -0.2, 0.4],
    "broken": [-0.2, 0.15, 0.5, 0.3, 0.5, 0.2],
    "size-and-examples": [-1.0, 0.35, -0.8, 0.3, 0.4],
    "repeated": [-1.0, 0.35, -0.8, 0.3, 0.4, 1.5],
}
forms = pytest.mark.parametrize("form", LAWS)


def points(form, num=60):
    """Inputs in the law's own units; distinct examples lie from a little above to far below those seen."""
    generator = np.random.default_rng(0)
    x = generator.uniform(-3, 3, (num, len(LAWS[form].inputs)))
    if form == "repeated":
        x[:, 2] = x[:, 1] - generator.uniform(-1, 2.5, num)
    return x


@forms
def test_every_law_states_its_equation_latex_source_and_parameters(form):
    law = LAWS[form]
    assert law.form == form
    assert law.equation
    assert law.latex
    assert law.source
    assert law.inputs
    low, high = bounds(law)
    assert np.all(low < high)
    assert len(PLANTED[form]) == len(law.parameters) == len({parameter.name for parameter in law.parameters})
    assert all(parameter.meaning for parameter in law.parameters)


@forms
def test_gradient_and_hessian_are_the_numerical_derivatives(form):
    law, theta, x = LAWS[form], np.array(PLANTED[form]), points(form)
    value, gradient, hessian = law.derivatives(theta, x)
    np.testing.assert_allclose(value, law.log_loss(theta, x), rtol=1e-12)
    for place in range(len(theta)):
        step = np.zeros_like(theta)
        step[place] = 1e-5
        above, below = law.derivatives(theta + step, x), law.derivatives(theta - step, x)
        np.testing.assert_allclose(gradient[:, place], (above[0] - below[0]) / 2e-5, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(hessian[:, :, place], (above[1] - below[1]) / 2e-5, rtol=1e-6, atol=1e-7)


@forms
def test_a_batch_of_fits_is_the_fits_one_by_one(form):
    law, x = LAWS[form], points(form, 9)
    thetas = np.array(PLANTED[form]) * np.array([[1.0], [0.9], [1.1]])
    together = law.derivatives(thetas, x)
    for place, theta in enumerate(thetas):
        for of_all, alone in zip(together, law.derivatives(theta, x), strict=True):
            np.testing.assert_allclose(of_all[place], alone, rtol=1e-12)


@forms
def test_hessians_summed_the_short_way_are_the_sum_of_the_hessians(form):
    law, x = LAWS[form], points(form, 9)
    thetas = np.array(PLANTED[form]) * np.array([[1.0], [0.9], [1.1]])
    weights = np.random.default_rng(3).standard_normal((3, len(x)))
    value, gradient, hessian = law.derivatives(thetas, x)
    quick, slope, bend = summed(law, thetas, x)
    np.testing.assert_allclose(quick, value, rtol=1e-12)
    np.testing.assert_allclose(slope, gradient, rtol=1e-12)
    np.testing.assert_allclose(bend(weights), np.einsum("fn,fnpq->fpq", weights, hessian), rtol=1e-9, atol=1e-12)


@forms
def test_a_planted_law_without_noise_comes_back(form):
    law, theta, x = LAWS[form], np.array(PLANTED[form]), points(form)
    found, solution, _ = solve_one(law, x, law.log_loss(theta, x))
    assert solution.objective[0] < 1e-20
    np.testing.assert_allclose(found, theta, rtol=1e-4, atol=1e-4)


@forms
@pytest.mark.parametrize("delta", [np.inf, 0.01])
def test_with_noise_the_objective_is_below_the_planted_one_and_the_gradient_vanishes(form, delta):
    law, theta, x = LAWS[form], np.array(PLANTED[form]), points(form)
    y = law.log_loss(theta, x) + 0.01 * np.random.default_rng(1).standard_normal(len(x))
    found, _, _ = solve_one(law, x, y, delta=delta)
    # M4 has a long flat valley here: its optimum is found in the end, at its bound.
    solution = minimise(law, x, y, found[None], delta=delta, max_steps=3000)
    low, high = bounds(law)
    fixed = minimise(law, x, y, theta[None], delta=delta, low=theta[None], high=theta[None])
    assert np.all((low <= theta) & (theta <= high))
    assert solution.objective[0] < fixed.objective[0]
    assert solution.gradient_norm[0] < 1e3 * CONVERGED


@forms
def test_named_parameters_do_not_depend_on_the_units_inside(form):
    law, theta, x = LAWS[form], np.array(PLANTED[form]), points(form, 40)
    at_home = law.named(theta, log_units=[0.0] * len(law.inputs), log_loss_unit=0.0)
    shift = np.full(len(law.inputs), 0.7)
    moved, _, _ = solve_one(law, x - shift, law.log_loss(theta, x) - 0.4)
    named = law.named(moved, log_units=shift.tolist(), log_loss_unit=0.4)
    for name, value in at_home.items():
        assert named[name] == pytest.approx(value, rel=2e-3, abs=2e-3), name
