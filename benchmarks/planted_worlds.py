"""Worlds whose loss is known at every size, length and number of distinct examples: half of them no law's.

A world is drawn, not chosen: its exponents, floor and scale come from the ranges that published studies span. It shares
no code with the statistics that are judged by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Surface = Callable[[Floats, Floats, Floats], Floats]
"""Loss by how far ln size, ln examples and ln distinct examples lie from the middle of what was run."""

INSIDE = ("chinchilla", "repeated", "saturating", "line")
OUTSIDE = ("kaplan", "interaction", "two tasks", "transient", "broken", "overfitting")
WITHOUT_SIZE = ("saturating", "line", "broken", "transient")
"""Worlds that a ladder or a learning curve of compute alone can be drawn from."""
REPEATING = ("repeated", "overfitting")
_LONGEST_NET = 14.0
"""ln of how far the optimal size may lie from that of the middle budget."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A truth: ``floor`` is what no compute goes below, ``params`` and ``examples`` the optimum at ``flops``.

    Compute is ``per_pair`` x N^``power`` x D: six FLOPs a weight and token, or a network whose weights are used often.
    """

    name: str
    surface: Surface
    floor: float
    flops: float
    params: float
    examples: float
    power: float

    @property
    def inside(self) -> bool:
        """Whether some law of the product has the very form of this truth."""
        return self.name in INSIDE

    def flops_of(self, params: Floats | float, examples: Floats | float) -> Floats | float:
        return self.flops * (params / self.params) ** self.power * (examples / self.examples)

    def examples_of(self, flops: Floats | float, params: Floats | float) -> Floats | float:
        return self.examples * (flops / self.flops) / (params / self.params) ** self.power

    def log_loss(self, params: Floats | float, examples: Floats | float, unique: Floats | float | None) -> Floats:
        """ln loss of the best-tuned run, without its noise; ``unique`` None is a fresh example every time."""
        size, seen = np.log(np.asarray(params) / self.params), np.log(np.asarray(examples) / self.examples)
        distinct = seen if unique is None else np.log(np.asarray(unique) / self.examples)
        return np.log(self.surface(size, seen, np.minimum(distinct, seen)))

    def optimum(self, flops: float, unique: float | None) -> tuple[float, float, float]:
        """ln loss, size and examples of the best run at ``flops``."""
        middle = self.params * (flops / self.flops) ** (0.5 / self.power)
        sizes = middle * np.exp(np.linspace(-_LONGEST_NET / 2, _LONGEST_NET / 2, 4001))
        losses = self.log_loss(sizes, self.examples_of(flops, sizes), unique)
        best = int(np.argmin(losses))
        return float(losses[best]), float(sizes[best]), float(self.examples_of(flops, sizes[best]))


def draw_world(name: str, generator: np.random.Generator) -> World:
    """A world of that ``name``, its numbers drawn."""
    power = 1.0 if generator.random() < 0.7 else float(generator.uniform(0.75, 0.95))
    alpha, beta = generator.uniform(0.22, 0.5, 2)
    reducible, total = float(generator.uniform(0.3, 0.65)), float(np.exp(generator.uniform(-1.0, 1.3)))
    if name == "line":
        reducible = 1.0
    # At the optimum of the middle budget no size trades against examples: alpha a = power x beta b.
    share = power * beta / (alpha + power * beta)
    a, b = reducible * share, reducible * (1 - share)
    floor = 1.0 - reducible
    surface = _SURFACES[name](a, float(alpha), b, float(beta), floor, generator)
    flops = float(np.exp(generator.uniform(math.log(1e13), math.log(1e20))))
    pairs = float(generator.uniform(2.0, 40.0))  # examples a weight
    params = math.sqrt(flops / 6 / pairs)
    return World(
        name=name,
        surface=lambda size, seen, distinct: total * surface(size, seen, distinct),
        floor=total * floor,
        flops=flops,
        params=params,
        examples=params * pairs,
        power=power,
    )


def _chinchilla(a: float, alpha: float, b: float, beta: float, floor: float, _: np.random.Generator) -> Surface:
    return lambda size, seen, __: floor + a * np.exp(-alpha * size) + b * np.exp(-beta * seen)


def _repeated(a: float, alpha: float, b: float, beta: float, floor: float, generator: np.random.Generator) -> Surface:
    fades = float(generator.uniform(4.0, 20.0))

    def surface(size: Floats, seen: Floats, distinct: Floats) -> Floats:
        again = np.expm1(seen - distinct)
        worth = distinct + np.log1p(fades * -np.expm1(-again / fades))
        return floor + a * np.exp(-alpha * size) + b * np.exp(-beta * worth)

    return surface


def _overfitting(a: float, alpha: float, b: float, beta: float, floor: float, g: np.random.Generator) -> Surface:
    harm, half = float(g.uniform(0.005, 0.03)), float(g.uniform(0.4, 0.8))

    def surface(size: Floats, seen: Floats, distinct: Floats) -> Floats:
        again = seen - distinct
        worth = distinct + half * again
        return floor + a * np.exp(-alpha * size) + b * np.exp(-beta * worth) + harm * again**2

    return surface


def _kaplan(a: float, alpha: float, b: float, beta: float, floor: float, _: np.random.Generator) -> Surface:
    """Kaplan et al., 2001.08361, equation 1.5: the terms add up before the power; with a small floor."""
    outer = 0.6 * beta
    return lambda size, seen, __: (
        floor + (a + b) * (a / (a + b) * np.exp(-alpha / outer * 0.6 * size) + b / (a + b) * np.exp(-seen)) ** outer
    )


def _interaction(a: float, alpha: float, b: float, beta: float, floor: float, g: np.random.Generator) -> Surface:
    part, both = float(g.uniform(0.2, 0.5)), float(g.uniform(0.1, 0.3))
    return lambda size, seen, __: (
        floor
        + (1 - part) * (a * np.exp(-alpha * size) + b * np.exp(-beta * seen))
        + part * (a + b) * np.exp(-both * (size + seen))
    )


def _two_tasks(a: float, alpha: float, b: float, beta: float, floor: float, g: np.random.Generator) -> Surface:
    """A mixture of an easy and a hard task: the exponents fall as compute grows."""
    slow = float(g.uniform(0.35, 0.6))
    return lambda size, seen, __: (
        floor
        + 0.5 * (a * np.exp(-1.3 * alpha * size) + b * np.exp(-1.3 * beta * seen))
        + 0.5 * (a * np.exp(-slow * alpha * size) + b * np.exp(-slow * beta * seen))
    )


def _transient(a: float, alpha: float, b: float, beta: float, floor: float, g: np.random.Generator) -> Surface:
    """Short and small runs fall more steeply than what follows."""
    early, steep = float(g.uniform(0.03, 0.12)), float(g.uniform(0.5, 0.9))
    return lambda size, seen, __: (
        (floor + a * np.exp(-alpha * size) + b * np.exp(-beta * seen))
        * (1 + early * np.exp(-steep * 0.5 * (size + seen)))
    )


def _broken(a: float, alpha: float, b: float, beta: float, floor: float, g: np.random.Generator) -> Surface:
    """One break of Caballero et al., 2210.14891, in what is reducible, inside or just above what was run."""
    at, change, width = float(g.uniform(-1.5, 2.5)), float(g.uniform(-0.35, 0.35)), float(g.uniform(0.3, 1.0))
    return lambda size, seen, __: (
        floor
        + (a * np.exp(-alpha * size) + b * np.exp(-beta * seen))
        * (1 + np.exp((size + seen - at) / width)) ** (change * width * 0.5 * min(alpha, beta))
    )


_SURFACES: dict[str, Callable[[float, float, float, float, float, np.random.Generator], Surface]] = {
    "chinchilla": _chinchilla,
    "repeated": _repeated,
    "saturating": _chinchilla,
    "line": _chinchilla,
    "kaplan": _kaplan,
    "interaction": _interaction,
    "two tasks": _two_tasks,
    "transient": _transient,
    "broken": _broken,
    "overfitting": _overfitting,
}
