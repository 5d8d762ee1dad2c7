"""How the rows of a law err: found once, kept in as many numbers as there are rows, and drawn from wherever needed."""

from __future__ import annotations

import numpy as np

from levelfield.scaling.fitting.fit import recency_weights
from levelfield.scaling.fitting.solver import solve_many
from levelfield.scaling.laws import Floats, Law
from levelfield.scaling.noise.dependence import Dependence
from levelfield.scaling.noise.uncertainty import matrix_root
from levelfield.scaling.results.laws import RowErrors

NUM_REFITS = 400


def errors_of_curve(found: Dependence) -> RowErrors:
    """Those of the rows of one learning curve."""
    return RowErrors(variances=(found.variance,), degrees_of_freedom=found.degrees, memory=found.memory)


def errors_of_rungs(covariance: Floats, degrees: float) -> RowErrors:
    """Those of rungs with this ``covariance``, of which many are independent of one another."""
    rows, earlier = np.nonzero(np.tril(covariance, -1))
    pairs = zip(rows.tolist(), earlier.tolist(), covariance[rows, earlier].tolist(), strict=True)
    return RowErrors(variances=tuple(np.diag(covariance).tolist()), degrees_of_freedom=degrees, pairs=tuple(pairs))


def covariance_of(errors: RowErrors, num_rows: int) -> Floats:
    """The (rows, rows) covariance of ``errors``, to the last bit that which they were found with."""
    variances = np.broadcast_to(errors.variances, num_rows)
    if errors.memory:
        places = np.arange(num_rows)
        return errors.memory ** np.abs(places[:, None] - places).astype(float) * variances
    found = np.diag(variances)
    if errors.pairs:
        rows, earlier, covariances = zip(*errors.pairs, strict=True)
        found[rows, earlier] = found[earlier, rows] = covariances
    return found


def drawn_errors(covariance: Floats, degrees: float, generator: np.random.Generator) -> Floats:
    """(NUM_REFITS, points) errors with a covariance known to so many degrees of freedom: multivariate t."""
    scale = np.sqrt(degrees / generator.chisquare(degrees, (NUM_REFITS, 1)))
    return generator.standard_normal((NUM_REFITS, len(covariance))) @ matrix_root(covariance).T * scale


def draw_thetas(
    law: Law,
    theta: Floats,
    x: Floats,
    errors: Floats,
    *,
    delta: float,
    recency: float,
) -> Floats:
    """(draws, parameters) refits to the fitted curve plus each row of ``errors`` (draws, points)."""
    errors = np.clip(errors, -3.0, 3.0)
    return solve_many(law, x, law.log_loss(theta, x) + errors, weights=recency_weights(x, recency), delta=delta)
