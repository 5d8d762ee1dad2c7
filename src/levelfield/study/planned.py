"""What a plan consists of: candidates and what a budget buys them, cells, winners, locks, and what is wanted."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Set
from typing import Literal, TypeAlias

from levelfield.records.codec import later, record
from levelfield.records.fingerprint import fingerprint
from levelfield.records.observation import Role
from levelfield.records.probe import ProbeSpec
from levelfield.records.reason import Reason
from levelfield.records.study import AxisValue
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.scaling.results.intervals import Interval


@record
class Candidate:
    """A size of a family with its searched values; ``axes`` holds only those that differ from the default."""

    architecture: str
    base_lr: float
    axes: tuple[tuple[str, AxisValue], ...] = ()

    def moved(self, axis: str, value: AxisValue | None) -> Candidate:
        """The candidate with ``axis`` at ``value``; None takes it back to the default."""
        rest = tuple(pair for pair in self.axes if pair[0] != axis)
        return dataclasses.replace(self, axes=rest if value is None else tuple(sorted((*rest, (axis, value)))))

    @property
    def variant(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.axes)


@record
class Affordable:
    """What a budget buys a candidate; ``refusal`` says why the protocol does not allow it, and is None otherwise.

    ``statistics_flops`` is what estimating the statistics of BatchNorm takes of the budget.
    """

    architecture: str
    params: int
    flops_per_example: float
    global_batch_size: int
    steps: int
    epochs: float
    refusal: Reason | None = None
    statistics_flops: float = later(default=0.0)


@record
class Cell:
    """One size at one budget; a refused cell says why."""

    family: str
    architecture: str
    budget_flops: float
    affordable: Affordable


@record
class TunedCell:
    """The learning-rate search in one cell: settled, or waiting."""

    family: str
    architecture: str
    budget_flops: float
    rule: str
    status: str
    base_lr: float | None


@record
class RungWinner:
    """The best-tuned candidate of a family at one budget; ``edges`` names the axes whose optimum is only a bound."""

    family: str
    budget_flops: float
    candidate: Candidate
    affordable: Affordable
    select_loss: float
    edges: tuple[str, ...]


@record
class PlannedTrial:
    """A trial and why it is wanted. The learning-rate status of its cell is in :class:`TunedCell`."""

    spec: TrialSpec
    role: Role
    family: str
    budget_flops: float
    base_lr: float
    variant: str = ""


TransferRole: TypeAlias = Literal["finetune-search", "finetune", "scratch-search", "scratch", "ranked", "probe"]


@record
class PlannedTransfer:
    """A trial on the target, or a probe, and why it is wanted.

    ``budget_flops`` is the rung of pre-training that it belongs to. ``finetune`` and ``scratch`` are judged on the
    report split by fresh seeds; ``ranked`` fine-tunes backbones of the search, on the frontier and off it, so that
    their ranks can be compared. ``pretraining`` is the trial that it starts from. ``edges`` names the searched axes
    whose optimum is only a bound.
    """

    spec: TrialSpec | ProbeSpec
    role: TransferRole
    transfer: str
    family: str
    budget_flops: float
    pretraining: str | None = None
    base_lr: float | None = None
    spend: float | None = None
    edges: tuple[str, ...] = ()


@record
class RefusedTransfer:
    """An arm that cannot be run at a rung, and why."""

    transfer: str
    family: str
    budget_flops: float
    arm: Reason
    reason: Reason


@record
class Plan:
    """Everything wanted so far. A study is complete when no wanted trial is without a result.

    ``to_lock`` are the rungs whose prediction can be written down now: they run only once that is done. ``transfers``
    are wanted of every rung as soon as it is won.
    """

    cells: tuple[Cell, ...]
    trials: tuple[PlannedTrial, ...]
    tuned: tuple[TunedCell, ...]
    winners: tuple[RungWinner, ...]
    to_lock: tuple[float, ...] = ()
    transfers: tuple[PlannedTransfer, ...] = ()
    refused_transfers: tuple[RefusedTransfer, ...] = ()

    @functools.cached_property
    def wanted(self) -> Mapping[str, PlannedTrial | PlannedTransfer]:
        """Trials, transfers and probes by fingerprint, each once."""
        return {planned.spec.fingerprint: planned for planned in (*self.trials, *self.transfers)}

    @functools.cached_property
    def _rungs(self) -> Mapping[tuple[str, float], tuple[Cell, ...]]:
        rungs: dict[tuple[str, float], list[Cell]] = {}
        for cell in self.cells:
            rungs.setdefault((cell.family, cell.budget_flops), []).append(cell)
        return {rung: tuple(cells) for rung, cells in rungs.items()}

    def cells_of(self, family: str, budget: float) -> tuple[Cell, ...]:
        """The cells of one rung."""
        return self._rungs.get((family, budget), ())

    @property
    def num_wanted(self) -> int:
        return len(self.wanted)

    def waiting(self, results: Set[str], probed: Set[str] = frozenset()) -> set[str]:
        """The fingerprints of what is wanted and has none of the ``results``; ``probed`` are finished probes."""
        return self.wanted.keys() - results - probed

    def pending(
        self, results: Mapping[str, TrialResult], probed: Iterable[str] = frozenset()
    ) -> tuple[PlannedTrial | PlannedTransfer, ...]:
        """What is wanted and has no result, dearest first: that holds up the most. ``probed`` are finished probes."""
        waiting = (self.wanted[key] for key in self.waiting(results.keys(), frozenset(probed)))
        return tuple(sorted(waiting, key=dearest_first))


def dearest_first(planned: PlannedTrial | PlannedTransfer) -> tuple[float, str]:
    """What wanted trials are ordered by, the dearest in front."""
    return -planned.budget_flops, planned.spec.name


@record
class LockedRecipe:
    """What was predicted for one family: the declared size and rate nearest to the optimum, and the loss they reach.

    ``axes`` are the other searched values, taken over from the winner of the top searched rung; ``notes`` tell how the
    prediction was found.
    """

    family: str
    architecture: str
    base_lr: float
    axes: dict[str, AxisValue]
    loss: Interval
    notes: tuple[Reason, ...]


@record
class Lock:
    """A prediction as it was written down: from which results on which ``data``, when (UTC), and by which version.

    ``refused`` says, by family, why nothing could be predicted. ``runs`` are the trials that it was made from, and
    ``results`` is the fingerprint of their losses; ``fingerprint`` names everything else in the record.
    """

    budget_flops: float
    recipes: tuple[LockedRecipe, ...]
    refused: dict[str, Reason] = dataclasses.field(default_factory=dict)
    runs: tuple[str, ...]
    results: str
    data: str | None = later(default=None)
    written: str
    code_version: str
    fingerprint: str = ""

    def sealed(self) -> Lock:
        return dataclasses.replace(self, fingerprint=fingerprint("lock", dataclasses.replace(self, fingerprint="")))
