"""What the protocol does not allow of a plan, and what no outcome of a study can decide, told before it is paid for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.reason import Coded, Reason

OpenQuestion: TypeAlias = Literal[
    "cell", "verdict", "one side", "verdict over all rungs", "verdict by device-seconds", "law", "optimal size"
]


@record
class TooFewSteps(Reason):
    """``steps`` of so many examples each, fewer than the ``least`` allowed."""

    steps: int
    batch: int
    least: int


@record
class TooManySteps(Reason):
    steps: int
    batch: int
    most: int


@record
class TooManyEpochs(Reason):
    epochs: float
    most: float


@record
class CellRefused(Reason):
    """A size that the protocol does not allow, at a budget where that is to be said."""

    architecture: str
    budget_flops: float | None = None
    why: Reason


@record
class MoreRefused(Reason):
    """Others that stand between the first and the last that are told."""

    num: int


@record
class NoCellAllowed(Reason):
    """The protocol allows no cell of a study; ``cells`` are some of them."""

    cells: tuple[Reason, ...]


@record
class OnlyFamily(Reason):
    family: str


@record
class FewReportExamples(Reason):
    num: int
    needed: int


@record
class NoSizeThere(Reason):
    """No size of ``families`` is allowed at a budget."""

    families: tuple[str, ...]


@record
class AlwaysAtEdge(Reason):
    """The winner of ``family`` lies at ``edges`` of its search whatever comes out."""

    family: str
    edges: tuple[str, ...]


@record
class OneSided(Reason):
    """Of ``family``'s verdicts nothing but ``verdicts`` can come out."""

    family: str
    verdicts: tuple[str, ...]
    why: tuple[Reason, ...]


@record
class NoneAt(Reason):
    """At a budget no verdict can be given."""

    budget_flops: float


@record
class FewRungsPossible(Reason):
    family: str
    num: int
    needed: int


@record
class EveryWinnerAtEdge(Reason):
    pass


@record
class FewRungsForLaw(Reason):
    num: int
    needed: int


@record
class FewWideRungs(Reason):
    """Rungs with at least ``sizes`` allowed sizes, of which the optimum's growth needs more."""

    num: int
    sizes: int
    needed: int


@record
class Undecidable(Coded):
    """A question of a study that stays open whatever comes out, and why; without a budget, of the study as a whole.

    "one side" is a verdict that can come out one way alone: ``why`` says which.
    """

    question: OpenQuestion
    families: tuple[str, ...]
    budget_flops: float | None
    why: tuple[Reason, ...]


@record
class ArmOf(Reason):
    """An arm of a transfer that trains ``architecture``; a ``spend`` is the share of its allowance that it may use."""

    arm: str
    architecture: str
    spend: float | None = None
