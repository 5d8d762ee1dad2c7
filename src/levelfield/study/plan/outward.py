"""Walking a rung outward: from where the rung below points to, until the winner has worse neighbours along every axis.

One rule for all families, blind to the difference between them: a family's own select losses say where it goes on.
Source: docs/decisions/0030-outward.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from levelfield.study.plan.rung import PlannedRung, RungSearch, checked_axes, closed_ends, middle, open_beyond
from levelfield.study.plan.search import OPEN, Ends, LineSearch, foreseen_gain, search_until_bracketed
from levelfield.study.planned import Candidate, Cell, RungWinner

ROUNDS = 4
"""Walks along all axes: where one of them moves, the others are asked again about it."""
ENOUGH = 0.25
"""Of the margin: where less is foreseen beyond the last trial, a winner that could not be enclosed is no bound."""
SIZE_EXPONENT = 0.5
"""Of the best size with compute, to start from. Source: arXiv 2203.15556, where it is 0.46 to 0.50."""


def walk_rung(rung: RungSearch, listed: Sequence[Cell], cells: Sequence[Cell], below: RungWinner | None) -> PlannedRung:
    """Everything that ``rung`` wants, of whose ``listed`` sizes the protocol allows ``cells``; ``below`` is the winner
    of the nearest lower rung that has one."""
    if rung.budget in rung.spec.search.audit_budgets:
        rung.audit(middle(cells))
    search = OutwardSearch(rung, listed, cells)
    winner = search.walk(below)
    if winner is not None:
        rung.want_judged(winner)
    return PlannedRung(wanted=rung.wants.wanted, tuned=rung.tuned, winner=winner, searched=not search.waits)


class OutwardSearch:
    """Walks ``rung``, of whose ``listed`` sizes the protocol allows ``cells``."""

    def __init__(self, rung: RungSearch, listed: Sequence[Cell], cells: Sequence[Cell]) -> None:
        self.rung = rung
        self.listed, self.cells = listed, cells
        self.rates = rung.entry.base_lr.values
        self.waits = False

    def walk(self, below: RungWinner | None) -> RungWinner | None:
        """The winner, walked to from the one ``below``; None while a loss is awaited, or where no trial has one."""
        best = self._start(below)
        axes = ("base_lr", "size", *checked_axes(self.rung.spec, self.rung.entry, self.rung.budget))
        walked_at: dict[str, Candidate] = {}
        is_open: dict[str, bool] = {}
        for axis in axes * ROUNDS:
            if walked_at.get(axis) == best:
                continue  # no other axis has moved since
            came = self._walk_along(axis, best)
            if came is None:
                return None
            best, is_open[axis] = came
            walked_at[axis] = best
        loss = self._loss(best)
        if loss is None or not math.isfinite(loss):
            return None
        return RungWinner(
            family=self.rung.entry.name,
            budget_flops=self.rung.budget,
            candidate=best,
            affordable=self.rung.competitor.afford(best, self.rung.budget),
            select_loss=loss,
            edges=tuple(axis for axis in axes if is_open[axis]),
        )

    def _start(self, below: RungWinner | None) -> Candidate:
        """The middle size at the declared rate; above a rung that is won its winner, grown with the budget."""
        entry = self.rung.entry
        if below is None:
            return Candidate(architecture=middle(self.cells).architecture, base_lr=entry.base_lr.start)
        won = next(cell for cell in self.listed if cell.architecture == below.candidate.architecture)
        grown = SIZE_EXPONENT * math.log(self.rung.budget / below.budget_flops)
        target = math.log(won.affordable.flops_per_example) + grown
        nearest = min(self.cells, key=lambda cell: abs(math.log(cell.affordable.flops_per_example) - target))
        return dataclasses.replace(below.candidate, architecture=nearest.architecture)

    def _walk_along(self, axis: str, best: Candidate) -> tuple[Candidate, bool] | None:
        """The best along ``axis``, and whether a better one may lie beyond what was tried; None while it is awaited."""
        if axis == "base_lr":
            return self._walk_rates(best)
        return self._walk_sizes(best) if axis == "size" else self._walk_axis(best, axis)

    def _walk_rates(self, best: Candidate) -> tuple[Candidate, bool] | None:
        def loss_at(index: int) -> float | None:
            return self._loss(dataclasses.replace(best, base_lr=self.rates[index]))

        search = self._walked(len(self.rates), self.rates.index(best.base_lr), loss_at)
        self.rung.note(self.cells[self._place(best)], "outward", search)
        if search.best is None:
            return None
        return dataclasses.replace(best, base_lr=self.rates[search.best]), search.status == "bound"

    def _walk_sizes(self, best: Candidate) -> tuple[Candidate, bool] | None:
        """Other sizes are tried at the rate of the best: where one wins its own is walked to in the next round."""

        def loss_at(place: int) -> float | None:
            return self._loss(self._at(best, place))

        search = self._walked(
            len(self.cells),
            self._place(best),
            loss_at,
            ends=lambda place, side: open_beyond(self.rung.spec, self.listed, self.cells[place], side),
        )
        return None if search.best is None else (self._at(best, search.best), search.status == "bound")

    def _walk_axis(self, best: Candidate, axis: str) -> tuple[Candidate, bool] | None:
        choices = self.rung.choices(best, axis)
        closed = closed_ends(self.rung.entry.axes[axis])
        search = self._walked(
            len(choices), choices.index(best), lambda index: self._loss(choices[index]), closed=closed
        )
        return None if search.best is None else (choices[search.best], search.status == "bound")

    def _walked(
        self,
        num: int,
        start: int,
        loss_at: Callable[[int], float | None],
        ends: Callable[[int, int], bool] = lambda place, side: True,
        closed: Ends = OPEN,
    ) -> LineSearch:
        """A walk along ``num`` values; one that a list or the cap ended is "settled" where little is foreseen beyond.

        ``ends`` says whether values lie beyond the end of the list on a side, which nobody declared.
        """
        losses: dict[int, float] = {}

        def noted(index: int) -> float | None:
            loss = loss_at(index)
            if loss is not None:
                losses[index] = loss
            return loss

        enough = ENOUGH * self.rung.spec.verdict.margin
        search = search_until_bracketed(num, start, noted, cap=self.rung.spec.search.cap, enough=enough, closed=closed)
        best = search.best
        if best is None or search.status != "bound":
            return search
        status = "settled"
        for side in (-1, 1):
            beside, second = best + side, best - 2 * side
            if beside in losses or not (0 <= beside < num or ends(best, side)):
                continue
            if 0 <= second < num and noted(second) is None:
                return LineSearch(best=None, status="waiting")
            foreseen = foreseen_gain([losses.get(second), losses.get(best - side), losses[best]])
            if foreseen > enough:
                status = "bound"
        return LineSearch(best=best, status=status)

    def _at(self, candidate: Candidate, place: int) -> Candidate:
        return dataclasses.replace(candidate, architecture=self.cells[place].architecture)

    def _place(self, candidate: Candidate) -> int:
        return next(i for i, cell in enumerate(self.cells) if cell.architecture == candidate.architecture)

    def _loss(self, candidate: Candidate) -> float | None:
        loss = self.rung.loss(candidate)
        self.waits |= loss is None
        return loss
