"""Tables and paragraphs for a terminal of any width: nothing is cut, and no word is broken."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

GAP = "  "
_NARROWEST = 30
_NOTHING = ("", "–")
_TEXT_FROM = 22
"""A column with longer cells than this is words; where a table is too wide, words move below their row."""

_Fitted = tuple[list[int], list[int]]
"""Widths of the columns (0: none of its own), and the order in which columns go below the row."""


def paragraph(text: str, width: int) -> str:
    """``text`` broken between words, its own indent kept and its later lines indented a little more."""
    indent = len(text) - len(text.lstrip())
    return textwrap.fill(
        text.strip(),
        max(width, _NARROWEST),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 * bool(indent)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def table_lines(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    numeric: Sequence[bool] = (),
    faint: Callable[[str], str] = str,
) -> list[str]:
    """A table in at most ``width`` characters, where single words allow.

    Where it is too wide, what is the same in every row is said once above, and long words go below their row, named.
    ``faint`` dresses what is not a row of its own.
    """
    lines = []
    shown = list(range(len(columns)))
    if _too_wide([_natural(columns, rows, index) for index in shown], width):
        shown, said = _hoisted(columns, rows, shown)
        lines += [faint(line) for line in _wrapped(said, width, indent=0)]
    widths, below = _fitted(columns, rows, shown, width)
    right = [bool(numeric and numeric[index]) for index in range(len(columns))]
    inline = [index for index in shown if widths[index]]
    lines.append(_row([columns[index] for index in inline], [widths[i] for i in inline], [right[i] for i in inline]))
    lines.append("─" * (sum(widths[index] for index in inline) + len(GAP) * (len(inline) - 1)))
    for row in rows:
        kept = ["" if len(row[index]) > widths[index] else row[index] for index in inline]
        lines.append(_row(kept, [widths[index] for index in inline], [right[index] for index in inline]).rstrip())
        for index in sorted(below):
            if len(row[index]) > widths[index] and row[index] not in _NOTHING:
                lines += [faint(line) for line in _wrapped(f"{_lowered(columns[index])}: {row[index]}", width)]
    return lines


def _hoisted(columns: Sequence[str], rows: Sequence[Sequence[str]], shown: list[int]) -> tuple[list[int], str]:
    """The columns that differ between rows, and one line that says what the others hold."""
    constant = [index for index in shown if len({row[index] for row in rows}) == 1] if len(rows) > 1 else []
    said = [f"{_lowered(columns[index])}: {rows[0][index]}" for index in constant if rows[0][index] not in _NOTHING]
    return [index for index in shown if index not in constant], "; ".join(said)


def _fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], shown: list[int], width: int) -> _Fitted:
    """Widths at which the table fits: the widest words go below first, then the columns from the right."""
    widths = [_natural(columns, rows, index) if index in shown else 0 for index in range(len(columns))]
    below: list[int] = []
    while _too_wide([widths[index] for index in shown if widths[index]], width):
        free = [index for index in shown[1:] if index not in below and widths[index]]
        if not free:
            break
        words = [index for index in free if widths[index] > _TEXT_FROM]
        moved = max(words, key=lambda index: widths[index]) if words else free[-1]
        below.append(moved)
        others = [widths[index] for index in shown if widths[index] and index != moved]
        left = width - sum(others) - len(GAP) * len(others)
        some_fit = any(row[moved] not in _NOTHING and len(row[moved]) <= left for row in rows)
        widths[moved] = left if left >= len(columns[moved]) and some_fit else 0
    return widths, below


def _natural(columns: Sequence[str], rows: Sequence[Sequence[str]], index: int) -> int:
    return max(len(columns[index]), *(len(row[index]) for row in rows))


def _too_wide(widths: Sequence[int], width: int) -> bool:
    return sum(widths) + len(GAP) * (len(widths) - 1) > width


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return GAP.join(
        cell.rjust(size) if flush else cell.ljust(size) for cell, size, flush in zip(cells, widths, right, strict=True)
    )


def _wrapped(text: str, width: int, indent: int = 4) -> list[str]:
    return paragraph(" " * indent + text, width).split("\n") if text else []


def _lowered(title: str) -> str:
    """A heading inside a sentence; an abbreviation such as FLOPs stays as it is."""
    return title[0].lower() + title[1:] if title[1:2].islower() else title
