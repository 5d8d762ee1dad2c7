"""What varies inside a cell and was not named is refused by its name; named, it is a setting of the cell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.scaling import face
from levelfield.scaling.face import TableReading
from levelfield.scaling.optimum.tuning import learning_rate_cells
from levelfield.scaling.tables.axes import unnamed_axes
from levelfield.scaling.tables.rungs import checked, tuned_cells

READING: TableReading = {"params": "N", "examples": "D"}


def table(**further) -> dict[str, list]:
    """Four sizes by four lengths; a batch of 512 costs 2 %, one of 1024 5 %."""
    generator = np.random.default_rng(0)
    rows = []
    for params in np.geomspace(1e7, 1e9, 4):
        for examples in np.geomspace(1e9, 1e11, 4):
            for batch, worse in ((256, 0.0), (512, 0.02), (1024, 0.05)):
                noisy = worse + 0.002 * generator.standard_normal()
                loss = (1.5 + 400 * params**-0.34 + 2000 * examples**-0.36) * math.exp(noisy)
                rows.append({"flops": 6 * params * examples, "loss": loss, "N": params, "D": examples, "bs": batch})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return columns | {name: make(rows) for name, make in further.items()}


def axes_of(columns) -> list[str]:
    return list(unnamed_axes(checked(face.rows_of(columns, **READING).rows)))


def test_a_batch_that_nobody_named_is_refused_by_its_name_and_what_to_do():
    with pytest.raises(InputError, match=r"column 'bs' varies among rows .*\(--axis bs, or --axis, --batch"):
        face.predict(table(), budget=1e23, **READING)
    with pytest.raises(InputError, match="column 'bs'"):
        face.compare(table(), **READING)


@pytest.mark.parametrize("named", [{"batch": "bs"}, {"axes": "bs"}])
def test_a_named_axis_counts_by_its_best_value(named):
    cells = tuned_cells(checked(face.rows_of(table(), **READING, **named).rows))
    assert len(cells) == 16
    for cell in cells:
        assert dict(cell.axes)["bs"] == "256"
        truth = 1.5 + 400 * (cell.params or 0) ** -0.34 + 2000 * (cell.examples or 0) ** -0.36
        assert cell.loss == pytest.approx(truth, rel=0.01)


def test_outcomes_names_seeds_and_what_does_not_move_the_loss_are_no_axes():
    generator = np.random.default_rng(1)
    columns = table(
        hours=lambda rows: [f"{generator.uniform(1, 9):.4f}" for _ in rows],
        run_name=lambda rows: [f"run-{place}" for place in range(len(rows))],
        seed_of_data=lambda rows: [place % 3 for place in range(len(rows))],
        host=lambda rows: generator.choice(["a", "b"], len(rows)).tolist(),
    )
    assert axes_of(columns) == ["bs"]


def test_a_column_that_is_the_same_throughout_a_cell_is_no_axis():
    columns = table()
    columns["half"] = ["a" if size < 1e8 else "b" for size in columns["N"]]
    assert axes_of({name: cells[::3] for name, cells in columns.items()}) == []


def test_two_rows_a_cell_are_too_few_for_a_test_and_the_column_is_named_all_the_same():
    two_cells = {name: [cells[place] for place in (0, 2, 3, 5)] for name, cells in table().items()}
    two_cells["loss"] = [2.0, 2.04, 1.9, 1.957]
    assert axes_of(two_cells) == ["bs"]


def test_a_tuning_curve_takes_every_rate_at_the_best_of_the_other_axes_and_not_at_their_mean():
    columns = table()
    columns |= {"lr": [1.0] * len(columns["loss"])}
    rows = checked(face.rows_of(columns, **{**READING, "base_lr": "lr", "batch": "bs"}).rows)
    for cell in learning_rate_cells(rows):
        truth = 1.5 + 400 * (cell.params or 0) ** -0.34 + 2000 * (cell.examples or 0) ** -0.36
        assert cell.tried == ((1.0, pytest.approx(truth, rel=0.01)),)
