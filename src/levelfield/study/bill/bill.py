"""The bill before anything is spent: how many trials, expected and at most, and what they cost in FLOPs and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from levelfield.compute.analytic import count
from levelfield.records.codec import record
from levelfield.records.data import Split
from levelfield.records.reason import Reason
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.study.bill.calibrate import trial_of
from levelfield.study.bill.foretold import Speeds
from levelfield.study.facts import DataFacts
from levelfield.study.plan.outward import ROUNDS
from levelfield.study.plan.wants import search_seeds
from levelfield.study.planned import Cell, Plan, PlannedTrial


@record
class BillRow:
    """One family at one rung.

    Seconds are core- or device-seconds of all its trials, data and evaluation with them, absent uncalibrated: at most
    where every trial is of the dearest size and the search goes as far as it may, expected where optima lie about the
    declared starts (:mod:`levelfield.study.bill.supposed`).
    """

    family: str
    budget_flops: float
    sizes: tuple[str, ...]
    refused: tuple[tuple[str, Reason], ...]
    trials_expected: float
    trials_at_most: int
    train_flops: float
    evaluate_flops: float
    seconds_expected: float | None
    seconds_at_most: float | None


@record
class Bill:
    """What a study costs. ``first_seconds`` are what every worker takes once, absent uncalibrated."""

    rows: tuple[BillRow, ...]
    first_seconds: float | None = None

    @property
    def trials_expected(self) -> float:
        return sum(row.trials_expected for row in self.rows)

    @property
    def trials_at_most(self) -> int:
        return sum(row.trials_at_most for row in self.rows)

    @property
    def train_flops(self) -> float:
        return sum(row.train_flops for row in self.rows)

    @property
    def evaluate_flops(self) -> float:
        return sum(row.evaluate_flops for row in self.rows)

    def seconds_expected(self, *, workers: int = 1) -> float | None:
        """Core- or device-seconds of the whole study with so many ``workers``; absent uncalibrated."""
        return self._whole((row.seconds_expected for row in self.rows), workers)

    def seconds_at_most(self, *, workers: int = 1) -> float | None:
        """The same at most."""
        return self._whole((row.seconds_at_most for row in self.rows), workers)

    def _whole(self, rows: Iterable[float | None], workers: int) -> float | None:
        known = list(rows)
        if self.first_seconds is None or None in known:
            return None
        return sum(each for each in known if each is not None) + workers * self.first_seconds


def bill(
    spec: StudySpec,
    facts: DataFacts,
    planned: Plan,
    courses: Sequence[Sequence[PlannedTrial]] = (),
    speeds: Speeds | None = None,
) -> Bill:
    """What ``spec`` costs: at most by the cells of its plan, expected by its supposed ``courses``, in seconds by the
    ``speeds`` measured here."""
    held = facts.held(spec.data)
    by_rung: dict[tuple[str, float], list[PlannedTrial]] = {}
    for trial in (trial for course in courses for trial in course):
        by_rung.setdefault((trial.family, trial.budget_flops), []).append(trial)
    rows = [
        _row(
            spec, facts, entry, budget, planned.cells_of(entry.name, budget),
            by_rung.get((entry.name, budget), []), len(courses), held, speeds,
        )
        for entry in spec.families
        for budget in (*spec.ladder.budgets, *spec.ladder.locked)
    ]  # fmt: skip
    if speeds is None or not speeds.networks:
        return Bill(rows=tuple(rows))
    examples = [trial.spec.examples for course in courses for trial in course]
    first = speeds.first_seconds(train_examples=sum(examples), held_examples=sum(held.values()))
    return Bill(rows=tuple(rows), first_seconds=first)


def _row(
    spec: StudySpec,
    facts: DataFacts,
    entry: FamilyEntry,
    budget: float,
    cells: Sequence[Cell],
    expected: Sequence[PlannedTrial],
    num_courses: int,
    held: Mapping[Split, int],
    speeds: Speeds | None,
) -> BillRow:
    allowed = [cell for cell in cells if not cell.affordable.refusal]
    search, judged = _trials_at_most(spec, entry, budget, len(allowed)) if allowed else (0, 0)
    forward = max((_forward_flops(facts, cell) for cell in allowed), default=0.0)
    seconds_expected = seconds_at_most = None
    if speeds is not None:
        totals = (speeds.of(each.spec, held_examples=held[each.spec.held_out]).total for each in expected)
        seconds_expected = sum(totals) / max(1, num_courses)
        dearest = {split: _dearest(spec, facts, allowed, split, held[split], speeds) for split in held}
        seconds_at_most = search * dearest["select"] + judged * dearest["report"]
    return BillRow(
        family=entry.name,
        budget_flops=budget,
        sizes=tuple(cell.architecture for cell in allowed),
        refused=tuple((cell.architecture, cell.affordable.refusal) for cell in cells if cell.affordable.refusal),
        trials_expected=len(expected) / max(1, num_courses),
        trials_at_most=search + judged,
        train_flops=(search + judged) * budget,
        evaluate_flops=(search * held["select"] + judged * held["report"]) * forward,
        seconds_expected=seconds_expected,
        seconds_at_most=seconds_at_most,
    )


def _dearest(
    spec: StudySpec, facts: DataFacts, cells: Sequence[Cell], split: str, held_examples: int, speeds: Speeds
) -> float:
    """Seconds of the longest trial of any of ``cells`` that is judged on ``split``."""
    trials = (trial_of(spec, facts, cell, held_out=split) for cell in cells)
    return max((speeds.of(trial, held_examples=held_examples).total for trial in trials), default=0.0)


def _trials_at_most(spec: StudySpec, entry: FamilyEntry, budget: float, num_cells: int) -> tuple[int, int]:
    """Searching trials, and judged ones (fresh seeds, control and swap), at one rung; a locked rung is not searched."""
    if budget in spec.ladder.locked:
        return 0, spec.verdict.seeds
    cap, grid = spec.search.cap, len(entry.base_lr.values)
    axes = 0
    if spec.search.check_budgets is None or budget in spec.search.check_budgets:
        axes = sum(min(cap, len(axis.values)) - 1 for axis in entry.axes.values())
    # Two trials a cell, one cell (an anchor, or else the winner) searched until bracketed, at the ends perhaps both.
    search = 2 * num_cells + 2 * (min(cap, grid) - 1) + axes
    if spec.search.sizes == "outward":
        # A walk that its cap ended may ask for one value more, to foresee what lies beyond.
        axes += len(entry.axes) if axes else 0
        search = 1 + ROUNDS * (min(cap + 1, grid) - 1 + min(cap + 1, num_cells) - 1 + axes)
    if budget in spec.search.audit_budgets:
        search += grid
    search *= len(search_seeds(spec, budget))
    judged = spec.verdict.seeds * (2 if budget == spec.control_budget else 1)
    if budget == spec.verdict.swap_budget and entry.swap is not None:
        search += min(cap, len(entry.swap.base_lr.values))
        judged += spec.verdict.seeds
    return search, judged


def _forward_flops(facts: DataFacts, cell: Cell) -> float:
    return count(
        cell.architecture,
        resolution=facts.resolution,
        head=facts.head,
        in_channels=facts.in_channels,
    ).forward_flops
