"""Runs that err together: how much of their noise is the run's own, and how much is the trunk's they share.

Branches of one trunk (or variants of one run) share its luck: four of them are not four seeds. The two variances are
found by equating two sums of squares to what they are expected to be: with the trunks' means taken out, and without.
Nothing here is ever as large as runs x runs.

Estimated: ω², the variance of a run's own part, and τ², that of the trunk k it shares, in y = X β + t_k + e. Assumed:
the t_k and the e have mean 0 and are independent, each alike over the study; for intervals, that they are normal. The
estimates are unbiased without that, until τ² is cut at 0. On balanced runs they are those of REML; on others REML,
which asks for normal errors, weighs the trunks a little better (tests/scaling/test_twins.py holds the two together).
Symbols: docs/explanation/notation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levelfield.scaling.laws import Floats


class Components(NamedTuple):
    """Variances of one run: its own part ω² and its trunk's τ², with the degrees of freedom of the two together."""

    own: float
    trunk: float
    degrees_of_freedom: float


class Shared(NamedTuple):
    """The covariance of cells' means: ``own`` (cells,) on the diagonal, and L L' with the sparse ``root`` L of (cells,
    trunks)."""

    own: Floats
    root: Any

    def covariance(self, places: NDArray[np.intp]) -> Floats:
        """That of the cells at ``places``."""
        some = self.root[places]
        return np.diag(self.own[places]) + (some @ some.T).toarray()

    def quadratic_forms(self, weights: Floats) -> Floats:
        """The variances of contrasts with (contrasts, cells) ``weights``."""
        return weights**2 @ self.own + np.sum((weights @ self.root) ** 2, axis=-1)

    def draws(self, generator: np.random.Generator, num: int) -> Floats:
        """(num, cells) normal errors."""
        cells, trunks = self.root.shape
        errors = generator.standard_normal((num, cells)) * np.sqrt(self.own)
        return errors + generator.standard_normal((num, trunks)) @ self.root.T


def trunk_places(trunks: Sequence[str]) -> NDArray[np.intp]:
    """A number for every run's trunk; an unnamed trunk is a run's own."""
    names = [name or f"\0{place}" for place, name in enumerate(trunks)]
    known = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.intp)


def variance_components(y: Floats, design: Floats, trunks: NDArray[np.intp]) -> Components | None:
    """The components of ``y`` (runs,) about what ``design`` X (runs, columns) explains; ``trunks`` numbers the trunks.

    ω² is what is left when every trunk has its mean taken out too, a residual mean square. τ² is (Q - ω² f) / q, never
    below 0: Q the residual squares about X alone with f degrees of freedom, q what Q would be on
    average for trunks of variance 1 alone. Where τ² is 0, ω² is Q / f. The degrees of freedom are those of the trunks,
    few as they are. None where no residual is left.
    Source: method 3 of Henderson, "Estimation of variance and covariance components", Biometrics 9, 1953.
    """
    basis = _basis(design)
    free = len(y) - basis.shape[1]
    if free < 1:
        return None
    squares = _residual_squares(y, basis)
    total = max(squares / free, 1e-24)
    counts = np.bincount(trunks)
    if counts.max() == 1:  # every trunk has one run: the two cannot be told apart, nor need they be
        return Components(total, 0.0, float(free))
    inside_basis = _basis(design - _sums(design, trunks)[trunks] / counts[trunks][:, None])
    inside = len(y) - len(counts) - inside_basis.shape[1]
    means = _sums(y[:, None], trunks)[trunks, 0] / counts[trunks]
    own = _residual_squares(y - means, inside_basis) / inside if inside > 0 else 0.0
    shared = len(y) - float(np.sum(_sums(basis, trunks) ** 2))
    trunk = max(0.0, (squares - own * free) / shared)
    own = own if trunk > 0 else total
    between = len(counts) + inside_basis.shape[1] - basis.shape[1]
    return Components(max(own, 1e-24), trunk, float(between))


def covariance_of_means(
    cells: NDArray[np.intp], num_cells: int, components: Components, trunks: NDArray[np.intp]
) -> Shared:
    """The covariance of the means over runs, ``cells`` naming the cell of every run and ``trunks`` its trunk."""
    from scipy.sparse import csr_array

    counts = np.maximum(np.bincount(cells, minlength=num_cells), 1)
    shares = np.sqrt(components.trunk) / counts[cells]
    root = csr_array((shares, (cells, trunks)), shape=(num_cells, int(trunks.max()) + 1))
    return Shared(own=components.own / counts, root=root)


def _basis(design: Floats) -> Floats:
    """Orthonormal columns that span those of ``design``."""
    left, values, _ = np.linalg.svd(design, full_matrices=False)
    return left[:, values > 1e-8 * max(float(values.max(initial=0.0)), 1e-8)]


def _residual_squares(y: Floats, basis: Floats) -> float:
    rest = y - basis @ (basis.T @ y)
    return float(rest @ rest)


def _sums(rows: Floats, trunks: NDArray[np.intp]) -> Floats:
    """Of every column of ``rows`` (runs, columns) within each trunk."""
    found = np.zeros((int(trunks.max()) + 1, rows.shape[1]))
    np.add.at(found, trunks, rows)
    return found
