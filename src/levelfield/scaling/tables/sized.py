"""The cells of a family whose runs know their size and length, and the pool of distinct examples behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from levelfield.records.observation import Observation
from levelfield.scaling.fitting.fit import why_dropped
from levelfield.scaling.results.optima import SizedCell, SizedCells
from levelfield.scaling.tables.rows import having
from levelfield.scaling.tables.rungs import tuned_cells

_ONE_EPOCH = 1e-6


def sized_cells(rows: Sequence[Observation], families: Iterable[str]) -> tuple[SizedCells, ...]:
    """Those of every family that has some, in rising budget, each at its best settings."""
    found = []
    for family in families:
        cells = sorted(
            tuned_cells(having(rows, "family", family)), key=lambda r: (r.budget_flops, r.params or 0.0, r.run)
        )
        if cells:
            told = tuple(map(_cell, cells))
            found.append(SizedCells(family=family, cells=told, unique_examples=_largest_pool(told)))
    return tuple(found)


def _cell(row: Observation) -> SizedCell:
    return SizedCell(
        model=row.model,
        budget_flops=row.budget_flops,
        params=row.params or 0.0,
        examples=row.examples or 0.0,
        epochs=row.epochs,
        loss=row.loss,
        near_chance=why_dropped(row.loss, chance=row.chance) is not None,
    )


def _largest_pool(cells: Sequence[SizedCell]) -> float | None:
    """The most distinct examples that a run drew on; None where each saw as many as it took, all of them fresh."""
    told = [(cell.examples, cell.epochs) for cell in cells if cell.epochs]
    if all(abs(epochs - 1) <= _ONE_EPOCH for _, epochs in told) and len({seen for seen, _ in told}) != 1:
        return None
    return max(seen / epochs for seen, epochs in told)
