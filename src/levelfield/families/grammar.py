"""The one grammar of architecture texts: ``family:body[,key=value]*``.

A body is a named variant (``F3+``, ``B/16``) or hyphen-joined codes, each a letter and its value (``w32-d1x2x2-s4``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from levelfield.records.codec import record
from levelfield.records.errors import SpecError, did_you_mean, shown

GRAMMAR = "family:body[,key=value]*, such as 'nfnet:w16-d1x2x2', 'nfnet:F3+,ws=timm' or 'vit:B/16,pool=map'"


LONGEST_ARCHITECTURE = 120
"""Characters of an architecture: trials are named after theirs, and a file's name has 255 bytes."""
WIDEST = 65_536
"""Channels of a stage; the widest published network has 2,048 (NFNet-F7+), the widest transformer some 25,000."""
DEEPEST = 1_024
"""Blocks of a network; the deepest published one has 120 (NFNet-F7: 96)."""


@record
class Text:
    """An architecture text taken apart, nothing interpreted yet."""

    family: str
    body: str
    options: tuple[tuple[str, str], ...] = ()


def split(text: str) -> Text:
    """Take ``text`` apart at its colon, commas and equals signs.

    Raises:
        SpecError: ``text`` does not have the form, or names an option twice.
    """
    if len(text) > LONGEST_ARCHITECTURE or not text.isprintable():
        raise SpecError(
            f"architecture {shown(text)}: expected {GRAMMAR}, at most {LONGEST_ARCHITECTURE} printable characters"
        )
    head, *parts = text.strip().split(",")
    family, colon, body = head.partition(":")
    if not (colon and family and body):
        raise SpecError(f"architecture {text!r}: expected {GRAMMAR}")
    options: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.strip().partition("=")
        if not (equals and key and value):
            raise SpecError(f"architecture {text!r}: expected key=value after the comma, saw {part!r}")
        if key in options:
            raise SpecError(f"architecture {text!r}: option {key!r} is given twice")
        options[key] = value
    return Text(family=family.strip(), body=body.strip(), options=tuple(options.items()))


def read_options(text: Text, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The options of ``text``, each one of its ``known`` values (the first is the default).

    Raises:
        SpecError: an unknown option or value, with the nearest known one.
    """
    values = {key: allowed[0] for key, allowed in known.items()}
    for key, value in text.options:
        if key not in known:
            raise SpecError(f"{text.family}: unknown option {key!r}{did_you_mean(key, known)}")
        if value not in known[key]:
            raise SpecError(f"{text.family}: {key}={value!r} is not a choice{did_you_mean(value, known[key])}")
        values[key] = value
    return values


def read_codes(text: Text, patterns: Mapping[str, str], *, required: Iterable[str], grammar: str) -> dict[str, str]:
    """The codes of ``text.body``: ``{"w": "32", "d": "1x2x2"}`` from ``w32-d1x2x2``.

    ``patterns`` gives each code's letter the regular expression of its value.

    Raises:
        SpecError: a code is unknown, malformed, repeated or missing; the message states the ``grammar``.
    """
    codes: dict[str, str] = {}
    for part in text.body.split("-"):
        letter, value = part[:1], part[1:]
        if letter not in patterns or not re.fullmatch(patterns[letter], value):
            raise SpecError(f"{text.family}:{text.body}: cannot read {part!r}; expected {grammar}")
        if letter in codes:
            raise SpecError(f"{text.family}:{text.body}: {letter!r} is given twice")
        codes[letter] = value
    missing = [letter for letter in required if letter not in codes]
    if missing:
        raise SpecError(f"{text.family}:{text.body}: {', '.join(missing)} missing; expected {grammar}")
    return codes


def join(family: str, body: str, options: Mapping[str, str], known: Mapping[str, tuple[str, ...]]) -> str:
    """Canonical text: options in the order of ``known``, defaults omitted."""
    stated = [f",{key}={options[key]}" for key, allowed in known.items() if options[key] != allowed[0]]
    return f"{family}:{body}{''.join(stated)}"
