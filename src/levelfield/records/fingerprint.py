"""Identity by content: equal content, equal fingerprint, on any machine and in any process."""

from __future__ import annotations

import hashlib
from typing import Any

from levelfield.records.codec import json_of_plain, to_plain


def fingerprint(purpose: str, value: Any) -> str:
    """32 hexadecimal digits that name ``value``; ``purpose`` keeps unlike things apart.

    Raises:
        TypeError, ValueError: ``value`` has no stable identity (see :func:`levelfield.records.codec.to_plain`).
    """
    return fingerprint_of_plain(purpose, to_plain(value))


def digest(content: bytes) -> str:
    """32 hexadecimal digits that name the bytes of a file."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def fingerprint_of_plain(purpose: str, plain: Any) -> str:
    """The same of a ``value`` that is plain already."""
    text = purpose + "\n" + json_of_plain(_with_one_kind_of_number(plain))
    return digest(text.encode())


def _with_one_kind_of_number(plain: Any) -> Any:
    """``plain`` with 1.0 written as 1: the same number from Python, TOML or JSON must be the same identity."""
    if isinstance(plain, float):
        return int(plain) if plain.is_integer() else plain
    if isinstance(plain, dict):
        return {key: item if type(item) is str else _with_one_kind_of_number(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_with_one_kind_of_number(item) for item in plain]
    return plain
