"""What a plan needs to know of the data: shapes and sizes, no pixels."""

from __future__ import annotations

from levelfield.records.codec import later, record
from levelfield.records.data import DataSpec, Split, num_report_asked
from levelfield.records.drawn import FewDigitsJudge
from levelfield.records.head import Head
from levelfield.records.measure import Measure
from levelfield.records.reason import Reason
from levelfield.records.stretches import FewStretches

COMPARE_NOTHING: tuple[type[Reason], ...] = (FewDigitsJudge, FewStretches)
"""Why data may compare nothing: a record that says so is read wherever facts are, by processes that open no data."""


@record
class DataFacts:
    """What the plan needs to know of the data: shapes and sizes, no pixels.

    ``head`` is that of the study's task, ``measures`` what it measures, the one that selects first.
    ``num_train`` examples are an epoch, all of the train split but in a mixture (:mod:`levelfield.data.mixture`).
    ``num_select`` images select and ``num_report`` judge winners, None in records of before they were kept. ``targets``
    are those of its transfers.
    ``remarks`` are sentences that must be read with the results. ``starts`` are the weights of families that have some.
    """

    head: Head
    measures: tuple[Measure, ...]
    in_channels: int
    resolution: int
    num_train: int
    fingerprint: str
    no_verdict_because: Reason | None = None
    num_report: int | None = later(default=None)
    num_select: int | None = later(default=None)
    targets: tuple[TargetFacts, ...] = later(default=())
    remarks: tuple[str, ...] = later(default=())
    starts: tuple[StartFacts, ...] = later(default=())

    def held(self, data: DataSpec) -> dict[Split, int]:
        """How many examples of ``data`` select, and how many judge: what it asks for, where nobody has counted."""
        return {"select": _num_select(self, data), "report": self.num_report or num_report_asked(data)}

    def start_of(self, family: str) -> str | None:
        """What the trials of ``family`` start from, as their specs say it; None where that is random weights."""
        return next((start.identity for start in self.starts if start.family == family), None)

    def target(self, name: str) -> TargetFacts:
        """The facts of the transfer ``name``."""
        return next(target for target in self.targets if target.name == name)


@record
class TargetFacts:
    """The same of the data of one transfer; ``num_report`` images judge it."""

    name: str
    head: Head
    measures: tuple[Measure, ...]
    in_channels: int
    resolution: int
    num_train: int
    num_report: int
    fingerprint: str
    no_verdict_because: Reason | None = later(default=None)
    num_select: int | None = later(default=None)

    def num_selecting(self, data: DataSpec) -> int:
        """How many examples of ``data`` select."""
        return _num_select(self, data)


def _num_select(facts: DataFacts | TargetFacts, data: DataSpec) -> int:
    asked = data.select_examples if facts.num_select is None else facts.num_select
    assert asked is not None, "what is not asked for by examples was counted"
    return asked


@record
class StartFacts:
    """The weights that ``family`` starts from: what made them, and the training FLOPs of that where they are known."""

    family: str
    identity: str
    train_flops: float | None = None
