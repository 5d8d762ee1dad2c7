"""Why there is no answer."""

from __future__ import annotations

from levelfield.records.codec import record


@record
class Refusal:
    """Something the numbers do not support: what was asked, why not, and what would decide it."""

    what: str
    why: str
    remedy: str = ""
