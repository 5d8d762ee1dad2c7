"""The A/A control: a family against itself on other seeds must never come out better or worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MIN_SEEDS
from levelfield.scaling.results.reasons.verdicts import (
    AnotherCell,
    FewSeedsOnOneSide,
    NoNoise,
    NothingTested,
    NoWinnerHere,
    RepeatsSeed,
)
from levelfield.scaling.results.verdicts import Control
from levelfield.scaling.tables.rungs import Rung
from levelfield.scaling.verdicts.compare import verdict_at
from levelfield.scaling.verdicts.contrasts import Band, Statement


def control_statement(control: Rung, winner: Rung | None, cells: Mapping[Rung, int], num_cells: int) -> Statement:
    """ln(loss of the control's seeds / loss of the winner's seeds) at one budget."""
    weights = np.zeros(num_cells)
    reasons: list[Reason] = []
    if winner is None:
        reasons.append(NoWinnerHere(family=control.family))
    else:
        weights[cells[control]], weights[cells[winner]] = 1.0, -1.0
        if _cell(control) != _cell(winner):
            reasons.append(AnotherCell(control=str(_cell(control)), winner=str(_cell(winner))))
        few = min(control.num_seeds, winner.num_seeds)
        if few < PROTOCOL_MIN_SEEDS:
            reasons.append(FewSeedsOnOneSide(num=few, needed=PROTOCOL_MIN_SEEDS))
        if {run.seed for run in control.runs} & {run.seed for run in winner.runs}:
            reasons.append(RepeatsSeed())
    return Statement(
        a="the control",
        b="the winner",
        place=control.budget_flops,
        weights=weights,
        seconds_weights=np.zeros(num_cells),
        undecidable=tuple(reasons),
    )


def control_record(control: Rung, statement: Statement, band: Band | None, margin: float) -> Control:
    """The control's verdict by the same rule, in the same simultaneous band, as the families' own."""
    if statement.undecidable or band is None:
        return Control(
            family=control.family,
            budget_flops=control.budget_flops,
            difference=None,
            verdict="cannot tell",
            passed=True,
            reasons=(NothingTested(why=statement.undecidable or (NoNoise(),)),),
        )
    judged = band.judge(statement)
    verdict, reasons = verdict_at(judged, margin)
    return Control(
        family=control.family,
        budget_flops=control.budget_flops,
        difference=judged.interval,
        verdict=verdict,
        passed=verdict in ("equivalent", "cannot tell"),
        reasons=reasons,
    )


def tested(statements: Sequence[Statement]) -> list[Statement]:
    return [statement for statement in statements if not statement.undecidable]


def _cell(rung: Rung) -> tuple[object, ...]:
    first = rung.first
    return first.model, first.variant, first.base_lr, first.global_batch_size
