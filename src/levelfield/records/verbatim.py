"""A record that lies as it was written, known by its text alone: its seal holds, and the rest is handed on unread.

A seal is over the values of a record, on one line, whole numbers written as such. What :func:`json_of_plain` lays out
for people is that line with breaks, indents and some ``.0``; taking these away again costs a tenth of reading the
values and writing them anew. Text that is laid out in another way, or does not bear its seal, is no record *as it was
written*: whoever reads it has to look at its values, and can say what is wrong with them.
"""

from __future__ import annotations

import functools
import re

from levelfield.records.codec import MOST_DIGITS, surely_shallow
from levelfield.records.fingerprint import digest

_LARGE = re.compile(rb'(": |\n)(-?\d(?:\.\d+)?e\+\d+)(?=,?\n)')
"""A number as Python writes those from 1e16 on: a whole one."""
_LONG = tuple(re.compile(rb"%b-?\d{%d}" % (before, MOST_DIGITS)) for before in (b'": ', b"\n"))


def unsealed(content: bytes, *, purpose: str, seal: str, schema: tuple[str, int]) -> bytes | None:
    """``content`` without its ``seal`` and without its ``schema``, which is that one; None where that takes a closer
    look.

    ``purpose`` is what the seal is the fingerprint for, ``seal`` and ``schema`` name keys. The text of a string is
    never taken for layout or for a number: it holds no line break, and ends in a quote.
    """
    if not surely_shallow(content):
        return None
    found = _line_of(seal, rb'"([0-9a-f]{32})"').search(content)
    if found is None:
        return None
    sealed = _without(content, found)
    if digest(purpose.encode() + b"\n" + _on_one_line(sealed) + b"\n") != found[1].decode():
        return None
    key, number = schema
    stated = _line_of(key, b"%d" % number).search(sealed)
    return None if stated is None else _without(sealed, stated)


@functools.cache
def _line_of(key: str, value: bytes) -> re.Pattern[bytes]:
    """The line of a record's own ``key``, its comma left standing."""
    return re.compile(rb'\n  "%b": %b(?=,?\n)' % (key.encode(), value))


def _without(content: bytes, line: re.Match[bytes]) -> bytes:
    """``content`` without a line of an object, the last of which has no comma behind it."""
    before, after = content[: line.start()], content[line.end() :]
    return before + after[1:] if after.startswith(b",") else before.removesuffix(b",") + after


def _on_one_line(text: bytes) -> bytes:
    """The text as it was sealed; something else, which bears no seal, where it was not laid out as records are."""
    while b"\n  " in text:
        text = text.replace(b"\n  ", b"\n")
    if any(pattern.search(text) for pattern in _LONG):
        return b""
    if b"e+" in text:
        text = _LARGE.sub(_whole, text)
    text = text.replace(b".0,\n", b",\n").replace(b".0\n", b"\n")
    return text.replace(b",\n", b", ").replace(b"\n", b"")


def _whole(found: re.Match[bytes]) -> bytes:
    value = float(found[2])
    return found[1] + (b"%d" % int(value) if value.is_integer() else found[2])
