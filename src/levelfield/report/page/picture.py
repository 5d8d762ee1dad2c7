"""A figure by itself, for a notebook or a file."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from levelfield.records.errors import InputError
from levelfield.records.writing import write_atomically
from levelfield.report.figures.figure import Figure
from levelfield.report.page.svg import draw_png, draw_svg, stacked


@dataclass(frozen=True, repr=False)
class Picture:
    """A figure that a notebook shows, prints itself in a sentence, and is written to a file by :meth:`save`."""

    figure: Figure

    @functools.cached_property
    def svg(self) -> str:
        """The panels below one another, each under its title.

        Raises:
            InputError: there is nothing to draw; the sentence says why.
        """
        if self.figure.absent:
            raise InputError(self.figure.absent)
        return stacked([(panel.title, draw_svg(panel.specification, panel.name)) for panel in self.figure.panels])

    def save(self, path: str | Path) -> Path:
        """Write it to ``path``, as its name ends: .svg or .png.

        Raises:
            InputError: there is nothing to draw, or the name ends otherwise.
            StoreError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in (".svg", ".png"):
            raise InputError(f"{path}: a figure is written as .svg or .png")
        write_atomically(path, self.svg.encode() if path.suffix == ".svg" else draw_png(self.svg))
        return path

    def _repr_svg_(self) -> str | None:
        return None if self.figure.absent else self.svg

    def __repr__(self) -> str:
        return f"{self.figure.title}: {self.figure.absent or self.figure.caption}"
