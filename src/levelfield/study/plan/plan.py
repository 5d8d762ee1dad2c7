"""The plan: which trials a study wants, as a pure function of its spec and the results that exist.

There is no scheduler state to lose. Every decision waits for all the losses it depends on, so the set of trials at the
end does not depend on the order in which they finished: running the same command again is resume.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Set
from typing import TypeVar

from levelfield.families.registry import list_families
from levelfield.records.allowed import CellRefused, NoCellAllowed
from levelfield.records.errors import RefusedError, SpecError
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.records.transfer import TransferSpec
from levelfield.records.trial import TrialResult
from levelfield.study.facts import DataFacts
from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.declared import refuse_meaningless
from levelfield.study.plan.locked import want_locked
from levelfield.study.plan.offered import offered_by
from levelfield.study.plan.outward import walk_rung
from levelfield.study.plan.parts import Lookup, PlanParts
from levelfield.study.plan.rung import PlannedRung, RungSearch, guessed_rate, middle
from levelfield.study.plan.swap import swapped
from levelfield.study.plan.transfers import TransferWants, refuse_meaningless_transfer
from levelfield.study.plan.wants import Wants, fresh_seeds, relabelled
from levelfield.study.planned import (
    Candidate,
    Cell,
    Lock,
    Plan,
    PlannedTransfer,
    PlannedTrial,
    RungWinner,
    dearest_first,
)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def plan(
    spec: StudySpec, facts: DataFacts, results: Mapping[str, TrialResult], locks: Mapping[float, Lock] | None = None
) -> Plan:
    """The trials that ``spec`` wants, given ``results`` by trial fingerprint and ``locks`` by budget.

    Raises:
        SpecError: an architecture, axis or recipe of the spec cannot be meant.
    """
    return Planner(spec, facts, results, locks).plan()


def refuse_if_nothing_is_allowed(planned: Plan) -> None:
    """Refuse a study with no trial to run.

    Raises:
        RefusedError: the protocol allows no cell of any searched rung; some are named with the reason.
    """
    if not planned.trials:
        refused = [
            CellRefused(architecture=cell.architecture, budget_flops=cell.budget_flops, why=why)
            for cell in planned.cells
            if (why := cell.affordable.refusal) is not None
        ]
        raise RefusedError(NoCellAllowed(cells=tuple(dict.fromkeys((*refused[:2], *refused[-1:])))))


class Planner:
    """The plan of a study that is being run: always what :func:`plan` gives of the results that it was told.

    A new result costs what depends on it, however many trials the study has.

    Raises:
        SpecError: an architecture, axis or recipe of the spec cannot be meant.
    """

    def __init__(
        self,
        spec: StudySpec,
        facts: DataFacts,
        results: Mapping[str, TrialResult],
        locks: Mapping[float, Lock] | None = None,
        *,
        probed: Set[str] = frozenset(),
    ) -> None:
        self._spec = spec
        self._facts = facts
        self._locks = dict(locks or {})
        self._families = [_Family(spec, facts, entry) for entry in spec.families]
        self._competitors = {family.competitor.name: family.competitor for family in self._families}
        for transfer in spec.transfer:
            refuse_meaningless_transfer(spec, transfer, facts)
        self._parts = PlanParts(results, probed)
        self._plan_parts()

    @property
    def results(self) -> Mapping[str, TrialResult]:
        """What it was told, by trial fingerprint."""
        return self._parts.results

    @property
    def num_wanted(self) -> int:
        """Trials, transfers and probes that are wanted so far, each counted once."""
        return self._parts.num_wanted

    @property
    def num_waiting(self) -> int:
        """Those of them that are not done."""
        return len(self._parts.waiting)

    @property
    def to_lock(self) -> tuple[float, ...]:
        """The rungs whose prediction can be written down now."""
        searched = any(rung.winner is not None for rung in self._rungs) and not any(
            fingerprint in rung.wanted for fingerprint in self._parts.waiting for rung in self._rungs
        )
        return tuple(budget for budget in self._spec.ladder.locked if searched and budget not in self._locks)

    def learn(self, fingerprint: str, result: TrialResult | None) -> None:
        """Plan on with the ``result`` of a trial; a probe is done without one."""
        self._parts.learn(fingerprint, result)
        self._plan_parts()

    def learn_all(self, results: Mapping[str, TrialResult]) -> None:
        """The same with several ``results`` at once: what waited for them is made anew only then."""
        for fingerprint, result in results.items():
            self._parts.learn(fingerprint, result)
        self._plan_parts()

    def lock(self, locks: Mapping[float, Lock]) -> None:
        """Plan on with predictions that have been written down."""
        self._locks |= locks
        self._plan_parts()

    def newly_wanted(self) -> tuple[PlannedTrial | PlannedTransfer, ...]:
        """What is wanted and not done, and was not when this was last asked: the dearest first."""
        new, self._parts.new = self._parts.new, []
        return tuple(sorted(new, key=dearest_first))

    def plan(self) -> Plan:
        """Everything wanted so far."""
        trials = _merged((part.wanted for part in (*self._rungs, *self._foretold)), relabelled)
        return Plan(
            cells=tuple(cell for family in self._families for cell in family.cells),
            trials=tuple(trials.values()),
            tuned=tuple(_merged((rung.tuned for rung in self._rungs), lambda known, new: True).values()),
            winners=tuple(rung.winner for rung in self._rungs if rung.winner is not None),
            to_lock=self.to_lock,
            transfers=tuple(_merged(part.transfers for part in self._transfers).values()),
            refused_transfers=tuple(refused for part in self._transfers for refused in part.refused),
        )

    def _plan_parts(self) -> None:
        self._rungs = [rung for family in self._families for rung in family.rungs(self._parts)]
        budgets = [budget for budget in self._spec.ladder.locked if budget in self._locks]
        self._foretold = [self._want_locked(self._locks[budget]) for budget in budgets]
        self._transfers = [*self._want_transfers()]

    def _want_locked(self, lock: Lock) -> Wants:
        def wanted(lookup: Lookup) -> Wants:
            wants = Wants(lookup)
            want_locked(wants, self._competitors, lock, fresh_seeds(self._spec))
            return wants

        return self._parts.part(("locked", lock.budget_flops), (lock,), wanted)

    def _want_transfers(self) -> Iterator[TransferWants]:
        """What each transfer wants of each rung that is won."""
        for transfer in self._spec.transfer:
            for rung in self._rungs:
                winner = rung.winner
                if winner is not None and (transfer.budgets is None or winner.budget_flops in transfer.budgets):
                    yield self._want_transfer(transfer, winner, rung)

    def _want_transfer(self, transfer: TransferSpec, winner: RungWinner, rung: PlannedRung) -> TransferWants:
        def wanted(lookup: Lookup) -> TransferWants:
            wants = TransferWants(self._spec, self._facts, lookup)
            competitor = self._competitors[winner.family]
            wants.want_rung(transfer, offered_by(competitor, winner, tuple(rung.tuned.values())))
            return wants

        return self._parts.part(("transfer", transfer.name, winner.family, winner.budget_flops), (rung,), wanted)


class _Family:
    """One family on the ladder: its cells, and its rungs as far as they are planned."""

    def __init__(self, spec: StudySpec, facts: DataFacts, entry: FamilyEntry) -> None:
        refuse_meaningless(spec, facts, entry)
        self.competitor = Competitor(spec, facts, entry)
        self._swapped = None if entry.swap is None else Competitor(spec, facts, swapped(entry))
        budgets = (*spec.ladder.budgets, *spec.ladder.locked)
        self.cells = tuple(cell for budget in budgets for cell in _cells(self.competitor, budget))
        self._listed: dict[float, list[Cell]] = {}
        self._allowed: dict[float, list[Cell]] = {}
        for cell in self.cells:
            self._listed.setdefault(cell.budget_flops, []).append(cell)
            if not cell.affordable.refusal and cell.budget_flops not in spec.ladder.locked:
                self._allowed.setdefault(cell.budget_flops, []).append(cell)

    def rungs(self, parts: PlanParts) -> list[PlannedRung]:
        """Every rung; first the anchors at both ends of the ladder, where every size is trained."""
        if not self._allowed:
            return []
        if self.competitor.spec.search.sizes == "outward":
            return self._walked(parts)
        ends = dict.fromkeys((min(self._allowed), max(self._allowed)))
        anchors = {budget: self._anchor(parts, budget) for budget in ends}
        bests = {budget: None if own.anchor is None else own.anchor.best for budget, own in anchors.items()}
        rungs = [
            self._rung(parts, budget, anchors.get(budget), guessed_rate(budget, bests)) for budget in self._allowed
        ]
        return [*anchors.values(), *rungs]

    def _walked(self, parts: PlanParts) -> list[PlannedRung]:
        """The rungs from below, each from where the last one that was won points to; only as far as that is known."""
        rungs: list[PlannedRung] = []
        below: RungWinner | None = None
        for budget in sorted(self._allowed):
            rung = self._walk(parts, budget, below)
            rungs.append(rung)
            if not rung.searched:
                break
            below = rung.winner or below
        return rungs

    def _walk(self, parts: PlanParts, budget: float, below: RungWinner | None) -> PlannedRung:
        def searched(lookup: Lookup) -> PlannedRung:
            search = RungSearch(Wants(lookup), self.competitor, budget, self._swapped)
            return walk_rung(search, self._listed[budget], self._allowed[budget], below)

        return parts.part(("rung", self.competitor.name, budget), (below,), searched)

    def _anchor(self, parts: PlanParts, budget: float) -> PlannedRung:
        def searched(lookup: Lookup) -> PlannedRung:
            search = RungSearch(Wants(lookup), self.competitor, budget, self._swapped)
            return search.search_anchor(middle(self._allowed[budget]))

        return parts.part(("anchor", self.competitor.name, budget), (), searched)

    def _rung(self, parts: PlanParts, budget: float, anchor: PlannedRung | None, guessed: int | None) -> PlannedRung:
        def searched(lookup: Lookup) -> PlannedRung:
            wants = Wants(lookup, before=anchor and anchor.wanted)
            search = RungSearch(wants, self.competitor, budget, self._swapped)
            return search.search_cells(self._listed[budget], self._allowed[budget], anchor, guessed)

        return parts.part(("rung", self.competitor.name, budget), (anchor, guessed), searched)


def _merged(parts: Iterable[Mapping[K, V]], renewed: Callable[[V, V], bool] = lambda known, new: False) -> dict[K, V]:
    """All ``parts`` in their order, each key once: what was there first stays, unless a later part has it renewed.

    Two families may be the same networks by two names.
    """
    found: dict[K, V] = {}
    for part in parts:
        for key, each in part.items():
            if key not in found or renewed(found[key], each):
                found[key] = each
    return found


def _cells(competitor: Competitor, budget: float) -> list[Cell]:
    """Every size at ``budget``, with what the protocol says of it."""
    cells, entry = [], competitor.entry
    for architecture in entry.sizes:
        affordable = competitor.afford(Candidate(architecture=architecture, base_lr=1.0), budget)
        if not _belongs(affordable.architecture, entry):
            raise SpecError(f"size {architecture!r} is not of family {entry.name!r}")
        cells.append(Cell(family=entry.name, architecture=architecture, budget_flops=budget, affordable=affordable))
    params = [cell.affordable.params for cell in cells]
    if params != sorted(set(params)):
        raise SpecError(f"sizes of {entry.name!r} must be listed in rising number of parameters, saw {params}")
    return cells


def _belongs(architecture: str, entry: FamilyEntry) -> bool:
    """A competitor that is called like a family is of it; one of another name is of the family of its first size."""
    named = entry.name in {family.name for family in list_families()}
    own = entry.name if named else entry.sizes[0].partition(":")[0].strip()
    return architecture.partition(":")[0] == own
