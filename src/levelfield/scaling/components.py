"""Runs that err together: how much of their noise is the run's own, and how much is the trunk's they share.

Branches of one trunk (or variants of one run) share its luck: four of them are not four seeds. The two variances are
found by equating two sums of squares to what they are expected to be: with the trunks' means taken out, and without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.laws import Floats


class Components(NamedTuple):
    """Variances of one run: its own part and its trunk's, with the degrees of freedom of the two together."""

    own: float
    trunk: float
    degrees_of_freedom: float


def same_trunk(trunks: Sequence[str]) -> NDArray[np.bool_]:
    """Which runs share a trunk, (runs, runs); an unnamed trunk is a run's own."""
    names = np.array([name or f"\0{place}" for place, name in enumerate(trunks)])
    return names[:, None] == names


def variance_components(left_over: Floats, residual_maker: Floats, same: NDArray[np.bool_]) -> Components | None:
    """The components from residuals ``left_over`` = M y of (runs,), M the symmetric projection that made them.

    A run's own part is what is left when every trunk has its mean taken out too; the trunk's is the rest, never below
    0. The degrees of freedom are those of the trunks, few as they are. None where no residual is left.
    Source: Henderson 1953, method 3.
    """
    free = float(np.trace(residual_maker))
    if free < 0.5:
        return None
    total = max(float(left_over @ left_over) / free, 1e-24)
    trunks = np.unique(same, axis=0).astype(np.float64)
    if len(trunks) == len(same):  # every trunk has one run: the two cannot be told apart, nor need they be
        return Components(total, 0.0, free)
    made = residual_maker @ trunks.T
    within = residual_maker - made @ np.linalg.pinv(made, rcond=1e-8)
    inside = float(np.trace(within))
    own = float(left_over @ within @ left_over) / inside if inside > 0.5 else 0.0
    shared = float(np.trace(made @ trunks))
    trunk = max(0.0, (float(left_over @ left_over) - own * free) / shared)
    own = own if trunk > 0 else total
    return Components(max(own, 1e-24), trunk, float(np.linalg.matrix_rank(made, tol=1e-8)))


def covariance_of_means(
    cells: NDArray[np.intp], num_cells: int, components: Components, same: NDArray[np.bool_]
) -> Floats:
    """The (cells, cells) covariance of the means over runs, ``cells`` naming the cell of every run."""
    means = np.zeros((num_cells, len(cells)))
    means[cells, np.arange(len(cells))] = 1.0
    means /= np.maximum(means.sum(axis=1, keepdims=True), 1.0)
    runs = np.eye(len(cells)) * components.own + same * components.trunk
    return means @ runs @ means.T
