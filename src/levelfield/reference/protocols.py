"""What else differs between published points: how each was trained and measured, field by field."""

from __future__ import annotations

import functools

from levelfield.records.codec import record
from levelfield.reference.points import rows_of

UNKNOWN = ("not stated", "not recorded")


@record
class Protocol:
    """How a published number came about. All texts; ``not stated`` by the source, ``not recorded`` by us.

    ``lengths``: whether each length of training is a run of its own. ``averaging``: of weights, in fine-tuning.
    """

    id: str
    data: str
    labels: str
    optimizer: str
    lengths: str
    fine_tuning: str
    train_px: str
    test_px: str
    averaging: str
    source: str

    @property
    def subset(self) -> bool:
        """Whether the data were held short on purpose, as in the grid of ViTs on parts of JFT-3B."""
        return "images of" in self.data

    @property
    def confounds(self) -> str:
        """The protocol in one line."""
        px = f"fine-tuned at {self.train_px} px, tested at {self.test_px} px"
        if self.train_px == self.test_px:
            px = f"fine-tuned and tested at {self.test_px} px"
        averaged = {"averaged": "averaged weights", "none": "weights not averaged"}.get(
            self.averaging, f"averaging of weights {self.averaging}"
        )
        return f"{self.data} ({self.labels}); {self.optimizer}; {self.lengths}; {self.fine_tuning}; {px}; {averaged}"


FIELDS = {
    "data": "pre-training data",
    "labels": "labels",
    "optimizer": "optimiser",
    "lengths": "how lengths were trained",
    "fine_tuning": "fine-tuning recipe",
    "train_px": "resolution of fine-tuning",
    "test_px": "resolution of the test",
    "averaging": "averaging of weights",
}


@functools.cache
def protocols() -> dict[str, Protocol]:
    """Every protocol by its id."""
    return {row["id"]: Protocol(**row) for row in rows_of("protocols.csv")}


def differing(first: Protocol, second: Protocol) -> tuple[str, ...]:
    """The names of the fields in which two protocols differ, or in which one of them is unknown."""
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in FIELDS}
    return tuple(FIELDS[name] for name, (a, b) in pairs.items() if a != b or a in UNKNOWN)
