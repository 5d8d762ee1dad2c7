"""Tables as TOML text, which the standard library reads and does not write."""

from __future__ import annotations

import datetime
import math
import sys
from typing import Any


def as_toml(plain: dict[str, Any]) -> str:
    """``plain`` as TOML, every inner table inline; None is left out."""
    return "".join(f"{_key(key)} = {_text(value)}\n" for key, value in plain.items() if value is not None)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(each) for each in value)}]"
    if isinstance(value, dict):
        pairs = [f"{_key(key)} = {_text(each)}" for key, each in value.items() if each is not None]
        return "{" + ", ".join(pairs) + "}"
    assert isinstance(value, datetime.date)
    return value.isoformat()


def _digits(value: int) -> str:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return str(value)
    finally:
        sys.set_int_max_str_digits(limit)


def _quoted(text: str) -> str:
    return (
        '"'
        + "".join(each if each.isprintable() and each not in '"\\' else f"\\U{ord(each):08x}" for each in text)
        + '"'
    )


def _key(key: str) -> str:
    return _quoted(key)
