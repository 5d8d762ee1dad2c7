"""The plan: which trials a study wants, as a pure function of its spec and the results that exist.

There is no scheduler state to lose. Every decision waits for all the losses it depends on, so the set of trials at the
end does not depend on the order in which they finished: running the same command again is resume.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from levelfield.families.registry import list_families
from levelfield.records.allowed import CellRefused, NoCellAllowed
from levelfield.records.errors import RefusedError, SpecError
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.records.trial import TrialResult
from levelfield.study.facts import DataFacts
from levelfield.study.plan.declared import choices_along, refuse_meaningless
from levelfield.study.plan.locked import want_locked
from levelfield.study.plan.search import LineSearch, search_two, search_until_bracketed
from levelfield.study.plan.swap import want_swap
from levelfield.study.plan.transfers import plan_transfers
from levelfield.study.plan.wants import Wants
from levelfield.study.planned import (
    Candidate,
    Cell,
    Lock,
    Plan,
    RungWinner,
    TunedCell,
)

# The seeds of the A/A control are kept clear of those of the winners, which follow the search's.
_CONTROL_SEED = 1000


def plan(
    spec: StudySpec, facts: DataFacts, results: Mapping[str, TrialResult], locks: Mapping[float, Lock] | None = None
) -> Plan:
    """The trials that ``spec`` wants, given ``results`` by trial fingerprint and ``locks`` by budget.

    Raises:
        SpecError: an architecture, axis or recipe of the spec cannot be meant.
    """
    locks = locks or {}
    wants = Wants(spec, facts, results)
    planner = _Planner(wants)
    for entry in spec.families:
        planner.plan_family(entry)
    searched = wants.fulfilled and len(planner.winners) > 0
    for budget in spec.ladder.locked:
        if budget in locks:
            want_locked(wants, locks[budget])
    transfers = plan_transfers(spec, facts, results, planner.winners, tuple(planner.tuned.values()))
    return Plan(
        cells=tuple(planner.cells),
        trials=tuple(wants.trials.values()),
        tuned=tuple(planner.tuned.values()),
        winners=tuple(planner.winners),
        to_lock=tuple(budget for budget in spec.ladder.locked if searched and budget not in locks),
        transfers=tuple(transfers.wanted.values()),
        refused_transfers=tuple(transfers.refused),
    )


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


def size_edges(spec: StudySpec, listed: Sequence[Cell], cells: Sequence[Cell]) -> set[int]:
    """Places in ``cells``, the allowed of those ``listed``, beyond which nobody looked: no size is declared there, or
    one left out by ``max_steps``. A neighbour that the protocol refuses is no edge: nobody could run it.
    """
    most = spec.ladder.max_steps
    left_out = [most is not None and cell.affordable.steps > most for cell in listed]
    edges = set()
    for place, cell in enumerate(cells):
        where = listed.index(cell)
        if any(not 0 <= i < len(listed) or left_out[i] for i in (where - 1, where + 1)):
            edges.add(place)
    return edges


def checked_axes(spec: StudySpec, entry: FamilyEntry, budget: float) -> list[str]:
    """The axes beside the learning rate that are searched at ``budget``."""
    checked = spec.search.check_budgets
    return list(entry.axes) if checked is None or budget in checked else []


class _Planner:
    """Searches the cells of every family for the winners of its rungs."""

    def __init__(self, wants: Wants) -> None:
        self.spec = wants.spec
        self.wants = wants
        self.cells: list[Cell] = []
        self.tuned: dict[tuple[str, str, float], TunedCell] = {}
        self.winners: list[RungWinner] = []

    def plan_family(self, entry: FamilyEntry) -> None:
        refuse_meaningless(self.spec, self.wants.facts, entry)
        rungs = {budget: self._cells(entry, budget) for budget in self.spec.ladder.budgets}
        for budget in self.spec.ladder.locked:
            self._cells(entry, budget)
        allowed = {budget: cells for budget, cells in rungs.items() if cells}
        if not allowed:
            return
        ends = (min(allowed), max(allowed))
        anchors = {budget: _middle(allowed[budget]) for budget in ends}
        anchored = {budget: self._search_anchor(entry, cell) for budget, cell in anchors.items()}
        for budget, cells in allowed.items():
            searches = [
                anchored[budget] if budget in anchors and cell is anchors[budget]
                else self._search_guided(entry, cell, anchored)
                for cell in cells
            ]  # fmt: skip
            if budget in self.spec.search.audit_budgets:
                self._audit(entry, _middle(cells))
            winner = self._rung_winner(entry, rungs[budget], cells, searches)
            if winner is not None:
                self.winners.append(winner)
                self._want_judged(entry, winner)

    def _cells(self, entry: FamilyEntry, budget: float) -> list[Cell]:
        """List every size at ``budget``; give back those that the protocol allows."""
        cells = []
        for architecture in entry.sizes:
            affordable = self.wants.afford(entry, Candidate(architecture=architecture, base_lr=1.0), budget)
            if not _belongs(affordable.architecture, entry):
                raise SpecError(f"size {architecture!r} is not of family {entry.name!r}")
            cells.append(Cell(family=entry.name, architecture=architecture, budget_flops=budget, affordable=affordable))
        params = [cell.affordable.params for cell in cells]
        if params != sorted(set(params)):
            raise SpecError(f"sizes of {entry.name!r} must be listed in rising number of parameters, saw {params}")
        self.cells.extend(cells)
        return [cell for cell in cells if not cell.affordable.refusal]

    def _search_anchor(self, entry: FamilyEntry, cell: Cell) -> LineSearch:
        return self._search_lr(entry, cell, rule="anchor", start=entry.base_lr.start_index)

    def _search_lr(self, entry: FamilyEntry, cell: Cell, *, rule: str, start: int) -> LineSearch:
        grid = entry.base_lr.values
        search = search_until_bracketed(
            len(grid),
            start,
            lambda index: self._loss(entry, Candidate(architecture=cell.architecture, base_lr=grid[index]), cell),
            cap=self.spec.search.cap,
        )
        return self._note(entry, cell, rule, search)

    def _search_guided(self, entry: FamilyEntry, cell: Cell, anchored: Mapping[float, LineSearch]) -> LineSearch:
        grid = entry.base_lr.values
        guess = _guess(cell.budget_flops, {budget: search.best for budget, search in anchored.items()})
        if guess is None:
            return self._note(entry, cell, "two trials", LineSearch(best=None, status="waiting"))
        search = search_two(
            guess,
            lambda index: self._loss(entry, Candidate(architecture=cell.architecture, base_lr=grid[index]), cell),
        )
        return self._note(entry, cell, "two trials", search)

    def _audit(self, entry: FamilyEntry, cell: Cell) -> None:
        """Want the whole grid, to test the rule; its losses choose nothing."""
        for base_lr in entry.base_lr.values:
            candidate = Candidate(architecture=cell.architecture, base_lr=base_lr)
            self.wants.select_loss(entry, candidate, cell.budget_flops, role="audit")

    def _rung_winner(
        self, entry: FamilyEntry, listed: list[Cell], cells: list[Cell], searches: list[LineSearch]
    ) -> RungWinner | None:
        """The best candidate of a rung, bracketed along every declared axis; None while anything is awaited."""
        if any(search.best is None for search in searches):
            return None
        grid = entry.base_lr.values
        tuned = [
            (Candidate(architecture=cell.architecture, base_lr=grid[search.best or 0]), cell)
            for cell, search in zip(cells, searches, strict=True)
        ]
        losses = [self._loss(entry, candidate, cell) for candidate, cell in tuned]
        place = min(range(len(tuned)), key=lambda i: (losses[i], i))
        candidate, cell = tuned[place]
        search = searches[place]
        if self.spec.search.bracket_winners and search.status != "bracketed":
            search = self._search_lr(entry, cell, rule="winner", start=search.best or 0)
            if search.best is None:
                return None
            candidate = dataclasses.replace(candidate, base_lr=grid[search.best])
        edges = [] if search.status == "bracketed" else ["base_lr"]
        if place in size_edges(self.spec, listed, cells):
            edges.append("size")
        for axis in checked_axes(self.spec, entry, cell.budget_flops):
            moved = self._search_axis(entry, cell, candidate, axis)
            if moved is None:
                return None
            candidate, status = moved
            if status != "bracketed":
                edges.append(axis)
        loss = self._loss(entry, candidate, cell)
        if loss is None or not math.isfinite(loss):
            return None
        return RungWinner(
            family=entry.name,
            budget_flops=cell.budget_flops,
            candidate=candidate,
            affordable=self.wants.afford(entry, candidate, cell.budget_flops),
            select_loss=loss,
            edges=tuple(edges),
        )

    def _search_axis(
        self, entry: FamilyEntry, cell: Cell, candidate: Candidate, axis: str
    ) -> tuple[Candidate, str] | None:
        choices = choices_along(entry, candidate, axis)
        search = search_until_bracketed(
            len(choices),
            [is_default for is_default, _ in choices].index(True),
            lambda index: self._loss(entry, choices[index][1], cell),
            cap=self.spec.search.cap,
        )
        return None if search.best is None else (choices[search.best][1], search.status)

    def _want_judged(self, entry: FamilyEntry, winner: RungWinner) -> None:
        """Want the winner on fresh seeds, and what controls it at this rung."""
        candidate, budget, seeds = winner.candidate, winner.budget_flops, self.wants.fresh_seeds
        self.wants.judge(entry, candidate, budget, seeds, role="winner")
        if budget == self.spec.control_budget:
            apart = [_CONTROL_SEED + seed for seed in seeds]
            self.wants.judge(entry, candidate, budget, apart, role="control")
        if budget == self.spec.verdict.swap_budget:
            want_swap(self.wants, entry, candidate, budget)

    def _loss(self, entry: FamilyEntry, candidate: Candidate, cell: Cell) -> float | None:
        return self.wants.select_loss(entry, candidate, cell.budget_flops)

    def _note(self, entry: FamilyEntry, cell: Cell, rule: str, search: LineSearch) -> LineSearch:
        grid = entry.base_lr.values
        self.tuned[entry.name, cell.architecture, cell.budget_flops] = TunedCell(
            family=entry.name,
            architecture=cell.architecture,
            budget_flops=cell.budget_flops,
            rule=rule,
            status=search.status,
            base_lr=None if search.best is None else grid[search.best],
        )
        return search


def _middle(cells: list[Cell]) -> Cell:
    return cells[len(cells) // 2]


def _guess(budget: float, anchors: Mapping[float, int | None]) -> int | None:
    """The grid index to try first at ``budget``: on the line through the anchors' optima, rounded up.

    Rounded up because the second trial is half of it: together they enclose the line.
    """
    low, high = min(anchors), max(anchors)
    low_best, high_best = anchors[low], anchors[high]
    if low_best is None or high_best is None:
        return None
    if low == high:
        return low_best
    share = (math.log(budget) - math.log(low)) / (math.log(high) - math.log(low))
    return math.ceil(low_best + share * (high_best - low_best) - 1e-9)


def _belongs(architecture: str, entry: FamilyEntry) -> bool:
    """A competitor that is called like a family is of it; one of another name is of the family of its first size."""
    named = entry.name in {family.name for family in list_families()}
    own = entry.name if named else entry.sizes[0].partition(":")[0].strip()
    return architecture.partition(":")[0] == own
