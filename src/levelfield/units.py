"""The units that quantities carry through the system.

``Flops`` count 1 multiply-accumulate as 2 operations. A training length always carries its unit, so no number has to
mean "work it out".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NewType

Flops = NewType("Flops", float)
Examples = NewType("Examples", int)
Steps = NewType("Steps", int)
DeviceSeconds = NewType("DeviceSeconds", float)

SMALLEST, LARGEST = 1e-60, 1e60
"""No compute, rate or time lies beyond these: such a number is a damaged cell or a slip, and what is computed of those
within stays finite."""

SMALLEST_LOSS, LARGEST_LOSS = 1e-250, 1e250
"""A loss may be of any scale, since laws are fitted to its logarithm."""

PAPER_FLOPS = Flops(21_347e18)
"""Training FLOPs of NFNet-F7+, the largest run of arXiv 2310.16764 (derived: 111.18 GMACs x 6 x 32e9 images)."""

LengthUnit = Literal["examples", "epochs", "steps"]


@dataclass(frozen=True, kw_only=True)
class TrainingLength:
    """How long a run trains: a positive number and its unit.

    Raises:
        ValueError: the value is not a positive finite number, or counts examples or steps in fractions.
    """

    value: float
    unit: LengthUnit

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"training length must be positive and finite, saw {self.value!r}")
        if self.unit != "epochs" and self.value != int(self.value):
            raise ValueError(f"training length in {self.unit} must be a whole number, saw {self.value!r}")

    @classmethod
    def parse(cls, text: str) -> TrainingLength:
        """Read ``"1.5 epochs"``, ``"20000 examples"`` or ``"500 steps"``."""
        match = re.fullmatch(r"\s*([0-9.eE+]+)\s*(examples|epochs|steps)\s*", text)
        if match is None:
            raise ValueError(f"expected '<number> examples|epochs|steps', saw {text!r}")
        return cls(value=float(match[1]), unit=match[2])  # pyright: ignore[reportArgumentType]

    def examples(self, *, num_train: int, global_batch_size: int) -> Examples:
        """The number of training examples this length sees; epochs may be fractional (a prefix of the permutation)."""
        per_unit = {"examples": 1, "epochs": num_train, "steps": global_batch_size}[self.unit]
        return Examples(math.floor(self.value * per_unit))
