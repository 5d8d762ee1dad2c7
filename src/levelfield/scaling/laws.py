"""The laws themselves: each a small object that predicts ln loss and knows its gradient, bounds, text and source.

Inside, compute is x = ln(C / C0) and loss is measured in a unit L0, so every parameter is of order one: a law's theta
is (a, b) or (a, b, E) with a = ln(A C0^-b / L0). :meth:`Law.named` gives the parameters back in the user's units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record

Floats: TypeAlias = NDArray[np.float64]
Form: TypeAlias = Literal["log-log", "saturating"]


@record
class Parameter:
    """One parameter: its bounds inside the fit, and its meaning."""

    name: str
    low: float
    high: float
    meaning: str


class Law(Protocol):
    """An equation of loss against compute. ``theta`` is (..., parameters), ``x`` is (rungs,)."""

    @property
    def form(self) -> Form: ...
    @property
    def equation(self) -> str: ...
    @property
    def latex(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        """ln(L / L0), of shape (..., rungs)."""
        ...

    def jacobian(self, theta: Floats, x: Floats) -> Floats:
        """The derivative of :meth:`log_loss` by theta, of shape (..., rungs, parameters)."""
        ...

    def seeds(self, x: Floats, y: Floats, *, num: int) -> Floats:
        """Starting points for the solver from ln losses y of shape (fits, rungs): (fits, seeds, parameters)."""
        ...

    def named(self, theta: Floats, *, log_compute_unit: float, log_loss_unit: float) -> dict[str, Floats]:
        """The parameters by name, in the user's units of compute and in nats."""
        ...


@dataclass(frozen=True)
class LogLog:
    """A straight line through ln loss against ln compute: no floor."""

    form: Form = "log-log"
    equation: str = "ln L = ln A - b ln C"
    latex: str = r"\ln L = \ln A - b \ln C"
    source: str = "2310.16764, figure 2: held-out loss of NFNets against compute is a line on log-log axes"
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-np.inf, high=np.inf, meaning="loss at one unit of compute"),
        Parameter(name="b", low=-np.inf, high=np.inf, meaning="exponent of compute"),
    )

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        return theta[..., 0:1] - theta[..., 1:2] * x

    def jacobian(self, theta: Floats, x: Floats) -> Floats:
        x = np.broadcast_to(x, (*theta.shape[:-1], x.shape[-1]))
        return np.stack([np.ones_like(x), -x], axis=-1)

    def seeds(self, x: Floats, y: Floats, *, num: int) -> Floats:
        """The exact optimum: ordinary least squares."""
        centred = x - x.mean()
        slope = (y @ centred) / (centred @ centred)
        return np.stack([y.mean(axis=-1) - slope * x.mean(), -slope], axis=-1)[:, None, :]

    def named(self, theta: Floats, *, log_compute_unit: float, log_loss_unit: float) -> dict[str, Floats]:
        a, b = theta[..., 0], theta[..., 1]
        return {"A": _exp(a + b * log_compute_unit + log_loss_unit), "b": b}


@dataclass(frozen=True)
class Saturating:
    """A power law that falls towards an irreducible loss E."""

    form: Form = "saturating"
    equation: str = "L = E + A C^-b"
    latex: str = r"L = E + A\,C^{-b}"
    source: str = "Hestness et al., 1712.00409; the floor as in Zhai et al., 2106.04560 (their d is 0 here)"
    parameters: tuple[Parameter, ...] = (
        Parameter(name="A", low=-30.0, high=30.0, meaning="reducible loss at one unit of compute"),
        Parameter(name="b", low=1e-3, high=3.0, meaning="exponent of compute"),
        Parameter(name="E", low=0.0, high=np.inf, meaning="irreducible loss in nats"),
    )

    def log_loss(self, theta: Floats, x: Floats) -> Floats:
        return np.log(theta[..., 2:3] + np.exp(theta[..., 0:1] - theta[..., 1:2] * x))

    def jacobian(self, theta: Floats, x: Floats) -> Floats:
        reducible = np.exp(theta[..., 0:1] - theta[..., 1:2] * x)
        loss = theta[..., 2:3] + reducible
        share = reducible / loss
        return np.stack([share, -x * share, 1 / loss], axis=-1)

    def seeds(self, x: Floats, y: Floats, *, num: int) -> Floats:
        """Variable projection: at each b of a grid the best E >= 0 and A have a closed form in relative residuals."""
        grid = np.geomspace(0.01, 3.0, 40)
        basis = np.exp(-grid[:, None] * x)
        loss = np.exp(y)
        weight = loss**-2
        ww, wu, wuu = weight.sum(-1)[:, None], weight @ basis.T, weight @ (basis**2).T
        wl, wul = (weight * loss).sum(-1)[:, None], (weight * loss) @ basis.T
        determinant = np.maximum(ww * wuu - wu**2, 1e-300)
        floor = (wuu * wl - wu * wul) / determinant
        floor = np.where(floor > 0, floor, 0.0)
        coefficient = (wul - floor * wu) / wuu
        fits = coefficient > 0
        misfit = (
            floor**2 * ww + 2 * floor * coefficient * wu + coefficient**2 * wuu - 2 * (floor * wl + coefficient * wul)
        )
        best = np.argsort(np.where(fits, misfit, np.inf), axis=-1, kind="stable")[:, :num]
        a = np.log(np.maximum(np.take_along_axis(coefficient, best, -1), 1e-12))
        return np.stack([a, grid[best], np.take_along_axis(floor, best, -1)], axis=-1)

    def named(self, theta: Floats, *, log_compute_unit: float, log_loss_unit: float) -> dict[str, Floats]:
        a, b, floor = theta[..., 0], theta[..., 1], theta[..., 2]
        return {"A": _exp(a + b * log_compute_unit + log_loss_unit), "b": b, "E": floor * np.exp(log_loss_unit)}


LAWS: dict[Form, Law] = {"log-log": LogLog(), "saturating": Saturating()}


def _exp(exponent: Floats) -> Floats:
    """e^exponent, kept below the largest float: a coefficient at one FLOP may be astronomically large."""
    return np.exp(np.minimum(exponent, 700.0))
