"""What no outcome of a study can decide, told before it is paid for: a pure function of its spec and plan.

Each rule is asked of the code that will judge: the search says whether it can end between two worse neighbours, the
plan which sizes are edges, the comparison which verdicts a statement with such edges can get. What depends on losses
(noise, nearness to chance, runs that diverge) is not foretold: where nothing is said here, "cannot tell" may still come
out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from levelfield.records.allowed import (
    AlwaysAtEdge,
    CellRefused,
    EveryWinnerAtEdge,
    FewReportExamples,
    FewRungsForLaw,
    FewRungsPossible,
    FewWideRungs,
    MoreRefused,
    NoneAt,
    NoSizeThere,
    OneSided,
    OnlyFamily,
    OpenQuestion,
    Undecidable,
)
from levelfield.records.codec import record
from levelfield.records.data import num_folds
from levelfield.records.reason import Reason
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.scaling.fitting.fit import MIN_BUDGETS
from levelfield.scaling.noise.uncertainty import MIN_EFFECTIVE_EXAMPLES
from levelfield.scaling.optimum.local import MIN_SIZES
from levelfield.scaling.results.verdicts import Verdict
from levelfield.scaling.verdicts.compare import attainable
from levelfield.scaling.verdicts.contrasts import Statement
from levelfield.study.facts import DataFacts
from levelfield.study.plan.candidate import default_value
from levelfield.study.plan.rung import checked_axes, closed_ends, size_edges
from levelfield.study.plan.search import can_bracket
from levelfield.study.planned import Cell, Plan

_FEWEST_RUNGS_BY_SECONDS = 2


@record
class _Rung:
    """What is certain of a family's winner at one budget before it is known."""

    family: str
    budget_flops: float
    cells: tuple[Cell, ...]
    edges: tuple[str, ...]


def undecidable(spec: StudySpec, facts: DataFacts, planned: Plan) -> tuple[Undecidable, ...]:
    """Every question of ``spec`` that no outcome can decide, given the cells of ``planned``."""
    rungs = {entry.name: _rungs(spec, entry, planned) for entry in spec.families}
    told = [*_refused(spec, planned), *_without_pairs(spec, facts)]
    for a, b in itertools.combinations(sorted(rungs), 2):
        told += _of_pair(rungs[a], rungs[b], spec.verdict.margin)
    for family, own in rungs.items():
        told += _of_laws(family, list(own.values()))
    return tuple(told)


def gives_no_verdict(found: Sequence[Undecidable], spec: StudySpec) -> bool:
    """Whether ``found`` leaves no verdict at all: of no pair, at no rung, in no currency."""
    if any(each.question == "verdict" and not each.families for each in found):
        return True
    open_questions = {("verdict", budget) for budget in spec.ladder.budgets} | {("verdict by device-seconds", None)}
    for pair in itertools.combinations(sorted(entry.name for entry in spec.families), 2):
        if open_questions - {(each.question, each.budget_flops) for each in found if each.families == pair}:
            return False
    return True


def _refused(spec: StudySpec, planned: Plan) -> Iterator[Undecidable]:
    """The rungs at which a family has no cell that the protocol allows."""
    for entry in spec.families:
        for budget in (*spec.ladder.budgets, *spec.ladder.locked):
            refusals: list[Reason] = [
                CellRefused(architecture=cell.architecture, why=why)
                for cell in planned.cells_of(entry.name, budget)
                if (why := cell.affordable.refusal) is not None
            ]
            if not _allowed(planned, entry.name, budget):
                if len(refusals) > 2:
                    refusals[1:-1] = [MoreRefused(num=len(refusals) - 2)]
                yield _cannot("cell", (entry.name,), budget, *refusals)


def _without_pairs(spec: StudySpec, facts: DataFacts) -> Iterator[Undecidable]:
    if len(spec.families) == 1:
        yield _cannot("verdict", (), None, OnlyFamily(family=spec.families[0].name))
    if facts.no_verdict_because:
        yield _cannot("verdict", (), None, facts.no_verdict_because)
    judged = None if facts.num_report is None else facts.num_report * num_folds(spec.data)
    if judged is not None and judged < MIN_EFFECTIVE_EXAMPLES:
        why = FewReportExamples(num=judged, needed=MIN_EFFECTIVE_EXAMPLES)
        yield _cannot("verdict", (), None, why)


def _of_pair(a: dict[float, _Rung], b: dict[float, _Rung], margin: float) -> Iterator[Undecidable]:
    pair = (next(iter(a.values())).family, next(iter(b.values())).family)
    open_rungs = 0
    for budget in a:
        verdicts, why = _open_to(a[budget], b[budget], margin)
        if not verdicts:
            yield _cannot("verdict", pair, budget, *why)
        elif "equivalent" not in verdicts:
            one_sided = OneSided(family=pair[0], verdicts=tuple(sorted(verdicts)), why=why)
            yield _cannot("one side", pair, budget, one_sided)
        open_rungs += bool(verdicts)
    if not open_rungs:
        yield _cannot("verdict over all rungs", pair, None, *(NoneAt(budget_flops=budget) for budget in a))
    usable = [[rung for rung in side.values() if rung.cells] for side in (a, b)]
    for side, own in zip(pair, usable, strict=True):
        if len(own) < _FEWEST_RUNGS_BY_SECONDS:
            why = FewRungsPossible(family=side, num=len(own), needed=_FEWEST_RUNGS_BY_SECONDS)
            yield _cannot("verdict by device-seconds", pair, None, why)
            return
    if all(rung.edges for own in usable for rung in own):
        yield _cannot("verdict by device-seconds", pair, None, EveryWinnerAtEdge())


def _open_to(a: _Rung, b: _Rung, margin: float) -> tuple[frozenset[Verdict], tuple[Reason, ...]]:
    """The verdicts that two winners can get by the rules that will judge them, and what rules out the others."""
    lacking = tuple(rung.family for rung in (a, b) if not rung.cells)
    if lacking:
        return frozenset(), (NoSizeThere(families=lacking),)
    nowhere = np.zeros(1)
    statement = Statement(
        a=a.family,
        b=b.family,
        place=a.budget_flops,
        weights=nowhere,
        seconds_weights=nowhere,
        a_edges=a.edges,
        b_edges=b.edges,
    )
    bounded = tuple(AlwaysAtEdge(family=rung.family, edges=rung.edges) for rung in (a, b) if rung.edges)
    return attainable(statement, margin), bounded


def _of_laws(family: str, rungs: Sequence[_Rung]) -> Iterator[Undecidable]:
    run = [rung for rung in rungs if rung.cells]
    if len(run) < MIN_BUDGETS:
        why = FewRungsForLaw(num=len(run), needed=MIN_BUDGETS)
        yield _cannot("law", (family,), None, why)
    wide = [rung for rung in run if len(rung.cells) >= MIN_SIZES]
    if len(wide) < MIN_BUDGETS:
        why = FewWideRungs(num=len(wide), sizes=MIN_SIZES, needed=MIN_BUDGETS)
        yield _cannot("optimal size", (family,), None, why)


def _rungs(spec: StudySpec, entry: FamilyEntry, planned: Plan) -> dict[float, _Rung]:
    allowed = {budget: _allowed(planned, entry.name, budget) for budget in spec.ladder.budgets}
    run = [budget for budget, cells in allowed.items() if cells]
    ends = {min(run), max(run)} if run else set()
    return {
        budget: _Rung(
            family=entry.name,
            budget_flops=budget,
            cells=tuple(cells),
            edges=_certain_edges(spec, entry, planned, budget, cells, at_end=budget in ends) if cells else (),
        )
        for budget, cells in allowed.items()
    }


def _certain_edges(
    spec: StudySpec, entry: FamilyEntry, planned: Plan, budget: float, cells: list[Cell], *, at_end: bool
) -> tuple[str, ...]:
    """The axes at whose edge the winner lies whichever cell wins and whatever the losses are."""
    grid, cap = entry.base_lr, spec.search.cap
    edges = []
    if spec.search.bracket_winners:
        found = any(can_bracket(len(grid.values), start, cap=cap) for start in range(len(grid.values)))
    else:
        found = at_end and can_bracket(len(grid.values), grid.start_index, cap=cap)
    if not found:
        edges.append("base_lr")
    listed = planned.cells_of(entry.name, budget)
    if size_edges(spec, listed, cells) == set(range(len(cells))):
        edges.append("size")
    for axis in checked_axes(spec, entry, budget):
        values = entry.axes[axis].values
        starts = {values.index(default_value(spec, entry, axis, cell.architecture)) for cell in cells}
        ends = closed_ends(entry.axes[axis])
        if not any(can_bracket(len(values), start, cap=cap, closed=ends) for start in starts):
            edges.append(axis)
    return tuple(edges)


def _allowed(planned: Plan, family: str, budget: float) -> list[Cell]:
    return [cell for cell in planned.cells_of(family, budget) if not cell.affordable.refusal]


def _cannot(question: OpenQuestion, families: tuple[str, ...], budget: float | None, *why: Reason) -> Undecidable:
    return Undecidable(question=question, families=families, budget_flops=budget, why=why)
