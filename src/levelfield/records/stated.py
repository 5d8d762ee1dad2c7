"""Records that people write: every value is checked where it is made, out of a TOML file and in Python alike.

What a class asks beyond its annotations (a range, an order) stands in its own ``__post_init__``, which may then take
every type for granted and every number for finite.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import typing
import unicodedata
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, dataclass_transform

from levelfield.records.codec import later, record
from levelfield.records.errors import expect

T = TypeVar("T")
LARGEST_WHOLE_NUMBER = 2**63 - 1
LONGEST_TEXT = 20_000
"""Characters: some pages, for a hypothesis; whatever becomes the name of a file has a shorter limit of its own."""
LONGEST_NAME = 100
"""Bytes, of the 255 that a file system allows: names are put together to longer ones."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, later))
def stated(cls: type[T]) -> type[T]:
    """A :func:`levelfield.records.codec.record` whose every value is what its annotation says.

    Numbers are finite and never a bool or a text of digits, whole numbers fit 64 bits, and texts hold no control
    characters: nothing is coerced.

    Raises:
        SpecError: from the constructor, naming the field, what it must be, and what was seen.
    """
    own = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        for name, kind in _kinds_of(cls):
            if not kind.holds(value := getattr(self, name)):
                expect(False, name, kind.words, value)
        if own is not None:
            own(self)

    cls.__post_init__ = __post_init__  # pyright: ignore[reportAttributeAccessIssue]
    return record(cls)


def is_name(value: str) -> bool:
    """Whether ``value`` can be the name of a file or folder, anywhere, and stays in the folder that it is put in."""
    fits = 0 < len(value.encode(errors="replace")) <= LONGEST_NAME
    return fits and value == value.strip() and value[0] not in ".-~" and not set(value) & set("/\\:\n\t")


def expect_name(value: str, name: str) -> None:
    """Refuse a ``value`` that cannot name a folder.

    Raises:
        SpecError: it is empty, too long, leads elsewhere, or is hidden.
    """
    wanted = f"a name of at most {LONGEST_NAME} bytes without '/', '\\' or ':' that does not begin with '.', '-' or '~'"
    expect(is_name(value), name, wanted, value)


class _Kind(NamedTuple):
    """What an annotation allows: the check, and the same in words."""

    holds: Callable[[Any], bool]
    words: str


@functools.cache
def _kinds_of(cls: type) -> tuple[tuple[str, _Kind], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((field.name, _kind(hints[field.name])) for field in dataclasses.fields(cls))


def _kind(hint: Any) -> _Kind:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Literal:
        return _Kind(lambda value: isinstance(value, str) and value in inner, "one of " + ", ".join(map(repr, inner)))
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind(each) for each in inner]
        words = " or ".join(kind.words for kind in kinds)
        if len(kinds) == 2 and type(None) in inner:  # nearly every union, and records are checked by the ten thousand
            holds = kinds[inner[0] is type(None)].holds
            return _Kind(lambda value: value is None or holds(value), words)
        return _Kind(lambda value: any(kind.holds(value) for kind in kinds), words)
    if origin is tuple and inner[-1] is Ellipsis:
        item = _kind(inner[0])
        return _Kind(
            lambda value: isinstance(value, tuple) and all(map(item.holds, value)), f"a tuple, each {item.words}"
        )
    if origin is tuple:
        items = [_kind(each) for each in inner]
        words = f"a tuple of {', '.join(item.words for item in items)}"
        return _Kind(lambda value: isinstance(value, tuple) and _each_holds(items, value), words)
    if origin is dict:
        key, item = map(_kind, inner)
        return _Kind(
            lambda value: isinstance(value, dict) and all(key.holds(k) and item.holds(v) for k, v in value.items()),
            f"a dict, each value {item.words}",
        )
    return _Kind(lambda value: isinstance(value, hint), f"a {hint.__name__}")


def _each_holds(kinds: list[_Kind], values: tuple[Any, ...]) -> bool:
    return len(kinds) == len(values) and all(kind.holds(value) for kind, value in zip(kinds, values, strict=True))


_LARGEST = sys.float_info.max


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _is_whole(value: Any) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return -LARGEST_WHOLE_NUMBER <= value <= LARGEST_WHOLE_NUMBER


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and (value.isprintable() or not _has_control(value))


def _has_control(text: str) -> bool:
    return any(unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t" for each in text)


_PLAIN: dict[Any, _Kind] = {
    Any: _Kind(lambda value: True, "anything"),
    bool: _Kind(lambda value: isinstance(value, bool), "true or false"),
    float: _Kind(_is_number, "a finite number"),
    int: _Kind(_is_whole, f"a whole number of at most {LARGEST_WHOLE_NUMBER}"),
    str: _Kind(_is_text, f"text of at most {LONGEST_TEXT} characters, none of them a control character"),
    type(None): _Kind(lambda value: value is None, "absent"),
}
