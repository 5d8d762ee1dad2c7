"""What a cell of a table says: a number, nothing, or why it is neither."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

ABSENT = frozenset(("", "na", "n/a", "#n/a", "<na>", "nan", "none", "null", "nil", "-"))
"""What stands for nothing, in small letters: as spreadsheets, pandas, R, SQL and JSON write it."""
INFINITE = frozenset(("inf", "infinity"))
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_GROUPED = re.compile(r"[1-9]\d{0,2}((,\d{3})+\.\d+|(,\d{3}){2,})", re.ASCII)
"""1,014.45 and 1,234,567; not 1,014, whose comma may as well be a decimal one."""


_MAGNITUDE = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?\s*([kKMBGTPEZ%]|[kKMGTPEZ]?FLOPs?)", re.ASCII)
"""25M, 6.67B, 45.2% and 1e18 FLOPs, as people write them."""


class CellError(Exception):
    """A cell is not what it should be; the message says what was expected and seen."""


def is_absent(cell: str) -> bool:
    return cell.casefold() in ABSENT


def has_diverged(cell: str) -> bool:
    """Whether the loss ``cell`` is that of a run that diverged: nothing, not a number, or infinite."""
    return is_absent(cell) or cell.casefold().lstrip("+-") in INFINITE | ABSENT


def number_of(cell: str) -> float:
    """The number that ``cell`` says, in digits as anybody writes them: no underscores, no decimal comma.

    Raises:
        CellError: it says none.
    """
    plain = cell.replace(",", "") if _GROUPED.fullmatch(cell) else cell
    if _NUMBER.fullmatch(plain):
        return float(plain)
    if cell.casefold().lstrip("+-") in INFINITE | {"nan"}:
        raise CellError(f"expected a finite number, saw {cell!r}")
    told = ""
    if cell.count(",") == 1:
        told = f"; is its comma a decimal one? write {cell.replace(',', '.')}"
        told += f", or {cell.replace(',', '')} where it groups thousands"
    elif _MAGNITUDE.fullmatch(cell):
        told = "; write it out, such as 25e6 for 25M and 0.452 for 45.2%"
    raise CellError(f"expected a number, saw {cell!r}{told}")


def positive(cell: str, *, named: str, least: float, most: float) -> float:
    """The positive number from ``least`` to ``most`` that ``cell`` says for what is ``named`` so.

    Raises:
        CellError: it says none, or one that nothing can measure.
    """
    value = math.nan if has_diverged(cell) else number_of(cell)
    if not (math.isfinite(value) and value > 0):
        raise CellError(f"{named} must be positive and finite, saw {cell!r}")
    if not least <= value <= most:
        raise CellError(f"{named} must lie between {least:g} and {most:g}, saw {cell!r}")
    return value


def all_positive(cells: Sequence[str], *, least: float, most: float) -> list[float] | None:
    """What :func:`positive` says of every cell, all at once, where each is plain; else None."""
    text = "".join(cells)
    if "_" in text or not text.isascii():  # which Python reads as digits
        return None
    try:
        values = list(map(float, cells))
    except ValueError:
        return None
    found = np.asarray(values, dtype=float)
    return values if bool(np.all((found >= least) & (found <= most))) else None


def whole_number(cell: str) -> int:
    """The whole number that ``cell`` says, also as ``3.0``, as pandas writes a column with gaps.

    Raises:
        CellError: it says none.
    """
    try:
        value = number_of(cell)
    except CellError:
        raise CellError(f"expected a whole number, saw {cell!r}") from None
    if value != int(value):
        raise CellError(f"expected a whole number, saw {cell!r}")
    return int(cell) if cell.isdecimal() else int(value)
