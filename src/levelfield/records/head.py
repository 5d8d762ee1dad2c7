"""What a task puts on a backbone, as a record: part of what a trial is."""

from __future__ import annotations

from levelfield.records.errors import expect
from levelfield.records.stated import stated

MOST_OUTPUTS = 2**24


@stated
class LinearHead:
    """One linear map with a bias, from the pooled features of a backbone to ``num_outputs`` numbers an example."""

    num_outputs: int

    def __post_init__(self) -> None:
        held = 1 <= self.num_outputs <= MOST_OUTPUTS
        expect(held, "head.num_outputs", f"from 1 to {MOST_OUTPUTS}", self.num_outputs)
