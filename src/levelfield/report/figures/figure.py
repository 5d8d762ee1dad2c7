"""What a figure is: panels with a caption, or the reason why there are none."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

PanelSize: TypeAlias = Literal["normal", "small"]


def slug(text: str) -> str:
    """``text`` as part of a file name: letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text.replace("+", "")).strip("-.") or "unnamed"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture. ``name`` is its file name; ``specification`` is complete Vega-Lite, data included.

    Panels of another ``group`` start a new row; a ``wide`` one has a row to itself.
    """

    name: str
    title: str
    specification: dict[str, Any]
    group: str = ""
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels that say one thing together.

    ``caption`` is the one sentence that says what to see, written from the analysis; ``reading`` explains the signs.
    ``absent`` says why there are no panels, and is empty otherwise.
    """

    name: str
    title: str
    caption: str = ""
    reading: str = ""
    panels: tuple[Panel, ...] = ()
    absent: str = ""
    panel_size: PanelSize = "normal"

    @property
    def rows(self) -> tuple[tuple[Panel, ...], ...]:
        """The panels, a tuple for each run of equal groups and widths."""
        runs = itertools.groupby(self.panels, key=lambda panel: (panel.group, panel.wide))
        return tuple(tuple(panels) for _, panels in runs)
