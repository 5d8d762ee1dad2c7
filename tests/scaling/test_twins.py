"""What others' software says of the same data: statsmodels for components of variance and for the rate surface.

Slow because statsmodels takes seconds to load.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pytest

from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.components import covariance_of_means, variance_components
from levelfield.scaling.noise.uncertainty import pooled_sd
from levelfield.scaling.optimum.aligned import Aligned, aligned
from levelfield.scaling.optimum.clustered import covariances, larger
from tests.scaling.test_rates import steep_cells

pytestmark = pytest.mark.slow


class Restricted(NamedTuple):
    """What MixedLM finds by restricted maximum likelihood: both variances and the covariance of the fixed effects."""

    own: float
    trunk: float
    covariance: Floats


def by_mixed_model(y: Floats, design: Floats, trunks: np.ndarray) -> Restricted:
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    with warnings.catch_warnings():  # a component of almost 0 is what some of these data are about
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        found = MixedLM(y, design, groups=trunks).fit(reml=True)
    fixed = slice(0, design.shape[1])
    covariance = np.asarray(found.cov_params())[fixed, fixed]
    return Restricted(float(found.scale), float(np.asarray(found.cov_re)[0, 0]), covariance)


def crossed(seed: int, *, trunk_sd: float, cells: int = 5, trunks: int = 4):
    """ln losses of every cell on every trunk: the cells, the trunks, and the columns of the cells' means."""
    generator = np.random.default_rng([11, seed])
    cell, trunk = np.divmod(np.arange(cells * trunks), trunks)
    y = trunk_sd * generator.standard_normal(trunks)[trunk] + 0.01 * generator.standard_normal(len(cell))
    return y, cell, trunk, np.eye(cells)[cell]


@pytest.mark.parametrize("seed", range(5))
def test_on_balanced_runs_the_components_are_those_of_restricted_maximum_likelihood(seed):
    """Analysis of variance and REML agree on balanced data; so do the errors of the cells' means, which are GLS."""
    y, cell, trunk, design = crossed(seed, trunk_sd=0.03)
    ours = variance_components(y, design, trunk)
    assert ours is not None
    assert ours.trunk > 0
    theirs = by_mixed_model(y, design, trunk)
    assert (ours.own, ours.trunk) == pytest.approx((theirs.own, theirs.trunk), rel=1e-3)
    covariance = covariance_of_means(cell, 5, ours, trunk).covariance(np.arange(5))
    assert covariance == pytest.approx(theirs.covariance, rel=1e-3)


def test_where_trunks_share_nothing_both_put_all_variance_into_the_runs():
    """The trunks' part is cut at 0 by both; then the runs' own part is the residual mean square of OLS."""
    for seed in range(40):
        y, _, trunk, design = crossed(seed, trunk_sd=0.0)
        ours = variance_components(y, design, trunk)
        assert ours is not None
        if ours.trunk == 0:
            theirs = by_mixed_model(y, design, trunk)
            assert theirs.trunk < 1e-3 * theirs.own
            assert ours.own == pytest.approx(theirs.own, rel=1e-3)
            return
    pytest.fail("no component was cut at 0")


def test_on_ragged_runs_both_are_right_on_average_and_restricted_likelihood_varies_little_less():
    """The two differ there: REML weighs a trunk by how much it tells, and asks for normal errors to do so.

    Method 3 of Henderson equates two sums of squares to what they are expected to be, whatever the errors' form.
    """
    found = []
    for seed in range(150):
        generator = np.random.default_rng([12, seed])
        trunk = np.repeat(np.arange(8), [1, 1, 2, 3, 4, 6, 8, 9])
        x = generator.standard_normal(len(trunk))
        design = np.column_stack([np.ones_like(x), x])
        y = x + 0.03 * generator.standard_normal(8)[trunk] + 0.01 * generator.standard_normal(len(trunk))
        ours, theirs = variance_components(y, design, trunk), by_mixed_model(y, design, trunk)
        assert ours is not None
        found.append((ours.own, theirs.own, ours.trunk, theirs.trunk))
    found = np.array(found)
    our_own, their_own, our_trunk, their_trunk = found.mean(axis=0)
    spreads = found.std(axis=0)
    told = [f"{1e4 * mean:.3f} ± {1e4 * sd:.3f}" for mean, sd in zip(found.mean(axis=0), spreads, strict=True)]
    print("own, REML's; trunk, REML's (1e-4, mean ± sd):", *told)
    assert our_own == pytest.approx(1e-4, rel=0.05)
    assert their_own == pytest.approx(1e-4, rel=0.05)
    assert our_trunk == pytest.approx(9e-4, rel=0.15)
    assert their_trunk == pytest.approx(9e-4, rel=0.15)
    assert np.corrcoef(found[:, 2], found[:, 3])[0, 1] > 0.7
    assert spreads[2] < 1.3 * spreads[3]


def test_the_pooled_noise_of_seeds_is_the_residual_mean_square_of_ordinary_least_squares():
    from statsmodels.regression.linear_model import OLS

    generator = np.random.default_rng(13)
    counts = [3, 5, 1, 2, 8]
    groups = [generator.normal(place, 0.02, num).tolist() for place, num in enumerate(counts)]
    cells = np.eye(len(counts))[np.repeat(np.arange(len(counts)), counts)]
    theirs = OLS(np.concatenate(groups), cells).fit()
    sd, degrees = pooled_sd(groups)
    assert sd is not None
    assert (sd**2, degrees) == pytest.approx((theirs.mse_resid, theirs.df_resid))


def tuned(seed: int, **changes) -> Aligned:
    """The minima of planted tuning curves, whose shape lies inside the bounds of what is fitted."""
    cells = steep_cells("a parabola a side", np.random.default_rng([14, seed]), **changes)
    place = np.log([(cell.params, cell.examples) for cell in cells])
    z = np.column_stack([np.ones(len(cells)), place - place.mean(axis=0)])
    found = aligned([np.log(cell.tried) for cell in cells], z)
    assert found is not None
    return found


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_the_clustered_errors_of_the_rate_surface_are_those_of_ordinary_least_squares(off):
    """The last step is a linear regression, whatever the basis: the misfit on the Jacobian, clustered by cell.

    Statsmodels' small-sample factor is G / (G - 1) (n - 1) / (n - k); ours is G / (G - 5) for the five numbers by which
    cells differ. Runs of one cell tell those together, so that more runs a cell do not make up for few cells.
    """
    from statsmodels.regression.linear_model import OLS

    found = tuned(0, off=off)
    model = OLS(found.misfit, found.jacobian)
    theirs = model.fit(cov_type="cluster", cov_kwds={"groups": found.cells, "use_correction": False})
    assert np.abs(theirs.params) == pytest.approx(0.0, abs=0.02), "a fit that has ended has no step left"
    _, clustered, num_cells = covariances(found.jacobian, found.misfit, found.weights, found.cells, num_of_cells=5)
    assert num_cells == 25
    # The bends k are known to a hundredth of the others' scale: entries are compared as correlations.
    sds = np.sqrt(np.diag(clustered))
    expected = theirs.cov_params() * num_cells / (num_cells - 5)
    assert clustered / np.outer(sds, sds) == pytest.approx(expected / np.outer(sds, sds), abs=0.02)


def test_where_all_runs_weigh_alike_the_ordinary_errors_are_those_with_a_dummy_a_cell():
    """Weights say what is near the minimum, not what is precise, which is how OLS would take them.

    So ours is OLS's for equal weights alone; for others it allows for runs that err alike and weigh differently.
    """
    from statsmodels.regression.linear_model import OLS

    generator = np.random.default_rng(15)
    cells = np.repeat(np.arange(12), 5)
    columns, y = generator.standard_normal((60, 3)), generator.standard_normal(60)
    dummies = np.eye(12)[cells]
    theirs = OLS(y, np.column_stack([columns, dummies])).fit()
    without = np.eye(60) - dummies @ np.linalg.pinv(dummies)
    ordinary, _, _ = covariances(without @ columns, theirs.resid, np.ones(60), cells, num_of_cells=3)
    assert ordinary == pytest.approx(theirs.cov_params()[:3, :3])


def test_cells_off_the_plane_are_seen_by_clustered_errors_alone():
    found = tuned(0, off=0.3, run_sd=0.001)
    ordinary, clustered, _ = covariances(found.jacobian, found.misfit, found.weights, found.cells, num_of_cells=5)
    exponents = slice(1, 3)
    assert np.all(np.diag(clustered)[exponents] > 1.5 * np.diag(ordinary)[exponents])
    assert np.all(np.diag(found.covariance) >= 0.999 * np.diag(larger(ordinary[:3, :3], clustered[:3, :3])))
