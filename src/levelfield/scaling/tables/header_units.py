"""The unit that the name of a column says: "params (M)" and "tokens_B" are read in millions and in billions.

Only what can be nothing else is a unit, and only where the numbers are such as that unit has: a column that says
millions and holds plain numbers is refused, since one of the two is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from levelfield.records.errors import InputError
from levelfield.scaling.laws import Floats

SCALED = ("compute", "budget", "params", "examples", "unique")
"""Meanings whose columns may say a unit; other numbers have none but their own."""
MOST: Mapping[str, float] = {"compute": 1e31, "budget": 1e31, "params": 1e15, "examples": 1e17, "unique": 1e17}
"""More than any run had: 2e26 FLOPs, some 1e13 parameters and some 1e14 tokens were the most by 2026."""
_PREFIX = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21, "Y": 1e24}
_WORDS = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_PF_DAY = 1e15 * 86400
_DAYS = re.compile(r"\b(PF|PFLOPs?|peta.?flops?)([/-]?s(ec(onds?)?)?)?[ _-]?days?\b", re.IGNORECASE)
_FLOPS = re.compile(r"(?<![A-Za-z])([kKMGTPEZY])FLOPs?(?![A-Za-z/])")
_BRACKETS = re.compile(r"[(\[]\s*(in\s+)?([kKMBGTPEZ]|thousands?|millions?|billions?|trillions?)\b[^)\]/]*[)\]]")
_POWER = re.compile(r"(?<![A-Za-z0-9.])(?:x|\u00d7|\*)?\s*(?:1e|e|10\^|10\*\*)\+?(\d{1,2})(?![\w.])")
_SUFFIX = re.compile(r"(?<=[A-Za-z])_([kKMBGT])$")
_IN_WORDS = re.compile(r"(?<![a-z])in[ _](thousand|million|billion|trillion)s?(?![a-z])", re.IGNORECASE)


def unit_of(name: str) -> tuple[str, float] | None:
    """The text of the unit in the ``name`` of a column, and what it stands for; None where it says none."""
    if found := _DAYS.search(name):
        return found[0], _PF_DAY
    if found := _FLOPS.search(name):
        return found[0], _PREFIX[found[1]]
    if found := _BRACKETS.search(name):
        word = found[2].lower().removesuffix("s")
        return found[0], _WORDS.get(word) or _PREFIX[found[2]]
    if found := _POWER.search(name):
        return found[0].strip(), 10.0 ** int(found[1])
    if found := _IN_WORDS.search(name):
        return found[0], _WORDS[found[1].lower()]
    if found := _SUFFIX.search(name):
        return found[1], _PREFIX[found[1]]
    return None


def scale_of(meaning: str, name: str, values: Floats) -> float:
    """What the ``values`` of the column ``name`` are multiplied by: 1 where it says no unit.

    Raises:
        InputError: the values are far beyond any run's in that unit.
    """
    if meaning not in SCALED or (unit := unit_of(name)) is None or not values.size:
        return 1.0
    text, scale = unit
    largest = float(np.max(values))
    if largest * scale > MOST[meaning]:
        raise InputError(
            f"column {name!r} says {text!r} and holds {largest:.6g}, which would be {largest * scale:.3g}: is one of "
            "the two wrong? Write plain numbers under a name without a unit"
        )
    return scale
