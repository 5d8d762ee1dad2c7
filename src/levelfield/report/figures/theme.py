"""One look for all figures: a family has the same colour and shape everywhere, told apart without colour too.

Colours are Okabe and Ito's (Color Universal Design, 2008), safe for the common colour blindnesses. The page restyles
these exact hexadecimal values for dark mode, so no figure may use another.
"""

from __future__ import annotations

from dataclasses import dataclass

INK = "#1f2328"
MUTED = "#66707b"
GRID = "#e7eaee"
PAPER = "#ffffff"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FONT_SIZE = 12
CHARACTER_WIDTH = 6.6
"""Mean width in px of a character at ``FONT_SIZE``, on the safe side: room for labels is reserved by it."""


@dataclass(frozen=True, kw_only=True)
class FamilyStyle:
    """Colour of marks, a darker one for words, point shape (a Vega symbol), the shape as a character, line dash."""

    color: str
    text: str
    shape: str
    glyph: str
    dash: tuple[int, ...] = ()

    @property
    def hollow_glyph(self) -> str:
        """The character of a mark that is drawn as an outline."""
        return self.glyph.translate(_HOLLOW)


_HOLLOW = str.maketrans("●■▲◆▼✚", "○□△◇▽✛")
_KNOWN = {
    "nfnet": FamilyStyle(color="#d55e00", text="#ac4a00", shape="circle", glyph="●"),
    "vit": FamilyStyle(color="#0072b2", text="#0068a3", shape="square", glyph="■", dash=(7, 3)),
}
_OTHERS = (
    FamilyStyle(color="#009e73", text="#00704f", shape="triangle-up", glyph="▲", dash=(2, 2)),
    FamilyStyle(color="#cc79a7", text="#9a4574", shape="diamond", glyph="◆", dash=(9, 3, 2, 3)),
    FamilyStyle(color="#8c6d00", text="#7a5f00", shape="triangle-down", glyph="▼", dash=(4, 4)),
    FamilyStyle(color="#56b4e9", text="#1f6f9c", shape="cross", glyph="✚", dash=(1, 3)),
)
FALLBACK = FamilyStyle(color=MUTED, text=MUTED, shape="circle", glyph="●")
_STYLES = (*_KNOWN.values(), *_OTHERS)
COLORS = (*(color for style in _STYLES for color in (style.color, style.text)), INK, MUTED, GRID, PAPER)


def family_styles(families: tuple[str, ...]) -> dict[str, FamilyStyle]:
    """A style for each family: fixed for NFNet and ViT, the next free one for others in their order."""
    free = iter(_OTHERS)
    return {family: _KNOWN.get(family) or next(free, FALLBACK) for family in families}


def shades(number: int, faintest: float = 0.4) -> tuple[float, ...]:
    """Opacities from ``faintest`` to 1 for an ordered series of one family."""
    if number <= 1:
        return (1.0,) * number
    return tuple(round(faintest + (1 - faintest) * index / (number - 1), 3) for index in range(number))


def configuration() -> dict[str, object]:
    """The Vega-Lite ``config`` of every panel."""
    return {
        "background": PAPER,
        "font": FONT,
        "view": {"stroke": None},
        "aria": False,
        "axis": {
            "labelColor": MUTED,
            "labelFontSize": FONT_SIZE - 1,
            "titleColor": INK,
            "titleFontSize": FONT_SIZE,
            "titleFontWeight": "normal",
            "gridColor": GRID,
            "domainColor": MUTED,
            "tickColor": MUTED,
            "tickSize": 4,
            "labelPadding": 4,
        },
        "axisY": {"domain": False, "ticks": False},
        "axisX": {"grid": False},
    }
