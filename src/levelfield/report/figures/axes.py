"""Axes with readable ticks, and labels that do not lie on one another."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from levelfield.report.words import numbers

_MOST_TICKS = 6
_CHARACTER = 0.024
"""The width of one, and of what keeps two texts apart, as a share of a flat axis of the figures' usual width."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale from ``low`` to ``high`` and its ticks with their texts; ``ticks`` lie inside."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = True
    grid: bool = True

    def fraction(self, value: float) -> float:
        """Where ``value`` lies between the ends: 0 at ``low``, 1 at ``high``."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, fraction: float) -> float:
        """The inverse of :meth:`fraction`."""
        if self.log:
            return self.low * (self.high / self.low) ** fraction
        return self.low + (self.high - self.low) * fraction

    def scale(self) -> dict[str, Any]:
        return {"type": "log" if self.log else "linear", "domain": [self.low, self.high], "nice": False, "zero": False}

    def ticks_as_drawn(self) -> dict[str, Any]:
        """The tick part of a Vega-Lite axis; texts are looked up by rank, so one module writes every number."""
        values, texts = [tick for tick, _ in sorted(self.ticks)], [text for _, text in sorted(self.ticks)]
        expression = f"{json.dumps(texts, ensure_ascii=False)}[round(datum.index * {max(len(texts) - 1, 0)})]"
        return {"values": values, "labelExpr": expression, "labelOverlap": False}


def log_axis(
    title: str,
    values: Iterable[float],
    *,
    text: Callable[[float], str] = numbers.power,
    ticks: Sequence[float] | None = None,
    room: float = 0.06,
    most: int = _MOST_TICKS,
) -> Axis:
    """A logarithmic axis around ``values``, widened by ``room`` of its length on both sides."""
    seen = [value for value in values if value > 0]
    low, high = min(seen), max(seen)
    length = max(math.log(high / low), 0.25)
    middle = math.log(low * high) / 2
    low = math.exp(middle - length * (0.5 + room))
    high = math.exp(middle + length * (0.5 + room))
    chosen = _thinned(sorted(ticks), most) if ticks is not None else _log_ticks(low, high, most, text)
    inside = tuple((tick, text(tick)) for tick in chosen if low <= tick <= high)
    return Axis(title=title, low=low, high=high, ticks=inside)


def linear_axis(title: str, values: Iterable[float], *, text: Callable[[float], str], room: float = 0.08) -> Axis:
    """A linear axis around ``values``."""
    seen = list(values)
    low, high = min(seen), max(seen)
    length = max(high - low, 1e-9)
    low, high = low - room * length, high + room * length
    ticks = tuple((tick, text(tick)) for tick in _linear_ticks(low, high, _MOST_TICKS))
    return Axis(title=title, low=low, high=high, ticks=ticks, log=False)


def percent_axis(title: str, log_ratios: Iterable[float], room: float = 0.08) -> Axis:
    """An axis of ``ln(a / b)`` whose ticks read as how much larger a is, in round percent."""
    seen = list(log_ratios)
    low, high = min(seen), max(seen)
    length = max(high - low, 1e-3)
    low, high = low - room * length, high + room * length
    round_percents = _linear_ticks(100 * math.expm1(low), 100 * math.expm1(high), _MOST_TICKS)
    ticks = tuple((math.log1p(percent / 100), _signed(percent)) for percent in round_percents if percent > -100)
    return Axis(title=title, low=low, high=high, ticks=ticks, log=False)


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """``positions`` moved as little as possible until neighbours are ``gap`` apart, all in ``low`` .. ``high``.

    Where they cannot all fit, the gap shrinks.
    """
    if not positions:
        return []
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    order = sorted(range(len(positions)), key=lambda index: (positions[index], index))
    clusters: list[list[float]] = []  # [sum of wanted starts, members]
    for rank, index in enumerate(order):
        clusters.append([positions[index] - rank * gap, 1])
        while len(clusters) > 1 and clusters[-2][0] / clusters[-2][1] >= clusters[-1][0] / clusters[-1][1]:
            total, members = clusters.pop()
            clusters[-1][0] += total
            clusters[-1][1] += members
    starts = [total / members for total, members in clusters for _ in range(int(members))]
    limit = high - gap * (len(positions) - 1)
    placed = [0.0] * len(positions)
    for rank, index in enumerate(order):
        placed[index] = min(max(starts[rank], low), max(limit, low)) + rank * gap
    return placed


def _signed(percent: float) -> str:
    if percent == 0:
        return "0"
    return f"{'+' if percent > 0 else '−'}{abs(percent):g}{numbers.THIN}%"


def _log_ticks(low: float, high: float, most: int, text: Callable[[float], str]) -> list[float]:
    """Round numbers between ``low`` and ``high``: the densest of a few customary series whose texts stand apart."""
    if math.log10(high / low) < 0.6:
        return _linear_ticks(low, high, most)
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = _decade_ticks(low, high, digits)
        if len(ticks) <= most and _stand_apart(ticks, math.log(high / low), text):
            return ticks
    return _thinned(_decade_ticks(low, high, (1,)), most)


def _stand_apart(ticks: Sequence[float], length: float, text: Callable[[float], str]) -> bool:
    """Whether every text has room beside the next one, on an axis of ``length`` in ln that lies flat."""
    pairs = itertools.pairwise(ticks)
    return all(math.log(b / a) / length > _CHARACTER * (len(text(a)) + len(text(b))) / 2 for a, b in pairs)


def _decade_ticks(low: float, high: float, digits: tuple[int, ...]) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = (float(f"{digit}e{exponent}") for exponent in range(first, last + 1) for digit in digits)
    return [tick for tick in ticks if low <= tick <= high]


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _thinned(ticks: Sequence[float], most: int) -> list[float]:
    every = max(1, math.ceil(len(ticks) / most))
    return list(ticks[::every])
