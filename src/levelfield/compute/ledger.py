"""What was spent, each kind apart: nothing is hidden in a total."""

from __future__ import annotations

from collections.abc import Iterable

from levelfield.records.codec import record
from levelfield.records.errors import SpecError
from levelfield.units import Flops


@record
class Ledger:
    """Compute spent on training that counted, on evaluation, and on attempts that failed or were started again."""

    train_flops: float = 0.0
    evaluate_flops: float = 0.0
    failed_flops: float = 0.0

    def __post_init__(self) -> None:
        for name in ("train_flops", "evaluate_flops", "failed_flops"):
            if not getattr(self, name) >= 0:
                raise SpecError(f"{name} must be at least 0, saw {getattr(self, name)!r}")

    @property
    def total_flops(self) -> Flops:
        return Flops(self.train_flops + self.evaluate_flops + self.failed_flops)

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(
            train_flops=self.train_flops + other.train_flops,
            evaluate_flops=self.evaluate_flops + other.evaluate_flops,
            failed_flops=self.failed_flops + other.failed_flops,
        )


def total(ledgers: Iterable[Ledger]) -> Ledger:
    """All of them added up."""
    return sum(ledgers, start=Ledger())
