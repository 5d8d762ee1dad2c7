"""How well the parameters of a local fit are known where runs of a cell may err together.

Two covariances stand beside one another, and the larger one counts in every direction: the ordinary one knows nothing
of cells that err as wholes, and the clustered one, from few cells, is too small as often as not. Symbols:
docs/explanation/notation.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.laws import Floats


def covariances(
    jacobian: Floats, misfit: Floats, weights: Floats, cells: NDArray[np.intp], *, num_of_cells: int
) -> tuple[Floats, Floats, int]:
    """The parameters' covariance if all runs err alike and alone, the same clustered by cell, and how many cells tell.

    ``num_of_cells`` of the parameters are those by which cells differ.

    With J the weighed Jacobian and ω the weights the first is σ² (JᵀJ)⁻¹ Jᵀ ω J (JᵀJ)⁻¹: weights say what is near, not
    what is precise. σ² is the weighed sum of squares over what it is expected to be for a σ² of 1. The second is the
    sandwich of the cells' scores times G / (G - ``num_of_cells``) for G cells: what fits cells as wholes hides their
    errors (where cells lie off the plane 82-88 % of nominal 90 % intervals cover with G - 3, 86-89 % with G - 5).
    Source: Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73, 1986.
    """
    inverse = np.linalg.pinv(jacobian.T @ jacobian, rcond=1e-10)
    middle = (jacobian * weights[:, None]).T @ jacobian
    totals, squares = np.bincount(cells, weights), np.bincount(cells, weights**2)
    counted = np.flatnonzero(totals > 0)
    free = float(np.sum(totals[counted] - squares[counted] / totals[counted]) - np.sum(inverse * middle))
    ordinary = inverse @ middle @ inverse * float(misfit @ misfit) / max(free, 1e-3 * len(misfit))
    scores = np.zeros((len(totals), jacobian.shape[1]))
    np.add.at(scores, cells, jacobian * misfit[:, None])
    largest = np.zeros(len(totals))
    np.maximum.at(largest, cells, weights)
    num_cells = int(np.sum(totals - largest > 0.1))  # one run alone tells nothing but its level
    clustered = inverse @ (scores.T @ scores) @ inverse * num_cells / max(1, num_cells - num_of_cells)
    return ordinary, clustered, num_cells


def larger(one: Floats, other: Floats) -> Floats:
    """The covariance by which no contrast varies less than by either: the larger along each of their common axes."""
    values, vectors = np.linalg.eigh(one)
    root = vectors * np.sqrt(np.maximum(values, 1e-12 * max(float(values[-1]), 1e-300)))
    back = np.linalg.inv(root)
    ratios, axes = np.linalg.eigh(back @ other @ back.T)
    spread = root @ axes
    return (spread * np.maximum(ratios, 1.0)) @ spread.T
