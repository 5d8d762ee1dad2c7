"""A name beside every point: placed where it hides neither a point nor another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levelfield.report.figures.canvas import Canvas

_CHARACTER, _LINE = 6.2, 12.0
_POINT, _BAR = 5.0, 1.0
_FAR = 200.0
"""px² of overlap that a name suffers rather than stand twice as far from its point."""
# (dx, dy, align, how far) in px from the point: beside it first, then above and below, then further away.
_PLACES = tuple(
    (dx * far, dy * far, align, far)
    for far in (1.0, 1.6, 2.4)
    for dx, dy, align in (
        (9, 0, "left"),
        (-9, 0, "right"),
        (7, -9, "left"),
        (7, 9, "left"),
        (-7, -9, "right"),
        (-7, 9, "right"),
        (0, -13, "center"),
        (0, 13, "center"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Label:
    """A name and the point it belongs to, in the units of the axes; ``low`` .. ``high`` is its bar, if it has one."""

    x: float
    y: float
    text: str
    color: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0


def write_labels(canvas: Canvas, labels: Sequence[Label], *, others: Sequence[tuple[float, float]] = ()) -> None:
    """Write every label beside its point, clear of all labelled points and of ``others`` as far as that goes."""
    taken = [_around(*canvas.place(x, y)) for x, y in (*((label.x, label.y) for label in labels), *others)]
    taken += [_bar(canvas, label.low, label.high, label.y) for label in labels if label.low and label.high]
    width, height = canvas.plot_width, canvas.plot_height
    for label in labels:
        x, y = canvas.place(label.x, label.y)
        length = _CHARACTER * len(label.text)

        def cost(place: tuple[float, float, str, float], x: float = x, y: float = y, length: float = length) -> float:
            box = _box(x + place[0], y + place[1], length, place[2])
            outside = max(0.0, -box.left) + max(0.0, box.right - width) + max(0.0, -box.top)
            outside += max(0.0, box.bottom - height)
            return sum(box.overlap(other) for other in taken) + 100 * outside + _FAR * (place[3] - 1)

        best = min(_PLACES, key=cost)  # the first of equals: the order above is the order of preference
        taken.append(_box(x + best[0], y + best[1], length, best[2]))
        canvas.note(label.x, label.y, label.text, color=label.color, align=best[2], dx=best[0], dy=best[1])


def _around(x: float, y: float) -> _Box:
    return _Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT)


def _bar(canvas: Canvas, low: float, high: float, y: float) -> _Box:
    left, middle = canvas.place(low, y)
    right, _ = canvas.place(high, y)
    return _Box(left, middle - _BAR, right, middle + _BAR)


def _box(x: float, y: float, length: float, align: str) -> _Box:
    left = {"left": x, "right": x - length, "center": x - length / 2}[align]
    return _Box(left, y - _LINE / 2, left + length, y + _LINE / 2)
