"""In words: why scores have no interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records.reason import Coded
from levelfield.records.stretches import FewStretches

EVALUATION_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    FewStretches: "held-out examples that follow one another make up {num} stretches, and {needed} are needed",
}
