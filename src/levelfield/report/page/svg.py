"""From a specification to pictures: SVG for the page and the paper, PNG for slides, no browser involved."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from levelfield.records.errors import WorkError
from levelfield.report.figures.theme import INK, PAPER

_PNG_SCALE = 2.0
_PNG_FONTS = "DejaVu Sans, Helvetica Neue, Arial, sans-serif"
_SVG_FONTS = "system-ui, Helvetica Neue, Arial, sans-serif"
_TITLE_HEIGHT = 34.0


def draw_svg(specification: dict[str, Any], name: str) -> str:
    """The panel as SVG text; the ids inside carry ``name``, so that many pictures can share one page.

    Equal specifications give equal bytes on one machine.
    """
    return _with_own_ids(_drawn(json.dumps(specification)), name)


def draw_png(svg: str) -> bytes:
    """An SVG as PNG at twice its size, on white, in a font that has the superscripts where there is one."""
    lettered = re.sub(r'font-family="[^"]*"', f'font-family="{_PNG_FONTS}"', svg)
    return _vl_convert().svg_to_png(lettered, scale=_PNG_SCALE)


def stacked(pictures: Sequence[tuple[str, str]]) -> str:
    """Pictures below one another as one SVG, each under its title."""
    parts, top, widest = [], 0.0, 0.0
    for title, svg in pictures:
        found = re.search(r' width="([\d.]+)" height="([\d.]+)"', svg)
        assert found is not None  # draw_svg gives every picture its size
        width, height = float(found[1]), float(found[2])
        words = f'<text x="12" y="{top + 22:g}" font-family="{_SVG_FONTS}" font-size="15" fill="{INK}">{escape(title)}'
        parts += [f"{words}</text>", svg.replace("<svg", f'<svg x="0" y="{top + _TITLE_HEIGHT:g}"', 1)]
        top, widest = top + _TITLE_HEIGHT + height, max(widest, width)
    size = f'width="{widest:g}" height="{top:g}" viewBox="0 0 {widest:g} {top:g}"'
    paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{paper}{"".join(parts)}</svg>'


def for_page(svg: str) -> str:
    """The SVG as it stands in a page: scaled by its box, coordinates to a tenth of a pixel, no empty marks."""
    svg = re.sub(r' width="(\d+)" height="(\d+)" viewBox', r" viewBox", svg, count=1)
    svg = re.sub(r' (?:d|transform)="[^"]*"', lambda found: re.sub(r"(\.\d)\d+", r"\1", found[0]), svg)
    svg = re.sub(r'<path class="(?:background|foreground)"[^>]*/>', "", svg)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace(
        ' xmlns="http://www.w3.org/2000/svg"', ""
    )
    return re.sub(r' font-family="[^"]*"| stroke-miterlimit="10"| opacity="1"| aria-hidden="true"', "", svg)


@functools.lru_cache(maxsize=128)
def _drawn(specification: str) -> str:
    """Pure, and the slow part of a report (some 50 ms a panel), so what was drawn once is kept."""
    return _vl_convert().vegalite_to_svg(specification, allowed_base_urls=[])


def _vl_convert() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise WorkError(
            "figures need vl-convert, which is not installed here; what was trained is kept: pip install "
            "vl-convert-python and run `levelfield report` on the directory, here or where it is copied to"
        ) from None
    return vl_convert


def _with_own_ids(svg: str, name: str) -> str:
    """Ids numbered from nought and prefixed: the converter counts them on from one call to the next."""
    known = dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg))
    new = {old: f"{re.sub(r'[^A-Za-z0-9_-]', '-', name)}-{number}" for number, old in enumerate(known)}

    def renamed(found: re.Match[str]) -> str:
        old = found[2] or found[4]
        return f"{found[1] or found[3]}{new[old]}{found[5]}" if old in new else found[0]

    return re.sub(r'(?:(\bid=")([^"]+)|(url\(#)([^)]+))("|\))', renamed, svg)
