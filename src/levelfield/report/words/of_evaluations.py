"""In words: why scores have no interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records.pixel_evaluation import FewStretches
from levelfield.records.reason import Coded

EVALUATION_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    FewStretches: "the pictures make up {num} stretches that err apart, and {needed} are needed for an interval",
}
