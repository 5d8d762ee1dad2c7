"""Tuning curves of one shape, moved onto one another: where their common minimum lies, cell by cell.

Estimated: s(z), the ln rate of least loss of a cell at z = (1, ln N, ln D), centred, a plane s = p·z, from runs of ln
rate u and ln loss y in

    y = level of the cell + e^(q·z) g(h) + error,    h = u - s,
    g(h) = c₋ h² + k₋ h³ below the minimum, c₊ h² + k₊ h³ above it.

Both sides have a curvature and a bend of their own, because curves rise slowly below their minimum and fast above it,
and a shape that cannot do so misplaces the minimum (a cubic through both sides by up to 0.17 in ln rate on planted
curves). Sharpness e^(q·z) may change with size and length: held alike it tilts the plane (planted exponents of -0.8
came out as -0.71 and -0.90). Assumed: errors of mean 0; cells are independent of one another, runs of a cell need not
be, since its own minimum need not lie on the plane.

Runs near the minimum count most: by a tricube of h and by how high g says that they lie. Neither looks at a run's own
loss, so a lucky run counts no more than its neighbours, and no cell is left out for where its best run happens to lie.
Where rates are too few to tell the bends, and then the sides, apart, these are left out: at worst g is a parabola. The
plane, q and g are found by least squares, the weights anew until they stay (a local fit; Cleveland, "Robust locally
weighted regression and smoothing scatterplots", JASA 74, 1979; a shape shared by curves that are shifted, Lawton,
Sylvestre and Maggio, "Self modeling nonlinear regression", Technometrics 14, 1972). Symbols:
docs/explanation/notation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.laws import Floats
from levelfield.scaling.optimum.clustered import covariances, larger

REACH = math.log(10)
"""Rates a factor of 10 off the minimum count for nothing."""
_HALF_AT = 0.03
"""ln loss above the minimum at which a run counts half: what far higher runs show is another regime."""
_DIVERGED = 0.2
"""Runs this far in ln loss above their cell's best are left out: there the loss leaves any smooth curve."""
_STARTING = 0.03
"""The same as ``_HALF_AT``, above the best run of a cell, before a first minimum is known."""
MAX_CONDITION = 100.0
"""Of columns that still tell their parameters apart."""
_CURVED, _SHARPEST = (math.log(1e-5), math.log(1e3)), 1.5
"""The ln curvature, and the largest power by which sharpness changes with size or length."""
_UNLIKE = math.log(2)
"""Half the ln ratio of the two curvatures, at most: of a smooth curve they would be equal, and without a bound the foot
of a wall passes for a minimum."""
_REWEIGHTED = 12
_SETTLED = 1e-3


class Aligned(NamedTuple):
    """The plane of minima with what it was found by.

    ``shape`` is (c₋, c₊, k₋, k₊) and holds as far as ``reach`` above the minimum, ``sharpness`` is q, ``vertex`` p with
    its ``covariance``; ``num_cells`` have two runs or more near the minimum. ``jacobian`` (runs, parameters: p, q,
    shape) and ``misfit`` (runs,) are those of the last step, a linear regression: weighed by the roots of ``weights``,
    the cells' levels taken out; ``cells`` names each run's cell.
    """

    shape: Floats
    reach: float
    sharpness: Floats
    vertex: Floats
    covariance: Floats
    num_cells: int
    jacobian: Floats
    misfit: Floats
    weights: Floats
    cells: NDArray[np.intp]


class _Runs(NamedTuple):
    """Runs of tuning curves: ln rate, ln loss, z of their cell (runs, columns), and the cell's number."""

    u: Floats
    y: Floats
    z: Floats
    cells: NDArray[np.intp]

    @property
    def low(self) -> Floats:
        """The least ln loss of every run's cell."""
        least = np.full(int(self.cells.max()) + 1, np.inf)
        np.minimum.at(least, self.cells, self.y)
        return least[self.cells]


class _Curve(NamedTuple):
    """The common curve at every run: h, e^(q·z) g, its derivatives by the shape's parameters and by h."""

    h: Floats
    height: Floats
    columns: Floats
    slope: Floats


def aligned(curves: Sequence[Floats], z: Floats, *, reach: float = REACH) -> Aligned | None:
    """The plane of minima of ``curves``, each (rates, 2) of ln rate and ln loss, at ``z`` (curves, columns).

    Runs count as far as ``reach`` above the minimum. None where they show no minimum: where one parabola for all opens
    downwards, or nothing is near.
    """
    runs, num = _runs(curves, z), z.shape[1]
    start = _parabola(runs)
    if start is None:
        return None
    for used in (len(start), len(start) - 2, len(start) - 3):
        fitted = _fitted(runs, start, used, reach)
        if fitted is None:
            return None
        parameters, weights = fitted
        jacobian = _jacobian(parameters, runs, weights)[:, :used]
        if _distinct(jacobian):
            break
    misfit = _misfit(parameters, runs, weights)
    ordinary, clustered, num_cells = covariances(jacobian, misfit, weights, runs.cells, num_of_cells=2 * num - 1)
    return Aligned(
        shape=_shape(parameters[2 * num - 1 :]),
        reach=reach,
        sharpness=parameters[num : 2 * num - 1],
        vertex=parameters[:num],
        covariance=larger(ordinary[:num, :num], clustered[:num, :num]),
        num_cells=num_cells,
        jacobian=jacobian,
        misfit=misfit,
        weights=weights,
        cells=runs.cells,
    )


def height(h: Floats, shape: Sequence[float] | Floats) -> Floats:
    """g(h), the ln loss given up at ln rates h off the minimum, where sharpness is 1."""
    return _sides(h)[0] @ np.asarray(shape)


def _runs(curves: Sequence[Floats], z: Floats) -> _Runs:
    """The runs of ``curves``, without those that diverged."""
    cells = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    u, y = np.concatenate(curves).T
    every = _Runs(u, y, z[cells], cells)
    kept = y <= every.low + _DIVERGED
    return _Runs(u[kept], y[kept], every.z[kept], cells[kept])


def _parabola(runs: _Runs) -> Floats | None:
    """Where the fit starts: one parabola for all; None where it opens downwards."""
    weights = 1 / (1 + ((runs.y - runs.low) / _STARTING) ** 2)
    columns = np.column_stack([runs.u**2, runs.u[:, None] * runs.z])
    root = np.sqrt(weights)
    design = _within(columns, runs.cells, weights) * root[:, None]
    found = np.linalg.lstsq(design, _within(runs.y, runs.cells, weights) * root)[0]
    if found[0] <= 0:
        return None
    flat = np.zeros(runs.z.shape[1] - 1)
    return np.concatenate([-found[1:] / (2 * found[0]), flat, [math.log(found[0]), 0.0, 0.0, 0.0]])


def _fitted(runs: _Runs, start: Floats, used: int, reach: float) -> tuple[Floats, Floats] | None:
    """The parameters, of which the first ``used`` are sought, and the weights; None where nothing is near."""
    from scipy.optimize import least_squares

    num, (low, high) = runs.z.shape[1], _bounds(runs.z.shape[1])
    parameters, weights, rest = start, np.empty(0), start[used:]
    for _ in range(_REWEIGHTED):
        weights = _weights(_curve(runs, parameters), reach)
        if np.sum(weights) < used:
            return None
        found = least_squares(
            lambda free, weights: _misfit(np.concatenate([free, rest]), runs, weights),
            np.clip(parameters, low, high)[:used],
            jac=lambda free, weights: -_jacobian(np.concatenate([free, rest]), runs, weights)[:, :used],  # pyright: ignore
            bounds=(low[:used], high[:used]),
            x_scale="jac",
            max_nfev=50,
            args=(weights,),
        ).x
        moved = float(np.max(np.abs((found - parameters[:used])[:num])))
        parameters = np.concatenate([found, rest])
        if moved < _SETTLED:
            break
    return parameters, weights


def _distinct(jacobian: Floats) -> bool:
    """Whether the columns tell their parameters apart."""
    scale = np.sqrt(np.sum(jacobian**2, axis=0))
    return bool(np.linalg.cond(jacobian / np.maximum(scale, 1e-300)) < MAX_CONDITION)


def _bounds(num: int) -> tuple[Floats, Floats]:
    """Of p, q and the shape, for a plane of ``num`` columns."""
    shape = ([_CURVED[0], -_UNLIKE, -np.inf, -np.inf], [_CURVED[1], _UNLIKE, np.inf, np.inf])
    sharp = np.full(num - 1, _SHARPEST)
    low = np.concatenate([np.full(num, -np.inf), -sharp, shape[0]])
    return low, np.concatenate([np.full(num, np.inf), sharp, shape[1]])


def _shape(parameters: Floats) -> Floats:
    """(c₋, c₊, k₋, k₊) of ln of their curvatures' geometric mean, half the ln of their ratio, and k₋, k₊."""
    mean, half = parameters[0], parameters[1]
    return np.array([math.exp(mean - half), math.exp(mean + half), *parameters[2:]])


def _sides(h: Floats) -> tuple[Floats, Floats]:
    """The columns of c₋, c₊, k₋ and k₊ at ``h``, and their slopes: (runs, 4) each."""
    below, above = np.minimum(h, 0.0), np.maximum(h, 0.0)
    columns = np.column_stack([below**2, above**2, below**3, above**3])
    return columns, np.column_stack([2 * below, 2 * above, 3 * below**2, 3 * above**2])


def _curve(runs: _Runs, parameters: Floats) -> _Curve:
    num = runs.z.shape[1]
    h = runs.u - runs.z @ parameters[:num]
    sharp = np.exp(runs.z[:, 1:] @ parameters[num : 2 * num - 1])
    columns, slopes = (part * sharp[:, None] for part in _sides(h))
    shape = _shape(parameters[2 * num - 1 :])
    below, above = columns[:, 0] * shape[0], columns[:, 1] * shape[1]
    return _Curve(h, columns @ shape, np.column_stack([below + above, above - below, columns[:, 2:]]), slopes @ shape)


def _weights(curve: _Curve, reach: float) -> Floats:
    far = np.abs(curve.h) / np.where(curve.h > 0, reach, REACH)
    near = (1 - np.minimum(far, 1.0) ** 3) ** 3
    return near / (1 + (np.maximum(curve.height, 0.0) / _HALF_AT) ** 2)


def _misfit(parameters: Floats, runs: _Runs, weights: Floats) -> Floats:
    return _within(runs.y - _curve(runs, parameters).height, runs.cells, weights) * np.sqrt(weights)


def _jacobian(parameters: Floats, runs: _Runs, weights: Floats) -> Floats:
    """Of the common curve by p, q and the shape, (runs, parameters), weighed and without the cells' levels."""
    curve = _curve(runs, parameters)
    by_vertex, by_sharpness = -curve.slope[:, None] * runs.z, curve.height[:, None] * runs.z[:, 1:]
    columns = np.column_stack([by_vertex, by_sharpness, curve.columns])
    return _within(columns, runs.cells, weights) * np.sqrt(weights)[:, None]


def _within(values: Floats, cells: NDArray[np.intp], weights: Floats) -> Floats:
    """``values`` (runs, ...) less the weighed mean of their cell."""
    of_runs = weights.reshape(-1, *[1] * (values.ndim - 1))
    sums = np.zeros((int(cells.max()) + 1, *values.shape[1:]))
    np.add.at(sums, cells, values * of_runs)
    totals = np.maximum(np.bincount(cells, weights), 1e-300).reshape(-1, *[1] * (values.ndim - 1))
    return values - (sums / totals)[cells]
