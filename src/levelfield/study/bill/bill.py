"""The bill before anything is spent: how many trials at most, and what they cost in FLOPs and in seconds here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from levelfield.compute.analytic import STATISTICS_EXAMPLES, count
from levelfield.records.codec import record
from levelfield.records.data import num_report_asked
from levelfield.records.reason import Reason
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.study.facts import DataFacts
from levelfield.study.planned import Cell, Plan


@record
class Speed:
    """Measured seconds an example of one architecture here: training, rendering, and evaluating."""

    step_seconds: float
    data_seconds: float
    evaluate_seconds: float


@record
class BillRow:
    """One family at one rung; ``seconds`` are core- or device-seconds of all its trials, absent uncalibrated."""

    family: str
    budget_flops: float
    sizes: tuple[str, ...]
    refused: tuple[tuple[str, Reason], ...]
    trials_at_most: int
    train_flops: float
    evaluate_flops: float
    seconds: float | None


@record
class Bill:
    """What a study costs at most; searches usually stop earlier."""

    rows: tuple[BillRow, ...]

    @property
    def trials_at_most(self) -> int:
        return sum(row.trials_at_most for row in self.rows)

    @property
    def train_flops(self) -> float:
        return sum(row.train_flops for row in self.rows)

    @property
    def evaluate_flops(self) -> float:
        return sum(row.evaluate_flops for row in self.rows)

    @property
    def seconds(self) -> float | None:
        """Device-seconds of the whole study; absent where any row was not calibrated."""
        known = [row.seconds for row in self.rows if row.seconds is not None]
        return sum(known) if len(known) == len(self.rows) else None


def bill(spec: StudySpec, facts: DataFacts, planned: Plan, speeds: Mapping[str, Speed]) -> Bill:
    """The most that ``spec`` can cost, from its plan's cells and the ``speeds`` measured here by architecture."""
    rows = []
    for entry in spec.families:
        for budget in (*spec.ladder.budgets, *spec.ladder.locked):
            cells = planned.cells_of(entry.name, budget)
            rows.append(_row(spec, facts, entry, budget, cells, speeds))
    return Bill(rows=tuple(rows))


def _row(
    spec: StudySpec,
    facts: DataFacts,
    entry: FamilyEntry,
    budget: float,
    cells: Sequence[Cell],
    speeds: Mapping[str, Speed],
) -> BillRow:
    allowed = [cell for cell in cells if not cell.affordable.refusal]
    search, judged = _trials_at_most(spec, entry, budget, len(allowed)) if allowed else (0, 0)
    forward = max((_forward_flops(facts, cell) for cell in allowed), default=0.0)
    select, report = spec.data.select_examples, facts.num_report or num_report_asked(spec.data)
    known = [(cell, speeds[cell.architecture]) for cell in allowed if cell.architecture in speeds]
    seconds = [_seconds(cell, speed, select, report) for cell, speed in known]
    dearest_search, dearest_judged = map(max, zip(*seconds, strict=True)) if seconds else (0.0, 0.0)
    return BillRow(
        family=entry.name,
        budget_flops=budget,
        sizes=tuple(cell.architecture for cell in allowed),
        refused=tuple((cell.architecture, cell.affordable.refusal) for cell in cells if cell.affordable.refusal),
        trials_at_most=search + judged,
        train_flops=(search + judged) * budget,
        evaluate_flops=(search * select + judged * report) * forward,
        seconds=search * dearest_search + judged * dearest_judged if len(seconds) == len(allowed) else None,
    )


def _trials_at_most(spec: StudySpec, entry: FamilyEntry, budget: float, num_cells: int) -> tuple[int, int]:
    """Searching trials, and judged ones (fresh seeds, control and swap), at one rung; a locked rung is not searched."""
    if budget in spec.ladder.locked:
        return 0, spec.verdict.seeds
    cap, grid = spec.search.cap, len(entry.base_lr.values)
    # Two trials a cell, one cell (an anchor, or else the winner) searched until bracketed, at the ends perhaps both.
    search = 2 * num_cells + 2 * (min(cap, grid) - 1)
    if spec.search.check_budgets is None or budget in spec.search.check_budgets:
        search += sum(min(cap, len(axis.values)) - 1 for axis in entry.axes.values())
    if budget in spec.search.audit_budgets:
        search += grid
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


def _seconds(cell: Cell, speed: Speed, select: int, report: int) -> tuple[float, float]:
    """Of a trial of the search, judged on ``select`` images, and of one that ``report`` images judge."""
    examples = cell.affordable.steps * cell.affordable.global_batch_size
    training = examples * (speed.step_seconds + speed.data_seconds)
    if cell.affordable.statistics_flops:
        training += STATISTICS_EXAMPLES * (speed.evaluate_seconds + speed.data_seconds)
    return training + select * speed.evaluate_seconds, training + report * speed.evaluate_seconds
