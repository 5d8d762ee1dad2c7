"""The luck of the best of a search, and the noise of its choice."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from levelfield.report.words.told import all_told, told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.noise.coarseness import hidden_loss
from levelfield.scaling.noise.luck import expected_smallest, selection_optimism, selection_regrets
from levelfield.scaling.noise.regret import SearchRegret, no_regret, regret_of
from levelfield.scaling.tables.rungs import checked, rungs
from tests.scaling.planted import BUDGETS, search_rows, winner_rows


def test_the_best_of_equal_cells_is_lucky_and_a_clear_winner_is_not():
    """Over 200 searches of each; the best of 10 equal cells lies 1.54 sds too low on average."""
    left = []
    for place in range(200):
        generator = np.random.default_rng([9, place])
        seen = 0.02 * generator.standard_normal(10)
        left.append(seen.min() + selection_optimism(seen, 0.02, generator))
    assert expected_smallest(10) == pytest.approx(1.54, abs=0.01)
    assert abs(np.mean(left)) < 0.45 * 0.02, "more than two thirds of the 1.54 x 0.02 are taken off"
    clear = np.array([0.0, 0.5, 0.6]), 0.02, np.random.default_rng(0)
    assert selection_optimism(*clear) == pytest.approx(0.0, abs=1e-4)
    assert not selection_regrets(*clear).any()


def test_a_single_cell_has_neither_luck_nor_regret():
    alone = np.array([1.0]), 0.02, np.random.default_rng(0)
    assert selection_optimism(*alone) == pytest.approx(0.0)
    assert not selection_regrets(*alone).any()


def test_the_regret_of_a_search_is_that_of_the_choice_it_would_make_again():
    """Two cells 2 % apart and a noise of 2 % a run: the worse one wins when a difference of sd 2.83 % exceeds 2 %."""
    regrets = selection_regrets(np.array([0.0, 0.02, 0.9]), 0.02, np.random.default_rng(0))
    assert set(np.round(regrets, 12).tolist()) == {0.0, 0.02}
    assert np.mean(regrets > 0) == pytest.approx(0.24, abs=0.05)


def repeated(rows):
    """The rows with two more seeds of the last cell of every rung, which measure the noise."""
    last = {row.budget_flops: row for row in rows}
    generator = np.random.default_rng(17)
    return list(rows) + [
        dataclasses.replace(row, run=f"{row.run}-{seed}", seed=seed, loss=row.loss * math.exp(0.02 * noise))
        for row in last.values()
        for seed, noise in enumerate(generator.standard_normal(2), start=1)
    ]


def test_a_table_without_fresh_seeds_is_corrected_where_its_noise_is_known_and_said_where_it_is_not():
    rows = search_rows(np.random.default_rng(1), run_sd=0.02)
    known, unknown = analyse(repeated(rows)), analyse(rows)
    assert all(found.corrected is not None and found.num_tried == 15 for found in known.optimism)
    assert all(found.corrected.estimate > found.loss for found in known.optimism if found.corrected)
    law = next(law for law in known.laws if law.chosen)
    assert "their luck taken off" in all_told(law.remarks)
    fitted = [row.loss for row in law.rows]
    assert fitted == pytest.approx([found.corrected.estimate for found in known.optimism if found.corrected])
    assert all(found.corrected is None for found in unknown.optimism)
    assert "the best of 15, whose luck is not taken off" in told(unknown.optimism[0].status)
    assert known.comparisons == ()


def test_winners_on_fresh_seeds_need_no_correction():
    assert analyse(winner_rows(np.random.default_rng(0))).optimism == ()


def test_the_choice_widens_statements_between_families_but_not_between_a_winner_and_its_control():
    generator = np.random.default_rng(2)
    winners = winner_rows(generator, control_budget=BUDGETS[2])
    searched = [row for family in ("nfnet", "vit") for row in search_rows(generator, family=family, run_sd=0.02)]
    cells = (*rungs(checked([*winners, *searched]), "winner"), *rungs(checked([*winners, *searched]), "control"))
    choice = regret_of([*winners, *searched], cells, np.full(len(cells), 0.02), generator)
    places = {(cell.family, cell.budget_flops, cell.first.role): place for place, cell in enumerate(cells)}
    weights = np.zeros((2, len(cells)))
    weights[0, [places["nfnet", BUDGETS[2], "winner"], places["vit", BUDGETS[2], "winner"]]] = 1.0, -1.0
    weights[1, [places["nfnet", BUDGETS[2], "winner"], places["nfnet", BUDGETS[2], "control"]]] = 1.0, -1.0
    families, control = choice.variances(weights)
    assert control == pytest.approx(0.0)
    assert 0.003 < math.sqrt(families) < 0.04
    drawn = choice.draws(np.random.default_rng(3), 20000) @ weights.T
    assert np.mean(drawn[:, 0] ** 2) == pytest.approx(families, rel=0.25)
    assert not drawn[:, 1].any()
    own = np.mean(choice.regrets[0] ** 2) + 0.8 * choice.hidden**2
    assert choice.covariance(np.arange(len(cells)))[0, 0] == pytest.approx(own)


def test_what_a_finer_search_would_still_have_gained_comes_from_the_bend_of_the_curves():
    """Over optima anywhere between the values of a grid: the loss of its best value above that of the optimum."""
    generator = np.random.default_rng(5)

    def search(curvature, shift, run_sd=0.0):
        rows = search_rows(generator, run_sd=run_sd, budgets=BUDGETS[:1], sizes=(0.25, 0.5, 1.0, 2.0, 4.0))
        moved = []
        for row in rows:
            off = math.log2(float(row.model.partition(":")[2].partition("-")[0]))
            rate = math.log2((row.base_lr or 0.2) / 0.2)
            moved.append(dataclasses.replace(row, loss=2.0 * math.exp(curvature * ((off - shift) ** 2 + rate**2))))
        return moved

    for curvature in (0.01, 0.08):
        seen = [hidden_loss(search(curvature, shift), 0.0) for shift in np.linspace(-0.5, 0.5, 21)]
        hides = np.mean([curvature * shift**2 for shift in np.linspace(-0.5, 0.5, 201)])  # and nothing along the rate
        assert np.mean(seen) == pytest.approx(2 * hides, rel=0.15), "two axes, of each of which a grid hides as much"
    lucky = hidden_loss(search(0.08, 0.0), 0.01)
    assert lucky < hidden_loss(search(0.08, 0.0), 0.0)
    assert hidden_loss(search(0.08, 0.0)[:2], 0.0) == 0.0


def test_a_search_that_looks_calm_is_trusted_no_more_than_its_fellows():
    """The first search seems to leave no doubt; the second leaves 2 %; of the third's cell nothing is known."""
    regrets = np.array([[0.0, 0.0], [0.02, 0.02], [0.0, 0.0]])
    choice = SearchRegret(sources=np.arange(3), regrets=regrets, chosen=np.array([True, True, False]))
    calm, noisy, unknown, all_three = choice.variances(np.array([*np.eye(3), np.ones(3)]))
    assert calm == pytest.approx(0.02**2 / 2), "the pooled variance is the larger"
    assert noisy == pytest.approx(0.02**2), "its own is the larger"
    assert unknown == 0
    assert all_three == pytest.approx(0.02**2), "pooling moves doubt and adds none"
    drawn = choice.draws(np.random.default_rng(0), 4000)
    assert np.mean(drawn**2, axis=0) == pytest.approx([0.02**2 / 2, 0.02**2 / 2, 0.0], rel=0.1)


def test_winners_of_whose_search_nothing_is_known_carry_no_regret():
    rows = winner_rows(np.random.default_rng(0))
    choice = regret_of(rows, rungs(rows, "winner"), np.full(10, 0.02), np.random.default_rng(0))
    assert choice.sources.tolist() == no_regret(10).sources.tolist()
    assert not choice.draws(np.random.default_rng(0), 5).any()


def test_what_one_rung_decides_for_all_errs_at_all_of_them_alike():
    """Of two families on two rungs each: a mean over rungs takes nothing off what was carried."""
    nothing = np.zeros((4, 10))
    carried = np.full((2, 10), 0.03)
    choice = SearchRegret(
        sources=np.arange(4),
        regrets=nothing,
        chosen=np.ones(4, dtype=bool),
        grids=np.array([0, 0, 2, 2]),
        carried=carried,
    )
    mean, one_rung, control = choice.variances(np.array([[0.5, 0.5, -0.5, -0.5], [1, 0, -1, 0], [1, -1, 0, 0]]))
    assert mean == pytest.approx(2 * 0.03**2)
    assert one_rung == pytest.approx(2 * 0.03**2)
    assert control == pytest.approx(0.0), "rungs of one family share it"
    assert choice.covariance(np.arange(4))[0].tolist() == pytest.approx([0.03**2, 0.03**2, 0.0, 0.0])
    drawn = choice.draws(np.random.default_rng(0), 50)
    assert np.all(drawn[:, 0] == drawn[:, 1])


@pytest.mark.parametrize(("at", "shared"), [((0,), True), ((0, 1), False), ((), False)])
@pytest.mark.parametrize("beside", ["", "length=0.5"])
def test_axes_are_carried_where_some_rungs_decide_them_for_the_others(at, shared, beside):
    """Whatever other axis is decided ``beside`` them at every rung."""
    generator = np.random.default_rng(4)
    budgets = BUDGETS[:2]
    rows = [*winner_rows(generator, budgets=budgets)]
    for family in ("nfnet", "vit"):
        for place, budget in enumerate(budgets):
            found = search_rows(generator, family=family, budgets=[budget], run_sd=0.02)
            best = min(found, key=lambda row: row.loss)
            moved = [
                dataclasses.replace(best, run=f"{best.run}-{value}", variant=f"batch={value}", loss=best.loss * 1.01)
                for value in (0.5, 2)
            ]
            shorter = dataclasses.replace(best, run=f"{best.run}-short", variant=beside, loss=best.loss * 1.02)
            rows += [*found, *(moved if place in at else []), *([shorter] if beside else [])]
    cells = rungs(checked(rows), "winner")
    choice = regret_of(rows, cells, np.full(len(cells), 0.02), generator)
    assert (choice.carried is not None) == shared
    if choice.carried is not None:
        assert choice.carried.mean() > 0
