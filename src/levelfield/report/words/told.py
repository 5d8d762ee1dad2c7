"""Every code in words, once: the page, its tables and figures, and the terminal say a reason alike."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any

from levelfield.records.reason import Coded
from levelfield.report.words import numbers
from levelfield.report.words.codes import WORDS


class _Writer(string.Formatter):
    """``str.format`` with specs of our own, by which a reader knows names, currencies and large numbers."""

    def format_field(self, value: Any, format_spec: str) -> str:
        write = _SPECS.get(format_spec)
        return super().format_field(value, format_spec) if write is None else write(value)


_WRITER = _Writer()
_SPECS: dict[str, Callable[[Any], str]] = {
    "family": numbers.family_name,
    "families": lambda families: " and ".join(map(numbers.family_name, families)),
    "families_of": lambda families: " and of ".join(map(numbers.family_name, families)),
    "currency": lambda currency: numbers.CURRENCY_WORDS[currency],
    "power": numbers.power,
    "code_word": numbers.code_word,
    "list": ", ".join,
    "or": lambda words: " or ".join(map(repr, words)),
    "against": lambda families: " against ".join(map(numbers.family_name, families)),
    "spaced": lambda name: name.replace("_", " "),
    "told": lambda found: told(found),
    "all_told": lambda found: all_told(found),
}


def told(found: Coded) -> str:
    """``found`` as a clause: no capital, no full stop, names as they are written."""
    words = WORDS[type(found)]
    template = words if isinstance(words, str) else words(found)
    return _WRITER.vformat(template, (), vars(found))


def all_told(found: Iterable[Coded | None]) -> str:
    """The clauses of what is there, between semicolons."""
    return "; ".join(told(each) for each in found if each is not None)
