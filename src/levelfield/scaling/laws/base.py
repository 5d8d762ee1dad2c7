"""What a law is: an equation that gives ln loss, its first and second derivatives, bounds, text and source.

Inside a fit every input is x = ln(input / unit) and loss is measured in a unit of its own, so every parameter is of
order one. :meth:`Law.named` gives the parameters back in the user's units.

Shapes: theta is (..., parameters); x is (points, inputs), or (..., points, inputs) where every fit has its own points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record

Floats: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = Sequence[float] | NDArray[np.floating]

MAX_EXPONENT = 3.0
MIN_EXPONENT = 1e-3
SMALLEST_LOSS = 1e-300


@record
class Parameter:
    """One parameter: its bounds inside the fit, and its meaning."""

    name: str
    low: float
    high: float
    meaning: str


class Law(Protocol):
    """An equation of loss; ``inputs`` names what it reads, in order ("compute", or "params" and "examples")."""

    @property
    def form(self) -> str: ...
    @property
    def equation(self) -> str: ...
    @property
    def latex(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def parameters(self) -> tuple[Parameter, ...]: ...
    @property
    def example(self) -> tuple[float, ...]:
        """A theta well inside the bounds: what the conformance suite plants."""
        ...

    @property
    def num_starts(self) -> int:
        """Seeds from which a single fit starts: more where the objective has more basins."""
        ...

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        """ln(loss / unit), of shape (..., points)."""
        ...

    def derivatives(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        """ln loss (..., points), its gradient (..., points, parameters), and Hessian (..., points, p, p) by theta."""
        ...

    def seeds(self, x: Floats, y: Floats, weights: Floats, *, num: int) -> Floats:
        """Starting points for ln losses y of (fits, points): (fits, seeds, parameters), the most promising first.

        No two lie in the same block of the nonlinear parameters, so that they tell basins apart; there may be fewer
        than ``num``.
        """
        ...

    def named(self, theta: Floats, *, log_units: Sequence[float], log_loss_unit: float) -> dict[str, Floats]:
        """The parameters by name, in the user's units of the inputs and of loss."""
        ...


Bend: TypeAlias = Callable[[Floats], Floats]
"""From a weight for every point, (..., points), to the weighted sum of the points' Hessians, (..., p, p)."""


@runtime_checkable
class Summing(Protocol):
    """A law that sums its Hessians over points without holding them: (points, p, p) is what a batch waits for."""

    def summed(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Bend]:
        """ln loss (..., points), its gradient (..., points, parameters), and its Hessians as a weighted sum."""
        ...


def summed(law: Law, theta: Floats, x: Floats) -> tuple[Floats, Floats, Bend]:
    """The derivatives of ``law`` as :meth:`Summing.summed` gives them, by the law's own short way where it has one."""
    if isinstance(law, Summing):
        return law.summed(theta, x)
    value, slope, curve = law.derivatives(theta, x)
    num = curve.shape[-1]

    def bend(pull: Floats) -> Floats:
        flat = curve.reshape(*curve.shape[:-2], num * num)
        return np.matmul(pull[..., None, :], flat).reshape(*pull.shape[:-1], num, num)

    return value, slope, bend


def bounds(law: Law) -> tuple[Floats, Floats]:
    """The lower and upper bounds of a law's parameters."""
    return (
        np.array([parameter.low for parameter in law.parameters]),
        np.array([parameter.high for parameter in law.parameters]),
    )


def of_log(loss: Floats, gradient: Floats, hessian: Floats) -> tuple[Floats, Floats, Floats]:
    """From a loss with its derivatives to ln loss with its own."""
    inverse = 1.0 / loss
    slope = gradient * inverse[..., None]
    curve = hessian * inverse[..., None, None]
    curve -= slope[..., :, None] * slope[..., None, :]  # in place: this array is what a batch of fits waits for
    return np.log(loss), slope, curve


def of_exponential(reducible: Floats, gradient: Floats, hessian: Floats) -> tuple[Floats, Floats]:
    """From the derivatives of ln r to the gradient and Hessian of r."""
    slope = reducible[..., None] * gradient
    return slope, reducible[..., None, None] * (hessian + gradient[..., :, None] * gradient[..., None, :])


@dataclass(frozen=True)
class Grid:
    """A product grid of the nonlinear parameters, (grid, nonlinear), and the blocks that it falls into."""

    values: Floats
    blocks: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, *axes: Sequence[float] | Floats, parts: Sequence[int]) -> Grid:
        """The product of ``axes``, each cut into so many ``parts`` for the blocks."""
        places = np.arange(math.prod(map(len, axes))).reshape([len(axis) for axis in axes])
        blocks = [places]
        for axis, num in enumerate(parts):
            blocks = [piece for block in blocks for piece in np.array_split(block, num, axis=axis)]
        values = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        return cls(values=values, blocks=tuple(block.ravel() for block in blocks))


def projected_seeds(
    bases: Floats, grid: Grid, y: Floats, weights: Floats, *, num: int, floor: bool
) -> tuple[Floats, Floats]:
    """Variable projection: at every point of a grid of the nonlinear parameters, the best coefficients in closed form.

    The seeds are the best point of each of the best ``num`` blocks of the grid: neighbours would share a basin.

    ``bases`` is (grid, points, terms), or (fits, grid, points, terms), of the terms whose coefficients are sought;
    Residuals are relative, so that small losses count as much as large ones. A ``floor``
    is a constant term of its own, kept at or above 0; other coefficients must be positive. Returns the coefficients
    (fits, num, terms [+ floor]) and the grid's parameters (fits, num, nonlinear) of the best.
    """
    share, terms = weights * np.exp(-2 * y), bases.shape[-1]
    if floor:
        bases = np.concatenate([bases, np.ones((*bases.shape[:-1], 1))], axis=-1)
    gram, right = _normal_equations(bases, share, share * np.exp(y))
    total = np.sum(share * np.exp(2 * y), axis=-1)[:, None]
    plain, misfit = _solved(gram[..., :terms, :terms], right[..., :terms], total, num_positive=terms)
    if floor:
        raised, raised_misfit = _solved(gram, right, total, num_positive=terms)
        above = (raised[..., -1] > 0) & np.isfinite(raised_misfit)
        plain = np.concatenate([plain, np.zeros((*plain.shape[:-1], 1))], axis=-1)
        plain = np.where(above[..., None], raised, plain)
        misfit = np.where(above, raised_misfit, misfit)
    best = np.stack([block[np.argmin(misfit[:, block], axis=-1)] for block in grid.blocks], axis=-1)
    order = np.argsort(np.take_along_axis(misfit, best, axis=-1), axis=-1, kind="stable")[:, :num]
    best = np.take_along_axis(best, order, axis=-1)
    return np.take_along_axis(plain, best[..., None], axis=1), grid.values[best]


def _normal_equations(bases: Floats, share: Floats, weighted: Floats) -> tuple[Floats, Floats]:
    """The weighted products of the bases with one another (fits, grid, terms, terms) and with losses."""
    if bases.ndim == 4:
        gram = np.einsum("fgpt,fp,fgpu->fgtu", bases, share, bases, optimize=True)
        return gram, np.einsum("fgpt,fp->fgt", bases, weighted)
    # Fits of the same points share their bases: one matrix product serves them all.
    products = bases[..., :, None] * bases[..., None, :]
    return np.tensordot(share, products, axes=(1, 1)), np.tensordot(weighted, bases, axes=(1, 1))


def _solved(gram: Floats, right: Floats, total: Floats, *, num_positive: int) -> tuple[Floats, Floats]:
    """Coefficients (fits, grid, terms) and misfits (fits, grid), infinite where one of the first is not positive."""
    terms = np.arange(gram.shape[-1])
    scale = np.maximum(np.sqrt(gram[..., terms, terms]), SMALLEST_LOSS)
    gram, right = gram / (scale[..., :, None] * scale[..., None, :]), right / scale
    gram[..., terms, terms] += 1e-10
    found = np.linalg.solve(gram, right[..., None])[..., 0]
    misfit = total - 2 * np.sum(found * right, axis=-1) + np.einsum("fgt,fgtu,fgu->fg", found, gram, found)
    return found / scale, np.where(np.all(found[..., :num_positive] > 0, axis=-1), misfit, np.inf)


def log_of(coefficient: Floats) -> Floats:
    """ln of a coefficient, kept within the bounds that laws set for it."""
    return np.log(np.clip(coefficient, 1e-12, 1e12))


def exponential(exponent: Floats) -> Floats:
    """e^exponent, kept below the largest float: a coefficient at one FLOP may be astronomically large."""
    return np.exp(np.minimum(exponent, 700.0))
