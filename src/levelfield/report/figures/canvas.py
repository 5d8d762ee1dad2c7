"""A panel while it is being drawn: a few marks over two axes, given back as a Vega-Lite specification.

Every mark that carries a datum says it in words (``text``): the words become its accessible label, and the page's
tooltip reads that label. Marks that only guide the eye are silent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from levelfield.report.figures import theme
from levelfield.report.figures.axes import Axis, spread
from levelfield.scaling.results.intervals import CurvePoint

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # names the grammar; nothing is fetched from it
_TOP, _BOTTOM = 30, 44
_LINE_GAP = 14.0
_LABEL_SHARE = 0.34
_TEXT = {"field": "text", "type": "nominal"}

Shift: TypeAlias = tuple[float, float]
"""Pixels to the right and downwards."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One datum: a place, its words, and its interval where it has one."""

    x: float
    y: float
    text: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class EndLabel:
    """A name written beside the right end of a line, at the height of ``y``."""

    y: float
    text: str
    color: str


@dataclass(kw_only=True)
class Canvas:
    """A panel of ``width`` x ``height`` px in all, whatever its labels need."""

    x: Axis
    y: Axis
    width: int = 360
    height: int = 280
    left: int = 44
    _layers: list[Any] = field(default_factory=list)
    _end_labels: list[EndLabel] = field(default_factory=list)

    def line(
        self,
        points: Iterable[tuple[float, float]],
        *,
        color: str,
        dash: tuple[int, ...] = (),
        opacity: float = 1.0,
        width: float = 2.0,
        shift: Shift = (0.0, 0.0),
    ) -> None:
        """A line through ``points`` in their order, cut at the panel's edge."""
        rows = [{"x": x, "y": y, "order": order} for order, (x, y) in enumerate(points)]
        if len(rows) > 1:
            mark = {"type": "line", "color": color, "strokeDash": list(dash), "opacity": opacity, "strokeWidth": width}
            mark |= _shifted(shift)
            order = {"field": "order", "type": "quantitative"}
            self._add(rows, {**mark, "clip": True}, x=self._x(), y=self._y(), order=order)

    def band(self, curve: Sequence[CurvePoint], *, color: str) -> None:
        """The interval of a curve as a faint area."""
        rows = [{"x": point.x, "low": self._inside(point.low), "high": self._inside(point.high)} for point in curve]
        if len(rows) > 1:
            mark = {"type": "area", "color": color, "opacity": 0.14, "clip": True}
            self._add(rows, mark, x=self._x(), y=self._y("low"), y2={"field": "high"})

    def strip(self, low: float, high: float, *, vertical: bool = False) -> None:
        """A grey strip over the whole panel: where two things count as equal."""
        mark = {"type": "rect", "color": theme.MUTED, "opacity": 0.14}
        place = (
            {"x": self._x("low"), "x2": {"field": "high"}}
            if vertical
            else {"y": self._y("low"), "y2": {"field": "high"}}
        )
        self._add([{"low": low, "high": high}], mark, **place)

    def level(self, y: float, text: str = "") -> None:
        """A dashed line at the height ``y`` with its name above its left end, where falling curves do not come."""
        self._add([{"y": y}], {"type": "rule", "color": theme.MUTED, "strokeDash": [3, 3]}, y=self._y())
        if text:
            self.note(self.x.low, y, text, color=theme.MUTED, dx=3, dy=-8)

    def upright(self, x: float) -> None:
        """A thin line at ``x`` from bottom to top."""
        self._add([{"x": x}], {"type": "rule", "color": theme.MUTED}, x=self._x())

    def note(
        self, x: float, y: float, text: str, *, color: str, align: str = "left", dx: float = 0, dy: float = 0
    ) -> None:
        """Words inside the panel."""
        mark = {"type": "text", "color": color, "align": align, "baseline": "middle", "dx": dx, "dy": dy}
        rows = [{"x": x, "y": y, "text": text}]
        self._add(rows, {**mark, "fontSize": theme.FONT_SIZE - 1}, x=self._x(), y=self._y(), text=_TEXT)

    def points(
        self,
        marks: Iterable[Mark],
        *,
        color: str,
        shape: str,
        hollow: bool = False,
        size: float = 64,
        opacity: float = 1.0,
        sideways: bool = False,
        shift: Shift = (0.0, 0.0),
        bar: float = 1.8,
    ) -> None:
        """Points with their intervals, ``bar`` px wide; ``hollow`` ones carry less weight than they seem to.

        ``shift`` moves them by so many px, so that marks at one place stand side by side.
        """
        marks = list(marks)
        bars = {"color": color, "opacity": opacity, "strokeWidth": bar, **_shifted(shift)}
        self._intervals([mark for mark in marks if mark.low is not None], bars, sideways)
        if marks:
            rows = [{"x": mark.x, "y": mark.y, "text": mark.text} for mark in marks]
            look = {"fill": theme.PAPER if hollow else color, "stroke": color, "strokeWidth": 1.6 if hollow else 0.6}
            mark = {"type": "point", "shape": shape, "size": size, "opacity": opacity, **look, **_shifted(shift)}
            self._add(rows, {**mark, "aria": True}, x=self._x(), y=self._y(), description=_TEXT)

    def end_label(self, label: EndLabel) -> None:
        """Write a name beside the right end; what would not fit ends in an ellipsis."""
        most = int(_LABEL_SHARE * self.width / theme.CHARACTER_WIDTH)
        text = label.text if len(label.text) <= most else label.text[: most - 1] + "…"
        self._end_labels.append(dataclasses.replace(label, text=text))

    @property
    def plot_width(self) -> float:
        """The width in px between the axes' ends, beside the end labels written so far."""
        longest = max((len(label.text) for label in self._end_labels), default=0)
        return self.width - self.left - 12 - theme.CHARACTER_WIDTH * longest

    @property
    def plot_height(self) -> float:
        """The height in px between the axes' ends."""
        return self.height - _TOP - _BOTTOM

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where ``x`` and ``y`` lie, in px from the upper left corner of the plot."""
        return self.x.fraction(x) * self.plot_width, (1 - self.y.fraction(y)) * self.plot_height

    def specification(self, description: str) -> dict[str, Any]:
        """The panel as a complete Vega-Lite specification with its data inside."""
        plot_width, plot_height = self.plot_width, self.plot_height
        right = self.width - self.left - plot_width
        self._draw_end_labels(plot_height)
        return {
            "$schema": SCHEMA,
            "description": description,
            "width": plot_width,
            "height": plot_height,
            "padding": {"left": self.left, "right": right, "top": _TOP, "bottom": _BOTTOM},
            "autosize": {"type": "none"},
            "layer": self._layers,
            "config": theme.configuration(),
        }

    def _draw_end_labels(self, plot_height: float) -> None:
        wanted = [(1 - self.y.fraction(label.y)) * plot_height for label in self._end_labels]
        placed = spread(wanted, _LINE_GAP, 0.0, plot_height)
        for label, top in zip(self._end_labels, placed, strict=True):
            mark = {"type": "text", "align": "left", "baseline": "middle", "dx": 8, "color": label.color}
            rows = [{"y": self.y.value(1 - top / plot_height), "text": label.text}]
            self._add(rows, mark, x={"value": "width"}, y=self._y(), text=_TEXT)

    def _intervals(self, marks: list[Mark], look: dict[str, Any], sideways: bool) -> None:
        if not marks:
            return
        along = self.x if sideways else self.y
        rows = [
            {"x": mark.x, "y": mark.y, "low": self._inside(mark.low, along), "high": self._inside(mark.high, along)}
            for mark in marks
        ]
        mark = {"type": "rule", **look}
        if sideways:
            self._add(rows, mark, x=self._x("low"), x2={"field": "high"}, y=self._y())
        else:
            self._add(rows, mark, x=self._x(), y=self._y("low"), y2={"field": "high"})

    def _inside(self, value: float | None, axis: Axis | None = None) -> float:
        axis = axis or self.y
        return axis.low if value is None else min(max(value, axis.low), axis.high)

    def _add(self, rows: list[dict[str, Any]], mark: dict[str, Any], **encoding: Any) -> None:
        self._layers.append({"data": {"values": rows}, "mark": {"aria": False, **mark}, "encoding": encoding})

    def _x(self, name: str = "x") -> dict[str, Any]:
        title = {"title": self.x.title, "titleY": 34, "titleBaseline": "alphabetic"}
        return {
            "field": name,
            "type": "quantitative",
            "scale": self.x.scale(),
            "axis": {**title, **self.x.ticks_as_drawn()},
        }

    def _y(self, name: str = "y") -> dict[str, Any]:
        """The title stands level above the axis, where it reads without turning the head."""
        place = {"titleAngle": 0, "titleAlign": "left", "titleX": 1 - self.left, "titleY": -14}
        title = {"title": self.y.title, **place, "titleBaseline": "alphabetic", "grid": self.y.grid}
        return {
            "field": name,
            "type": "quantitative",
            "scale": self.y.scale(),
            "axis": {**title, **self.y.ticks_as_drawn()},
        }


def _shifted(shift: Shift) -> dict[str, float]:
    return {name: value for name, value in zip(("xOffset", "yOffset"), shift, strict=True) if value}
