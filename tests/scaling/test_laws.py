"""Every law inherits these tests by being in the table of laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize as minimize_of_scipy

from levelfield.scaling.fitting.solver import CONVERGED, minimise, solve_one
from levelfield.scaling.laws import LAWS, bounds, summed

forms = pytest.mark.parametrize("form", LAWS)


def points(form, num=60, seed=0):
    """Inputs in the law's own units."""
    return np.random.default_rng(seed).uniform(-3, 3, (num, len(LAWS[form].inputs)))


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
    assert np.all((low < law.example) & (law.example < high))
    assert len(law.example) == len(law.parameters) == len({parameter.name for parameter in law.parameters})
    assert all(parameter.meaning for parameter in law.parameters)


@forms
def test_gradient_and_hessian_are_the_numerical_derivatives(form):
    law, theta, x = LAWS[form], np.array(LAWS[form].example), points(form)
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
    thetas = np.array(LAWS[form].example) * np.array([[1.0], [0.9], [1.1]])
    together = law.derivatives(thetas, x)
    for place, theta in enumerate(thetas):
        for of_all, alone in zip(together, law.derivatives(theta, x), strict=True):
            np.testing.assert_allclose(of_all[place], alone, rtol=1e-12)


@forms
def test_hessians_summed_the_short_way_are_the_sum_of_the_hessians(form):
    law, x = LAWS[form], points(form, 9)
    thetas = np.array(LAWS[form].example) * np.array([[1.0], [0.9], [1.1]])
    weights = np.random.default_rng(3).standard_normal((3, len(x)))
    value, gradient, hessian = law.derivatives(thetas, x)
    quick, slope, bend = summed(law, thetas, x)
    np.testing.assert_allclose(quick, value, rtol=1e-12)
    np.testing.assert_allclose(slope, gradient, rtol=1e-12)
    np.testing.assert_allclose(bend(weights), np.einsum("fn,fnpq->fpq", weights, hessian), rtol=1e-9, atol=1e-12)


@forms
def test_a_planted_law_without_noise_comes_back(form):
    law, theta, x = LAWS[form], np.array(LAWS[form].example), points(form)
    found, solution, _ = solve_one(law, x, law.log_loss(theta, x))
    assert solution.objective[0] < 1e-20
    np.testing.assert_allclose(found, theta, rtol=1e-4, atol=1e-4)


@forms
def test_seeds_lie_in_different_blocks_the_most_promising_first(form):
    law, x = LAWS[form], points(form)
    y = law.log_loss(np.array(law.example), x)
    seeds = law.seeds(x, y[None], np.ones((1, len(x))), num=law.num_starts)[0]
    assert seeds.shape == (law.num_starts, len(law.parameters))
    assert len(np.unique(seeds.round(6), axis=0)) == law.num_starts
    np.testing.assert_array_equal(seeds[:1], law.seeds(x, y[None], np.ones((1, len(x))), num=1)[0])


@pytest.mark.slow
@forms
def test_the_optimum_is_that_of_many_random_starts_of_scipy(form):
    law, generator = LAWS[form], np.random.default_rng(20)
    low, high = bounds(law)
    excess = []
    for problem in range(4):
        num = max(len(low) + 1, (6, 8, 12, 30)[problem])
        theta = np.clip(law.example * generator.uniform(0.3, 1.7, len(low)), low, high)
        x = generator.uniform(-4, 4, (num, len(law.inputs)))
        y = law.log_loss(theta, x) + 0.02 * generator.standard_t(3, num)
        delta = (1e-3, 0.02, np.inf)[problem % 3]
        _, solution, agreement = solve_one(law, x, y - y.mean(), delta=delta)
        peer = best_of_scipy(law, x, y - y.mean(), delta, [theta, *generator.uniform(-4, 4, (3, len(low)))])
        assert solution.gradient_norm[0] < 1e3 * CONVERGED
        assert solution.objective[0] <= peer * (1 + 1e-3) or agreement < 1, "seeds agree on what is no optimum"
        excess.append(solution.objective[0] / peer - 1)
    assert sum(share > 1e-3 for share in excess) == 0, excess


def best_of_scipy(law, x, y, delta, starts):
    def objective(theta):
        predicted, slope, _ = law.derivatives(theta, x)
        size = np.abs(predicted - y)
        near = np.minimum(size, delta)
        return np.sum(near * (size - 0.5 * near)), slope.T @ np.clip(predicted - y, -delta, delta)

    limits = list(zip(*bounds(law), strict=True))
    options = {"maxiter": 3000, "ftol": 1e-15, "gtol": 1e-12}
    with np.errstate(all="ignore"):
        ends = [
            minimize_of_scipy(objective, np.clip(start, *bounds(law)), jac=True, bounds=limits, options=options)
            for start in starts
        ]
    return min(end.fun for end in ends if np.isfinite(end.fun))


@forms
@pytest.mark.parametrize("delta", [np.inf, 0.01])
def test_with_noise_the_objective_is_below_the_planted_one_and_the_gradient_vanishes(form, delta):
    law, theta, x = LAWS[form], np.array(LAWS[form].example), points(form)
    y = law.log_loss(theta, x) + 0.01 * np.random.default_rng(1).standard_normal(len(x))
    _, solution, _ = solve_one(law, x, y, delta=delta)
    low, high = bounds(law)
    fixed = minimise(law, x, y, theta[None], delta=delta, low=theta[None], high=theta[None])
    assert np.all((low <= theta) & (theta <= high))
    assert solution.objective[0] < fixed.objective[0]
    assert solution.gradient_norm[0] < 1e3 * CONVERGED


@forms
def test_named_parameters_do_not_depend_on_the_units_inside(form):
    law, theta, x = LAWS[form], np.array(LAWS[form].example), points(form, 40)
    at_home = law.named(theta, log_units=[0.0] * len(law.inputs), log_loss_unit=0.0)
    shift = np.full(len(law.inputs), 0.7)
    moved, _, _ = solve_one(law, x - shift, law.log_loss(theta, x) - 0.4)
    named = law.named(moved, log_units=shift.tolist(), log_loss_unit=0.4)
    for name, value in at_home.items():
        assert named[name] == pytest.approx(value, rel=2e-3, abs=2e-3), name
