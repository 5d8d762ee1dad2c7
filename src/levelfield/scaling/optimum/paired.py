"""The gap between closed form and profiles, which rest on the same runs: how far noise alone moves the two apart.

Estimated: how the gap in the exponent of optimal size, and in ln size at a budget, would vary with other runs. Errors
of the cells are drawn once and given to both roads: the law is fitted anew to its own fitted losses plus the errors,
each vertex to its local curve plus the same errors, its window and all. What the errors do to both alike then cancels:
nearly all where few sizes lie near the best (a correlation of 0.95 with four sizes), a part where many do (0.2 to 0.4
with nine). As two independent sides, gaps had intervals 1.3 to 1.5 times as wide.

Errors are those that the curves themselves show (scatter.py), which holds whether the law's form is right or not. The
law's residuals, which served before, hold what a wrong form lacks: intervals of planted gaps of a wrong form were up to
six times too wide. Where curves leave too little over to tell (three sizes a budget), residuals still serve, each cell
as noisy as its own says (a wild bootstrap: signs at random on residuals divided by the root of 1 - leverage), rows of
one model that err together with the memory that was found for them.
Source: Wu, "Jackknife, bootstrap and other resampling methods in regression analysis", Annals of Statistics 14, 1986.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.fitting.solver import solve_many
from levelfield.scaling.ladder.errors import NUM_REFITS
from levelfield.scaling.laws import Floats
from levelfield.scaling.optimum.isoflop import lowest
from levelfield.scaling.optimum.local import curve_about, local_curve, minima
from levelfield.scaling.optimum.scatter import errors_about_curves
from levelfield.scaling.optimum.size_law import Cloud, drawn_with_memory
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import IsoflopProfile


class Moved(NamedTuple):
    """What drawn errors of the cells do: thetas (draws, parameters) of the law, and ln sizes (draws, vertices)."""

    thetas: Floats
    sizes: Floats


def moved_by_noise(profiles: Sequence[IsoflopProfile], law: Cloud, generator: np.random.Generator) -> Moved:
    """The law fitted anew and the vertices found anew, in the order of ``profiles`` that have one, by common errors.

    The vertices are differences from what they are without errors.
    """
    drawn = errors_about_curves(law.cells, generator)
    errors = _residual_errors(law, generator) if drawn is None else drawn
    theta = np.asarray(law.fit.theta)
    fitted = law.fit.law.log_loss(theta, law.fit.x)
    thetas = solve_many(law.fit.law, law.fit.x, fitted + errors, delta=law.fit.delta, start=theta)
    place = {(cell.budget_flops, cell.model, cell.params, cell.loss): at for at, cell in enumerate(law.cells)}
    found = []
    for profile in profiles:
        if not isinstance(profile.optimal_params, Interval):
            continue
        points = sorted(profile.points, key=lambda point: point.params)
        same = [at for at, cell in enumerate(law.cells) if cell.budget_flops == profile.budget_flops]
        at = [place.get((profile.budget_flops, point.model, point.params, point.loss)) for point in points]
        own = np.stack([_of_cell(errors, each, same, generator) for each in at], axis=-1)
        found.append(_vertices(np.log([(point.params, point.loss) for point in points]), own))
    return Moved(thetas, np.stack(found, axis=-1))


def _residual_errors(law: Cloud, generator: np.random.Generator) -> Floats:
    """(draws, cells) errors of ln loss, as uncertain as their degrees of freedom make them."""
    if law.memory is not None:
        return drawn_with_memory(law.memory, law.cells, generator)
    _, slope, _ = law.fit.law.derivatives(np.asarray(law.fit.theta), law.fit.x)
    basis, values, _ = np.linalg.svd(slope, full_matrices=False)
    leverage = np.sum(basis[:, values > 1e-10 * values.max()] ** 2, axis=-1)
    sizes = law.fit.residuals / np.sqrt(np.maximum(1 - leverage, 0.05))
    signs = generator.choice([-1.0, 1.0], (NUM_REFITS, len(sizes)))
    return signs * sizes * np.sqrt(law.degrees / generator.chisquare(law.degrees, (NUM_REFITS, 1)))


def _of_cell(errors: Floats, place: int | None, others: list[int], generator: np.random.Generator) -> Floats:
    """The errors of one cell; of one that the law leaves out, such as are typical of the ``others`` of its budget."""
    if place is not None:
        return errors[:, place]
    typical = math.sqrt(float(np.mean(errors[:, others or slice(None)] ** 2)))
    return typical * generator.standard_normal(len(errors))


def _vertices(points: Floats, errors: Floats) -> Floats:
    """How far errors (draws, points) move the vertex of ``points`` (points, 2), ln size and ln loss: in ln size.

    Errors also decide which size is the best one, about which the curve is local. Where that is one at an end, there
    would be no vertex: then it is found about the size that is the best one without errors.
    """
    size, log_loss = points.T
    curve = local_curve(size, log_loss)
    assert not isinstance(curve, Reason)  # the profile has a vertex
    coefficients = np.linalg.pinv(curve.design) @ log_loss[curve.near]
    smooth = log_loss.copy()
    smooth[curve.near] = curve.design @ coefficients
    drawn = smooth + errors
    best = np.argmin(drawn, axis=1)
    best = np.where((best == 0) | (best == len(size) - 1), int(np.argmin(log_loss)), best)
    found = np.empty(len(errors))
    for place in np.unique(best):
        own, about = best == place, curve_about(size, int(place))
        found[own] = about.centre + lowest(drawn[own][:, about.near] @ np.linalg.pinv(about.design).T, about)
    return found - curve.centre - float(minima(coefficients))
