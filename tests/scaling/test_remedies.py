"""A refusal says what would decide it - also where a column was left out or means something else."""

import numpy as np
import pytest

from levelfield.records.observation import Observation
from levelfield.records.reason import Coded
from levelfield.report.words.told import told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.results.reasons.laws import FewBudgets, NotMonotone, TooFewForForm
from levelfield.scaling.results.refusals import AddRungs, AllocationOf, LawOf, Subject
from levelfield.scaling.tables.remedies import law_remedy
from tests.narrowed import of_kind


def run(place: int, compute: float, loss: float, size: float | None = None, seen: float | None = None) -> Observation:
    return Observation(
        run=f"{place}", family="a", model=f"{size}", role="search", loss=loss, budget_flops=compute,
        train_flops=compute, params=size, examples=seen,
    )  # fmt: skip


LAW, ALLOCATION = LawOf(family="a", currency="flops"), AllocationOf(family="a")


def remedy(rows: list[Observation], what: Subject) -> str:
    (found,) = (refusal.remedy for refusal in analyse(rows, compared=False).refusals if refusal.what == what)
    return told(of_kind(Coded, found))


def profiles(*, jitter: float, named: bool = True) -> list[Observation]:
    """Seven sizes at each of six budgets whose measured compute differs a little from run to run."""
    generator, rows = np.random.default_rng(0), []
    for budget in np.geomspace(1e18, 1e21, 6):
        for size in np.geomspace(0.05, 20, 7) * 1e8 * (budget / 1e18) ** 0.5:
            compute = budget * float(np.exp(jitter * generator.standard_normal()))
            loss = 1.7 + 400 * size**-0.34 + 400 * (compute / 6 / size) ** -0.28
            rows.append(run(len(rows), compute, loss, *((size, compute / 6 / size) if named else ())))
    return rows


def test_computes_that_cluster_ask_for_the_column_of_nominal_budgets():
    expected = "in 6 clusters: name the column of nominal budgets (--budget-column)"
    assert expected in remedy(profiles(jitter=0.01), ALLOCATION)
    why = NotMonotone(compute=1e20, rise=0.3, allowed=0.1)
    assert expected in told(law_remedy(profiles(jitter=0.01, named=False), why))


def test_sizes_that_compete_unnamed_ask_for_their_columns():
    assert "name them (--params, --examples)" in remedy(profiles(jitter=1.0, named=False), LAW)


def test_a_cloud_is_not_told_to_add_sizes_but_that_it_has_no_budgets():
    assert "no budget has several sizes: the closed form serves" in remedy(profiles(jitter=1.0), ALLOCATION)
    rows = [run(place, row.budget_flops, row.loss, row.params) for place, row in enumerate(profiles(jitter=1.0))]
    assert "name the column of examples" in remedy(rows, ALLOCATION)


@pytest.mark.parametrize(("scale", "top"), [(1.0, "1 - accuracy"), (100.0, "100 - accuracy")])
def test_a_loss_that_rises_with_compute_may_be_an_accuracy(scale, top):
    rows = [run(place, c, scale * (1 - 3 * c**-0.05)) for place, c in enumerate(np.geomspace(1e15, 1e21, 9).tolist())]
    assert f"if it is an accuracy, use {top}" in remedy(rows, LAW)


def test_a_ladder_whose_rungs_rise_is_told_to_tune_them():
    rows = [run(place, 10.0 ** (18 + place), loss) for place, loss in enumerate((3.0, 2.5, 2.2, 2.6, 2.0))]
    assert remedy(rows, LAW) == "tune the rungs that rise, or look for a change of regime"


def test_rungs_are_asked_for_because_of_what_is_missing_and_not_of_how_that_is_said():
    rows = [run(place, 10.0 ** (18 + place), 3.0 - 0.1 * place) for place in range(3)]
    assert law_remedy(rows, FewBudgets(num=3, needed=4)) == AddRungs()
    few = TooFewForForm(num=4, num_parameters=5, form="broken")
    assert law_remedy(rows, few) == AddRungs(or_fewer_parameters=True)
