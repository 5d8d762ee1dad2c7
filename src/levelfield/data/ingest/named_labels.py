"""Labels as people write them, whole numbers or names, as places in a list of classes."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence

import numpy as np

from levelfield.data.classes import spellings
from levelfield.data.draws import Int64s
from levelfield.data.stores.parquet_file import MAX_CLASSES
from levelfield.records.errors import DataError, quoted_names

_NO_LABEL = frozenset({"NA", "N/A", "#N/A", "<NA>", "nan", "NaN", "NAN", "null", "NULL"})
"""How programs write in a table that there is no value."""


def numbered(texts: Sequence[str], *, of: str) -> tuple[tuple[str, ...], Int64s, bool]:
    """The names of the classes that ``texts`` name, the place of each in them, and whether the names were sorted.

    Where every text is a whole number from 0 these number the classes; else names are sorted as folders are.

    Raises:
        DataError: one class is spelt in several ways, a number is that of no class, or a text names none.
    """
    distinct = sorted(set(texts), key=os.fsencode)
    if distinct and all(text.isascii() and text.isdigit() and str(int(text)) == text for text in distinct):
        largest = max(map(int, distinct))
        if largest >= MAX_CLASSES:
            raise DataError(f"labels must be below {MAX_CLASSES:,}: {of} has {largest}, which is an identifier")
        names = tuple(map(str, range(largest + 1)))
        return names, np.array([int(text) for text in texts], dtype=np.int64), False
    _refuse_no_names(distinct, of)
    for same in spellings(distinct).values():
        raise DataError(f"{of} holds {quoted_names(same)}, one class in several spellings: write them alike")
    if len(distinct) >= MAX_CLASSES:
        raise DataError(f"{of} names {len(distinct):,} classes, expected fewer than {MAX_CLASSES:,}")
    places = {name: place for place, name in enumerate(distinct)}
    return tuple(distinct), np.array([places[text] for text in texts], dtype=np.int64), True


def _refuse_no_names(distinct: Sequence[str], of: str) -> None:
    """Refuse labels that are values of another kind, or none."""
    for name in distinct:
        if not name.strip() or name in _NO_LABEL:
            raise DataError(
                f"{of} has the label {name!r}, which is how programs write that there is none: give those rows a label "
                "or remove them; a class of that name must be called otherwise"
            )
        if name[0] in "[{" and _is_json(name):
            raise DataError(
                f"{of} has the label {name[:60]}, which is a list or an object: expected one class a picture"
            )
        if any(unicodedata.category(sign) == "Cc" for sign in name):
            raise DataError(
                f"{of} has the label {name[:60]!r}, which is no name: is a quote before it not closed, or the file "
                "damaged?"
            )
    if distinct and all(map(_is_value, distinct)):
        strange = [name for name in distinct if not name.isdigit()]
        if strange:
            raise DataError(
                f"{of} has the labels {quoted_names(distinct)}, which are numbers and no classes: expected names, or "
                f"whole numbers from 0 (saw {strange[0]!r})"
            )


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (list, dict))
    except (ValueError, RecursionError):
        return False


def _is_value(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def leads_outside(name: str) -> bool:
    """Whether a name in an archive or a table is no path below the folder that it is counted from."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or "\0" in name or (len(parts[0]) == 2 and parts[0][1] == ":")
