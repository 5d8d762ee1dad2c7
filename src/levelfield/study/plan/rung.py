"""One rung of one family: its cells searched, its winner found and judged, as far as the losses known allow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from levelfield.records.study import AxisSpec, FamilyEntry, StudySpec
from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.declared import choices_along
from levelfield.study.plan.search import Ends, LineSearch, search_two, search_until_bracketed
from levelfield.study.plan.swap import want_swap
from levelfield.study.plan.wants import Wants, fresh_seeds
from levelfield.study.planned import Candidate, Cell, PlannedTrial, RungWinner, TunedCell

# The seeds of the A/A control are kept clear of those of the winners, which follow the search's.
_CONTROL_SEED = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedRung:
    """What a rung wants, by fingerprint, the searches of its cells, by cell, and its winner once it is known.

    ``anchor`` is the search of the middle cell where that was searched alone, to guide the others. ``searched`` says
    that no loss of the search is awaited.
    """

    wanted: Mapping[str, PlannedTrial]
    tuned: Mapping[tuple[str, str, float], TunedCell]
    winner: RungWinner | None = None
    anchor: LineSearch | None = None
    searched: bool = True


def middle(cells: Sequence[Cell]) -> Cell:
    return cells[len(cells) // 2]


def size_edges(spec: StudySpec, listed: Sequence[Cell], cells: Sequence[Cell]) -> set[int]:
    """Places in ``cells``, the allowed of those ``listed``, that are a bound if they win where all of them are tried.

    Those are the ends, where nobody looked beyond (:func:`open_beyond`).
    """
    if not cells:
        return set()
    ends = ((0, -1), (len(cells) - 1, 1))
    return {place for place, side in ends if open_beyond(spec, listed, cells[place], side)}


def open_beyond(spec: StudySpec, listed: Sequence[Cell], end: Cell, side: int) -> bool:
    """Whether a size that could be run lies beyond the last allowed one on that ``side``, of those ``listed``.

    None is declared there, or one that ``max_steps`` leaves out. One that the protocol refuses nobody could run.
    """
    beside = listed.index(end) + side
    most = spec.ladder.max_steps
    return not 0 <= beside < len(listed) or (most is not None and listed[beside].affordable.steps > most)


def checked_axes(spec: StudySpec, entry: FamilyEntry, budget: float) -> list[str]:
    """The axes beside the learning rate that are searched at ``budget``.

    Length and augmentation are at every one: the longer a run, the sooner few images are worn out.
    """
    checked = spec.search.check_budgets
    here = checked is None or budget in checked
    return [name for name, axis in entry.axes.items() if here or axis.section in ("length", "data")]


def closed_ends(axis: AxisSpec) -> Ends:
    """Where ``axis`` ends because there is no more: no run is longer than its budget, nothing gentler than "none"."""
    return Ends(low=axis.values[0] == "none", high=axis.section == "length")


def guessed_rate(budget: float, anchors: Mapping[float, int | None]) -> int | None:
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


class RungSearch:
    """Searches the cells of ``competitor`` at one budget for the winner; ``swapped`` is its optimiser swap, if any."""

    def __init__(self, wants: Wants, competitor: Competitor, budget: float, swapped: Competitor | None) -> None:
        self.wants = wants
        self.competitor = competitor
        self.entry, self.spec = competitor.entry, competitor.spec
        self.budget = budget
        self.swapped = swapped
        self.tuned: dict[tuple[str, str, float], TunedCell] = {}

    def search_anchor(self, cell: Cell) -> PlannedRung:
        """The search of ``cell`` alone, which guides the others."""
        search = self._search_lr(cell, rule="anchor", start=self.entry.base_lr.start_index)
        return PlannedRung(wanted=self.wants.wanted, tuned=self.tuned, anchor=search)

    def search_cells(
        self, listed: Sequence[Cell], cells: Sequence[Cell], anchor: PlannedRung | None, guessed: int | None
    ) -> PlannedRung:
        """Everything that the rung wants, of whose ``listed`` sizes the protocol allows ``cells``.

        The middle one was searched where there is an ``anchor``; ``guessed`` is the grid index to try first in others.
        """
        if anchor is not None:
            self.tuned.update(anchor.tuned)
        alone = middle(cells) if anchor is not None else None
        searches = [
            anchor.anchor if anchor is not None and anchor.anchor is not None and cell is alone
            else self._search_guided(cell, guessed)
            for cell in cells
        ]  # fmt: skip
        if self.budget in self.spec.search.audit_budgets:
            self.audit(middle(cells))
        winner = self._winner(listed, cells, searches)
        if winner is not None:
            self.want_judged(winner)
        return PlannedRung(wanted=self.wants.wanted, tuned=self.tuned, winner=winner)

    def _search_lr(self, cell: Cell, *, rule: str, start: int) -> LineSearch:
        grid = self.entry.base_lr.values
        search = search_until_bracketed(
            len(grid),
            start,
            lambda index: self.loss(Candidate(architecture=cell.architecture, base_lr=grid[index])),
            cap=self.spec.search.cap,
        )
        return self.note(cell, rule, search)

    def _search_guided(self, cell: Cell, guessed: int | None) -> LineSearch:
        if guessed is None:
            return self.note(cell, "two trials", LineSearch(best=None, status="waiting"))
        grid = self.entry.base_lr.values
        search = search_two(
            guessed,
            lambda index: self.loss(Candidate(architecture=cell.architecture, base_lr=grid[index])),
        )
        return self.note(cell, "two trials", search)

    def audit(self, cell: Cell) -> None:
        """Want the whole grid, to test the rule; its losses choose nothing."""
        for base_lr in self.entry.base_lr.values:
            candidate = Candidate(architecture=cell.architecture, base_lr=base_lr)
            self.wants.select_loss(self.competitor, candidate, self.budget, role="audit")

    def _winner(
        self, listed: Sequence[Cell], cells: Sequence[Cell], searches: Sequence[LineSearch]
    ) -> RungWinner | None:
        """The best candidate of a rung, bracketed along every declared axis; None while anything is awaited."""
        if any(search.best is None for search in searches):
            return None
        grid = self.entry.base_lr.values
        tuned = [
            (Candidate(architecture=cell.architecture, base_lr=grid[search.best or 0]), cell)
            for cell, search in zip(cells, searches, strict=True)
        ]
        losses = [self.loss(candidate) for candidate, _ in tuned]
        place = min(range(len(tuned)), key=lambda i: (losses[i], i))
        candidate, cell = tuned[place]
        search = searches[place]
        if self.spec.search.bracket_winners and search.status != "bracketed":
            search = self._search_lr(cell, rule="winner", start=search.best or 0)
            if search.best is None:
                return None
            candidate = dataclasses.replace(candidate, base_lr=grid[search.best])
        edges = [] if search.status == "bracketed" else ["base_lr"]
        if place in size_edges(self.spec, listed, cells):
            edges.append("size")
        for axis in checked_axes(self.spec, self.entry, self.budget):
            moved = self._search_axis(candidate, axis)
            if moved is None:
                return None
            candidate, status = moved
            if status != "bracketed":
                edges.append(axis)
        loss = self.loss(candidate)
        if loss is None or not math.isfinite(loss):
            return None
        return RungWinner(
            family=self.entry.name,
            budget_flops=self.budget,
            candidate=candidate,
            affordable=self.competitor.afford(candidate, self.budget),
            select_loss=loss,
            edges=tuple(edges),
        )

    def choices(self, candidate: Candidate, axis: str) -> list[Candidate]:
        """``candidate`` at every value of ``axis``, itself among them."""
        return [moved for _, moved in choices_along(self.spec, self.entry, candidate, axis)]

    def _search_axis(self, candidate: Candidate, axis: str) -> tuple[Candidate, str] | None:
        choices = self.choices(candidate, axis)
        search = search_until_bracketed(
            len(choices),
            choices.index(candidate),
            lambda index: self.loss(choices[index]),
            cap=self.spec.search.cap,
            closed=closed_ends(self.entry.axes[axis]),
        )
        return None if search.best is None else (choices[search.best], search.status)

    def want_judged(self, winner: RungWinner) -> None:
        """Want the winner on fresh seeds, and what controls it at this rung."""
        candidate, seeds = winner.candidate, fresh_seeds(self.spec)
        self.wants.judge(self.competitor, candidate, self.budget, seeds, role="winner")
        if self.budget == self.spec.control_budget:
            apart = [_CONTROL_SEED + seed for seed in seeds]
            self.wants.judge(self.competitor, candidate, self.budget, apart, role="control")
        if self.budget == self.spec.verdict.swap_budget and self.swapped is not None:
            want_swap(self.wants, self.swapped, candidate, self.budget)

    def loss(self, candidate: Candidate) -> float | None:
        """The select loss of ``candidate``: None while awaited, infinite where it has none."""
        return self.wants.select_loss(self.competitor, candidate, self.budget)

    def note(self, cell: Cell, rule: str, search: LineSearch) -> LineSearch:
        """Keep how the rate of ``cell`` was searched."""
        grid = self.entry.base_lr.values
        self.tuned[self.entry.name, cell.architecture, self.budget] = TunedCell(
            family=self.entry.name,
            architecture=cell.architecture,
            budget_flops=self.budget,
            rule=rule,
            status=search.status,
            base_lr=None if search.best is None else grid[search.best],
        )
        return search
