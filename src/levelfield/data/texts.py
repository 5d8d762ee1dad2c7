"""The texts of a picture as one value: how they are kept, told apart, and read out of what people write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from levelfield.data.canonical import DIGEST_BYTES

TEXT_KEYS = ("caption", "captions", "text", "texts", "txt", "sentence", "sentences", "alt_text", "title", "description")
"""What others call texts, in tables and in JSON; the first that there is counts in a table, all do in JSON."""

MOST_TEXT_BYTES = 2**20
"""Of all texts of a picture."""


def told(texts: Iterable[str]) -> tuple[str, ...]:
    """The distinct ``texts``, trimmed and sorted, so that no order of a file decides; without empty ones and such that
    no UTF-8 can spell."""
    return tuple(sorted({text.strip() for text in texts if text.strip() and _is_text(text)}))


def kept(texts: tuple[str, ...]) -> bytes:
    """``texts`` as an index keeps them; equal texts are equal bytes."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()


def texts_in(content: bytes | str) -> tuple[str, ...]:
    """What :func:`kept` was given."""
    return tuple(json.loads(content))


def text_digest(content: bytes) -> bytes:
    """The 16 bytes that identify kept texts."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES, person=b"texts").digest()


def texts_of_cell(cell: str) -> tuple[str, ...]:
    """The texts in a cell of a table: one, or a list of them in JSON."""
    if cell[:1] == "[" and cell[-1:] == "]":
        try:
            found = json.loads(cell)
        except (ValueError, RecursionError):
            return (cell,)
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return tuple(found)
    return (cell,)


def texts_of_json(plain: Any, named: str | None) -> tuple[str, ...]:
    """The texts in the JSON beside a picture: those under the key ``named``, else under all keys that are usual."""
    if not isinstance(plain, dict):
        return ()
    found = [plain.get(key) for key in (TEXT_KEYS if named is None else (named,))]
    lists = [each if isinstance(each, list) else [each] for each in found]
    return tuple(each for values in lists for each in values if isinstance(each, str))


def _is_text(text: str) -> bool:
    try:
        return len(text.encode()) <= MOST_TEXT_BYTES
    except UnicodeEncodeError:
        return False
