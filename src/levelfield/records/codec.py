"""Frozen dataclasses to plain JSON values and back: the only serialisation of records.

``to_plain`` refuses what has no stable text (NaN, sets, arbitrary objects). ``from_plain`` lets pydantic rebuild the
dataclass from its annotations and turns its findings into one :class:`SpecError` that names each place.
``plain_from_json`` reads strictly what must be one of ours: nothing in it is guessed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

from levelfield.records.errors import InputError, LevelfieldError, SpecError, did_you_mean, shown
from levelfield.records.reason import Coded

T = TypeVar("T")
_LATER = "levelfield: added later"
MOST_DIGITS = 30
"""Digits that a whole number in JSON may have."""
MOST_DEPTH = 64
"""How deep JSON may be nested."""


def later(*, default: Any) -> Any:
    """A field that need not be said: most records of its class have nothing to say there, or were written before it.

    It is left out of the plain form while it equals ``default``, so that such records keep their bytes and their
    fingerprints: not to say it is to say the default.
    """
    return dataclasses.field(default=default, metadata={_LATER: True})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, later))
def record(cls: type[T]) -> type[T]:
    """A frozen keyword-only dataclass that refuses unknown keys when it is read from a file."""
    cls.__pydantic_config__ = {"extra": "forbid"}  # pyright: ignore[reportAttributeAccessIssue]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def to_plain(value: Any, *, describe: Callable[[Coded], str] | None = None) -> Any:
    """``value`` as dicts, lists, strings, finite numbers, booleans and None; a reason says its code beside its fields.

    ``describe`` adds a sentence to every code, for programs whose users read on.

    Raises:
        TypeError: something in ``value`` has no stable plain form.
        ValueError: a number is not finite.
    """
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if kind is float:
        return _finite_number(value)
    if (fields := _fields_of(kind)) is not None:
        found: dict[str, Any] = {}
        if isinstance(value, Coded):
            found["code"] = value.code
            if describe is not None:
                found["sentence"] = describe(value)
        for name, unsaid, default in fields:
            item = getattr(value, name)
            if not (unsaid and item == default):
                found[name] = item if type(item) in _SIMPLE else to_plain(item, describe=describe)
        return found
    if isinstance(value, dict | Mapping):
        return {str(key): to_plain(item, describe=describe) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, describe=describe) for item in value]
    if isinstance(value, float):
        return _finite_number(value)
    if isinstance(value, str | int):
        return value
    raise TypeError(f"{kind.__name__} has no stable plain form; records hold plain values and dataclasses")


def _finite_number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"a record holds finite numbers only, saw {value!r}")
    return value


_SIMPLE = frozenset({str, int, bool, type(None)})


@functools.cache
def _fields_of(cls: type) -> tuple[tuple[str, bool, Any], ...] | None:
    """Of every field its name, whether it may be left unsaid, and its default; None of what is no dataclass."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple((field.name, _LATER in field.metadata, field.default) for field in dataclasses.fields(cls))


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """``value`` as JSON with sorted keys, ending in a newline; equal records give equal bytes."""
    return json_of_plain(to_plain(value), indent=indent)


def json_of_plain(plain: Any, *, indent: int | None = None) -> str:
    """The same of what is plain already."""
    encoder = _ON_ONE_LINE if indent is None else json.JSONEncoder(indent=indent, **_CANONICAL)
    return encoder.encode(plain) + "\n"


_CANONICAL: dict[str, Any] = {"sort_keys": True, "ensure_ascii": False, "allow_nan": False}
_ON_ONE_LINE = json.JSONEncoder(**_CANONICAL)


def plain_from_json(text: bytes | str) -> Any:
    """The value that ``text`` writes in strict JSON: no NaN or infinity, no key twice, no endless number or depth.

    Raises:
        ValueError: it is none; the message says why, as the end of a sentence.
    """
    try:
        value = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            parse_constant=_refused_constant,
            parse_float=_finite,
            parse_int=_short,
            object_pairs_hook=_without_twins,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"its text is not UTF-8 (byte {error.start})") from None
    if not (isinstance(text, bytes) and surely_shallow(text)):
        _refuse_deep(value)
    return value


def surely_shallow(content: bytes) -> bool:
    """Whether too few brackets open for it to be nested too deeply, and nothing is escaped that UTF-8 cannot write."""
    return content.count(b"{") + content.count(b"[") < MOST_DEPTH and b"\\u" not in content


def parse_json(content: bytes | str, *, where: str, error: type[LevelfieldError] = InputError) -> Any:
    """:func:`plain_from_json` for files of others' making, whose name the message begins with.

    Raises:
        LevelfieldError: of the kind ``error``: it is none.
    """
    try:
        return plain_from_json(content)
    except ValueError as reason:
        raise error(f"{where} cannot be read as JSON ({reason})") from None


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        strings = [item for item in level if isinstance(item, str)]
        if any("\ud800" <= letter <= "\udfff" for text in strings if not text.isascii() for letter in text):
            raise ValueError("it holds half a character (a lone surrogate)")
        level = [child for item in level if isinstance(item, dict | list) for child in _children(item)]
        if not level:
            return
    raise ValueError(f"it is nested more than {MOST_DEPTH} deep")


def _children(item: dict[str, Any] | list[Any]) -> list[Any]:
    return item if isinstance(item, list) else [*item, *item.values()]


def _refused_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, expected finite numbers")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {text[:MOST_DIGITS]}, which is not finite")
    return value


def _short(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(text):,} digits")
    return int(text)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it holds the key {twice[:60]!r} twice")
    return found


def from_plain(cls: type[T], plain: Any, *, where: str = "") -> T:
    """Rebuild a ``cls`` from what :func:`to_plain` gave, or from a parsed TOML file.

    Nothing is coerced but a whole number where any number may stand: "1" is no number, and neither is true.

    Raises:
        SpecError: keys are unknown or missing, or values have the wrong type; the message names every place.
    """
    from pydantic import ValidationError

    where = where or cls.__name__
    try:
        text = json.dumps(plain, default=_plain_or_refused)
    except RecursionError:
        raise SpecError(f"{where}: it is nested deeper than any record") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise SpecError(f"{where}: {error}") from None
    try:
        # pydantic is strict about types in JSON and still takes its arrays for tuples, its objects for dataclasses.
        return _adapter(cls).validate_json(text, strict=True)
    except ValidationError as error:
        findings = _of_meant_member(error.errors(include_url=False))
        text = "; ".join(_finding(cls, finding) for finding in findings)
        raise SpecError(f"{where}: {text}") from None


def _plain_or_refused(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_plain(value)
    raise SpecError(f"{type(value).__name__} values such as {value} mean nothing here: write text or numbers")


def from_json(cls: type[T], content: bytes) -> T | None:
    """The same from a text in JSON, or None where it is no ``cls``: :func:`from_plain` says why."""
    from pydantic import ValidationError

    try:
        return _adapter(cls).validate_json(content, strict=True)
    except (ValidationError, SpecError):
        return None


@functools.cache
def _adapter(cls: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def json_schema(cls: type) -> dict[str, Any]:
    """The JSON Schema of ``cls`` for editors."""
    return _adapter(cls).json_schema()


def _of_meant_member(findings: list[Any]) -> list[Any]:
    """Drop what a union's other members said: those whose ``Literal`` tag does not match what was written."""
    unmeant = {finding["loc"][:-1] for finding in findings if finding["type"] == "literal_error"}
    meant = [finding for finding in findings if finding["loc"][:-1] not in unmeant]
    return meant or _tags_together([finding for finding in findings if finding["type"] == "literal_error"])


def _tags_together(findings: list[Any]) -> list[Any]:
    """One finding for a tag that none of a union's members has, with all that they would have."""
    members: dict[Any, list[Any]] = {}
    for finding in findings:
        members.setdefault((finding["loc"][:-2], finding["loc"][-1]), []).append(finding)
    return [_any_of(place, tag, own) if len(own) > 1 else own[0] for (place, tag), own in members.items()]


def _any_of(place: tuple[Any, ...], tag: Any, members: list[Any]) -> Any:
    expected = ", ".join(member["ctx"]["expected"] for member in members)
    return members[0] | {"loc": (*place, tag), "msg": f"Input should be one of {expected}"}


def _finding(cls: type, finding: Any) -> str:
    place = ".".join(str(part) for part in finding["loc"]) or "the table"
    if finding["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {place!r}{did_you_mean(str(finding['loc'][-1]), _known_keys(cls))}"
    if finding["type"] in ("missing", "missing_keyword_only_argument"):
        return f"{place!r} is missing"
    return f"{place}: {finding['msg']}, saw {shown(finding['input'])}"


def _known_keys(cls: type) -> set[str]:
    """Every key that may stand anywhere in ``cls``; a misspelt key is nearly always one of them."""
    keys: set[str] = set()
    definitions = [json_schema(cls), *json_schema(cls).get("$defs", {}).values()]
    for definition in definitions:
        keys.update(definition.get("properties", {}))
    return keys
