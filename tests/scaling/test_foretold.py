"""The future left out: what each earlier cut says, beside what came."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.records.observation import Observation
from levelfield.scaling.analyse import analyse
from levelfield.scaling.foretold import cuts_of, foretold
from levelfield.scaling.next.predict import predict
from tests.scaling.planted import winner_rows

BUDGETS = tuple(float(f"{budget:.3g}") for budget in np.geomspace(2e10, 5e12, 7))


@pytest.fixture(scope="module")
def rows() -> list[Observation]:
    return winner_rows(np.random.default_rng(0), families=("nfnet",), budgets=BUDGETS, seed_sd=0.01)


@pytest.fixture(scope="module")
def found(rows):
    return foretold(rows)


def test_every_cut_with_four_budgets_below_foretells_the_next_and_the_last(found):
    assert [(each.cut_flops, each.budget_flops) for each in found] == [
        (BUDGETS[3], BUDGETS[4]),
        (BUDGETS[3], BUDGETS[6]),
        (BUDGETS[4], BUDGETS[5]),
        (BUDGETS[4], BUDGETS[6]),
        (BUDGETS[5], BUDGETS[6]),
    ]


def test_what_came_is_the_mean_of_the_seeds_and_lies_about_as_near_as_noise_allows(rows, found):
    last = [math.log(row.loss) for row in rows if row.budget_flops == BUDGETS[6]]
    assert found[-1].came == pytest.approx(math.exp(sum(last) / len(last)))
    assert all(each.error is not None and abs(each.error) < 0.1 for each in found)
    assert sum(bool(each.inside) for each in found) >= 3


def test_a_cut_sees_nothing_above_it_and_says_what_predict_would_have(rows, found):
    cut = BUDGETS[4]
    spoilt = [dataclasses.replace(row, loss=3 * row.loss) if row.budget_flops > cut else row for row in rows]
    again = [each for each in foretold(spoilt) if each.cut_flops == cut]
    before = [each for each in found if each.cut_flops == cut]
    assert [each.said for each in again] == [each.said for each in before]
    assert [each.came for each in again] == pytest.approx([3 * each.came for each in before])
    (told,) = predict(analyse([row for row in rows if row.budget_flops <= cut], compared=False), budget=BUDGETS[5])
    assert told.loss == before[0].said


def test_few_budgets_are_cut_nowhere_and_very_many_at_a_few_evenly_spread(rows, monkeypatch):
    assert foretold([row for row in rows if row.budget_flops <= BUDGETS[3]]) == ()
    monkeypatch.setattr("levelfield.scaling.foretold.MOST_CUTS", 2)
    assert [each.cut_flops for each in foretold(rows)] == [BUDGETS[3], BUDGETS[3], BUDGETS[5]]


def test_the_command_line_prints_the_cuts_and_their_sum(rows, tmp_path, invoke):
    path = tmp_path / "runs.csv"
    lines = [f"{row.budget_flops},{row.loss},winner,{row.seed}" for row in rows]
    path.write_text("flops,loss,role,seed\n" + "\n".join(lines) + "\n")
    options = ("fit", path, "--role", "role", "--seed", "seed", "--backtest")
    code, out, _ = invoke(*options)
    assert code == 0
    assert "What earlier cuts would have foretold" in out
    assert "Of 5 losses that earlier cuts would have foretold, 5 were said, off by" in out
    assert len(json.loads(invoke(*options, "--json")[1])["backtest"]) == 5


def test_a_budget_in_another_unit_is_refused(rows):
    analysis = analyse(rows, compared=False)
    for budget in (1e19, 1e3):
        with pytest.raises(InputError, match="lies more than 6 decades from the runs, which took"):
            predict(analysis, budget=budget)


def test_a_page_shows_the_cuts_of_a_study_and_a_long_table_none(rows, found, monkeypatch):
    assert cuts_of(rows) == found
    monkeypatch.setattr("levelfield.scaling.foretold.MOST_ROWS_OF_A_PAGE", len(rows) - 1)
    assert cuts_of(rows) == cuts_of([]) == ()
