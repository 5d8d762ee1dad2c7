"""Which classes are taken for which, and whether a stated confidence can be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from levelfield.records.evaluation import Confusion, Evaluation
from levelfield.report.figures import theme
from levelfield.report.figures.axes import Axis
from levelfield.report.figures.canvas import SCHEMA, Canvas, Mark
from levelfield.report.figures.figure import Panel
from levelfield.report.words import numbers

MOST_CLASSES = 40
"""More would be too small to read: then those with the most wrong answers are drawn."""
_CELL, _LONGEST = 14, 22
_QUARTERS = tuple((part / 4, f"{25 * part}{numbers.THIN}%") for part in range(5))


def confusion_panel(confusions: Sequence[Confusion], names: Sequence[str]) -> Panel:
    """True classes downwards, answers to the right; a cell is darker the larger its share of the row."""
    drawn, short = _drawn(confusions), _short(names)
    own = Counter[int]()
    for each in confusions:
        own[each.true] += each.num_images
    cells = [
        {
            "row": short[each.true],
            "column": short[each.said],
            "share": each.num_images / own[each.true],
            "text": f"{names[each.true]} called {names[each.said]}: {each.num_images} of {own[each.true]}",
        }
        for each in confusions
        if each.true in drawn and each.said in drawn
    ]
    order = [short[label] for label in drawn]
    side = max(_CELL * len(order), 160)
    axis = {
        "labelFontSize": 9,
        "labelLimit": 160,
        "ticks": False,
        "domain": False,
        "labelOverlap": False,
        "title": None,
    }
    scale = {"domain": order, "paddingInner": 0.06}
    some = "" if len(order) == len(names) else f"; the {len(order)} of {len(names)} with the most wrong answers"
    specification: dict[str, Any] = {
        "$schema": SCHEMA,
        "description": "How often each class was called by each name",
        "width": side,
        "height": side,
        "padding": 14,
        "title": {
            "text": f"rows: the true class, columns: the answer{some}",
            "anchor": "start",
            "frame": "bounds",
            "fontSize": theme.FONT_SIZE,
            "fontWeight": "normal",
            "color": theme.INK,
            "offset": 12,
        },
        "data": {"values": cells},
        "mark": {"type": "rect", "aria": True},
        "encoding": {
            "x": {
                "field": "column",
                "type": "nominal",
                "scale": scale,
                "sort": order,
                "axis": {**axis, "orient": "top", "labelAngle": -60},
            },
            "y": {"field": "row", "type": "nominal", "scale": scale, "sort": order, "axis": axis},
            "color": {
                "field": "share",
                "type": "quantitative",
                "scale": {"domain": [0, 1], "range": ["#eef2f6", "#0b3c5d"]},
                "legend": {
                    "title": "share of row",
                    "titleFontWeight": "normal",
                    "titleLimit": 200,
                    "format": ".0%",
                    "values": [0, 0.5, 1],
                    "gradientLength": 90,
                },
            },
            "description": {"field": "text", "type": "nominal"},
        },
        "config": theme.configuration(),
    }
    return Panel(name="confusion", title="Which class is taken for which", specification=specification)


def reliability_panel(found: Evaluation) -> Panel:
    """How often the first answer was right, against how sure the network was of it."""
    canvas = Canvas(
        x=Axis(title="stated confidence in the first answer", low=0.0, high=1.0, ticks=_QUARTERS, log=False),
        y=Axis(title="right, of the images answered so", low=0.0, high=1.0, ticks=_QUARTERS, log=False),
    )
    canvas.line([(0, 0), (1, 1)], color=theme.MUTED, dash=(3, 3), width=1)
    canvas.note(0.98, 0.08, "below the line: surer than right", color=theme.MUTED, align="right")
    largest = max(each.num_images for each in found.bins)
    for each in found.bins:
        text = (
            f"{each.num_images} images: {numbers.percent(each.confidence)} sure, {numbers.percent(each.accuracy)} right"
        )
        mark = Mark(x=each.confidence, y=each.accuracy, text=text)
        size = 24 + 180 * each.num_images / largest
        canvas.points([mark], color=theme.INK, shape="circle", size=size, opacity=0.75)
    return Panel(
        name="reliability",
        title="Can its confidence be believed?",
        specification=canvas.specification("Share of right answers against stated confidence"),
    )


def _drawn(confusions: Sequence[Confusion]) -> list[int]:
    """The classes that have images or were answered, in order; of many, those with the most wrong answers."""
    wrong: dict[int, int] = {}
    for each in confusions:
        for label in {each.true, each.said}:
            wrong[label] = wrong.get(label, 0) + (each.num_images if each.true != each.said else 0)
    return sorted(sorted(wrong, key=lambda label: (-wrong[label], label))[:MOST_CLASSES])


def _short(names: Sequence[str]) -> list[str]:
    """Names to stand beside a row: the first of several synonyms, no longer than fits, and no two alike."""
    first = [name.partition(",")[0].strip() for name in names]
    cut = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in first]
    return [f"{name} ({label})" if cut.count(name) > 1 else name for label, name in enumerate(cut)]
