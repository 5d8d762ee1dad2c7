"""The future left out: what each earlier cut says, beside what came."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.records.observation import Observation
from levelfield.report import LockedPrediction
from levelfield.report.figures.foretold import foretold_figure
from levelfield.report.tables.foretold import foretold_table
from levelfield.scaling.analyse import analyse
from levelfield.scaling.foretold import MOST_ROWS_OF_A_PAGE, cuts_of, foretold
from levelfield.scaling.next.predict import predict
from levelfield.scaling.results.intervals import Interval
from tests.scaling.planted import winner_rows

BUDGETS = tuple(float(f"{budget:.3g}") for budget in np.geomspace(2e10, 5e12, 7))


@pytest.fixture(scope="module")
def rows() -> list[Observation]:
    return winner_rows(np.random.default_rng(0), families=("nfnet",), budgets=BUDGETS, seed_sd=0.01)


@pytest.fixture(scope="module")
def found(rows):
    return foretold(rows)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_page_shows_the_cuts_of_a_study_and_a_long_table_none(rows, found, monkeypatch):
    assert cuts_of(rows) == found
    monkeypatch.setattr("levelfield.scaling.foretold.MOST_ROWS_OF_A_PAGE", len(rows) - 1)
    assert cuts_of(rows) == cuts_of([]) == ()


def drawn(rows, cuts, locked=(), **told):
    return foretold_figure(("nfnet",), cuts, locked, **{"num_rows": len(rows), **told})


def lock(rows, *, seen: float | None) -> LockedPrediction:
    return LockedPrediction(
        family="nfnet",
        budget_flops=BUDGETS[6],
        predicted=Interval(estimate=1.1, low=1.0, high=1.2, level=0.9),
        recipe="nfnet:w32-d2",
        locked="2026-11-01T10:00:00+00:00",
        fingerprint="0" * 64,
        seen=seen,
    )


def marks_of(figure) -> list[str]:
    (panel,) = figure.panels
    layers = panel.specification["layer"]
    return [row["text"] for layer in layers for row in layer["data"]["values"] if "then came" in row.get("text", "")]


def test_cuts_and_what_was_locked_beforehand_are_drawn_in_one_figure(rows, found):
    figure = drawn(rows, found, [lock(rows, seen=1.15), lock(rows, seen=None)])
    told = marks_of(figure)
    assert len(told) == len(found) + 1
    assert sum("locked 2026-11-01" in text for text in told) == 1
    assert "Of 1 predictions that were locked before their rungs ran, 1 hold what came." in figure.reading
    assert "Of 5 losses that earlier cuts would have foretold" in figure.caption


def test_the_table_of_cuts_has_a_row_of_each_locked_prediction_run_or_not(rows, found):
    table = foretold_table(found, [lock(rows, seen=1.25), lock(rows, seen=None)])
    assert len(table.rows) == len(found) + 2
    ran, waiting = table.rows[-2:]
    assert "locked 2026-11-01" in ran[1].text
    assert ran[-1].text == "no"
    assert waiting[-1].text == "not run yet"


def test_a_page_of_very_many_rows_says_why_it_has_no_cuts_and_who_makes_them(rows):
    many = [
        dataclasses.replace(row, run=f"{row.run}/{place}")
        for place in range(1 + MOST_ROWS_OF_A_PAGE // len(rows))
        for row in rows
    ]
    assert cuts_of(many) == ()
    figure = drawn(many, ())
    assert f"The table has {len(many):,} rows, and a page makes no cuts of more than 2,000" in figure.absent
    assert "levelfield fit --backtest" in figure.absent
    assert "above its first four" in drawn(rows, ()).absent
