"""Identity by content: equal content, equal fingerprint, on any machine and in any process."""

from __future__ import annotations

import hashlib
from typing import Any

from levelfield.records.codec import to_json


def fingerprint(purpose: str, value: Any) -> str:
    """32 hexadecimal digits that name ``value``; ``purpose`` keeps unlike things apart.

    Raises:
        TypeError, ValueError: ``value`` has no stable identity (see :func:`levelfield.records.codec.to_plain`).
    """
    text = purpose + "\n" + to_json(value, indent=None)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
