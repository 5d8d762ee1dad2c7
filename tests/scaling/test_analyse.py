"""The seam as a whole: determinism, weak tables, malformed tables, what it imports."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest

from levelfield.records.codec import from_plain, to_json, to_plain
from levelfield.records.errors import InputError
from levelfield.report.words.verdicts import headline
from levelfield.scaling.analyse import analyse
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.reasons.laws import NearChance, NotMonotone
from levelfield.scaling.results.reasons.verdicts import NoExampleLosses
from levelfield.scaling.results.refusals import ControlAsked, IntervalsOfWinners, IntervalsOverExamples, LawOf
from tests.narrowed import of_kind
from tests.scaling.planted import BUDGETS, search_rows, winner_rows, with_examples


def small_study():
    generator = np.random.default_rng(0)
    rows = [
        *search_rows(generator, family="nfnet", run_sd=0.01),
        *search_rows(generator, family="vit", run_sd=0.01),
        *winner_rows(generator, control_budget=BUDGETS[2], seconds_sd=0.02),
    ]
    judged, held = with_examples(rows, generator, num_examples=300)
    return judged, held


@pytest.mark.slow
def test_the_same_rows_in_any_order_give_the_same_bytes():
    rows, held = small_study()
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    assert to_json(analyse(rows, held_out_losses=held)) == to_json(analyse(shuffled, held_out_losses=held))


def test_an_analysis_is_a_record_that_goes_through_json_and_back():
    rows, held = small_study()
    found = analyse(rows, held_out_losses=held)
    assert from_plain(Analysis, to_plain(found)) == found


@pytest.mark.slow
def test_a_law_says_which_rows_it_kept_and_how_well_it_converged():
    rows, _ = small_study()
    for law in analyse(rows).laws:
        assert [row.dropped for row in law.rows] == [None] * 5
        assert law.gradient_norm is not None
        assert law.gradient_norm < 1e-7
        assert law.objective is not None
        assert law.agreement is not None
        assert len(law.errors.variances) == 5
        inside = [point for point in law.curve if point.x <= law.fitted_high * 1.001]
        assert all(point.low <= point.y <= point.high for point in law.curve)
        assert inside[-1].x == pytest.approx(law.fitted_high)


def test_counts_and_compute_of_the_search_are_reported_per_family():
    rows, _ = small_study()
    found = analyse(rows)
    assert found.search_trials == {"nfnet": 75, "vit": 75}
    assert found.search_flops["vit"] == pytest.approx(15 * sum(BUDGETS))
    assert analyse(winner_rows(np.random.default_rng(0))).seed_noise == pytest.approx(0.02, rel=0.4)


def test_one_family_alone_gets_laws_and_no_verdict():
    found = analyse(winner_rows(np.random.default_rng(0), families=("nfnet",)))
    assert headline(found) == "No verdict: NFNet alone cannot be compared."
    assert found.comparisons == ()
    assert {law.currency for law in found.laws} == {"flops", "device_seconds"}


def test_one_run_alone_is_an_analysis_full_of_refusals():
    (row, *_) = winner_rows(np.random.default_rng(0))
    found = analyse([row])
    assert (found.winners, found.laws, found.isoflop) == ((), (), ())
    assert {refusal.what for refusal in found.refusals} >= {
        IntervalsOfWinners(),
        LawOf(family="nfnet", currency="flops"),
        ControlAsked(),
    }
    assert all(refusal.why for refusal in found.refusals)


def test_a_near_chance_rung_is_shown_and_not_fitted():
    rows = [
        dataclasses.replace(row, loss=4.4 * math.exp(row.seed / 1000)) if row.budget_flops == BUDGETS[0] else row
        for row in winner_rows(np.random.default_rng(0))
    ]
    found = analyse(rows)
    assert [winner.near_chance for winner in found.winners if winner.family == "nfnet"] == [True, *[False] * 4]
    assert {law.num_budgets for law in found.laws} == {4}
    assert isinstance(next(row.dropped for row in found.laws[0].rows if row.dropped), NearChance)


def test_a_frontier_that_rises_beyond_noise_gets_no_law():
    rows = [
        dataclasses.replace(row, loss=row.loss * 1.6) if row.budget_flops == BUDGETS[3] else row
        for row in winner_rows(np.random.default_rng(0))
    ]
    found = analyse(rows)
    assert found.laws == ()
    (refusal,) = (r for r in found.refusals if r.what == LawOf(family="vit", currency="flops"))
    assert of_kind(NotMonotone, refusal.why[0]).compute == pytest.approx(6e11)


@pytest.mark.slow
def test_without_per_example_losses_the_intervals_are_said_to_cover_seeds_alone():
    rows, held = small_study()
    what = IntervalsOverExamples()
    assert any(refusal.what == what for refusal in analyse(rows).refusals)
    assert not any(refusal.what == what for refusal in analyse(rows, held_out_losses=held).refusals)
    some = dict(list(held.items())[:-1])
    refusals = analyse(rows, held_out_losses=some).refusals
    assert any(refusal.why == (NoExampleLosses(given=True),) for refusal in refusals)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": math.nan}, "loss must be positive and finite, saw nan"),
        (
            {"loss": 0.0},
            "loss must be positive and finite, saw 0.0; images that are all told apart .* take harder ones",
        ),
        ({"train_flops": -1.0}, "train_flops must be positive"),
        ({"params": 0.0}, "params must be positive and finite or absent"),
        ({"run": "nfnet-2.000e+10-winner-2"}, "is in the table twice"),
        ({"seed": 2}, "role 'winner' repeats a seed"),
        ({"model": "nfnet:other"}, "2 different cells with role 'winner'"),
    ],
)
def test_a_malformed_table_is_an_input_error(change, message):
    first, *rest = winner_rows(np.random.default_rng(0))
    with pytest.raises(InputError, match=message):
        analyse([dataclasses.replace(first, **change), *rest])


def test_an_empty_table_is_an_input_error():
    with pytest.raises(InputError, match="no rows"):
        analyse([])


@pytest.mark.slow
def test_nothing_of_the_statistics_loads_torch_or_scipy_stats():
    modules = (
        "analyse face results.analysis ladder.backtest verdicts.compare verdicts.contest fitting.fit next.predict "
        "tables.runs noise.uncertainty"
    )
    code = (
        "import sys, importlib\n"
        f"for name in {modules.split()!r}: importlib.import_module('levelfield.scaling.' + name)\n"
        "from levelfield.scaling.analyse import analyse\n"
        "from tests.scaling.planted import winner_rows\n"
        "import numpy\n"
        "assert not [m for m in sys.modules if m.startswith('scipy')], 'scipy before it is needed'\n"
        "analyse(winner_rows(numpy.random.default_rng(0)))\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert 'torch' not in loaded, 'torch'\n"
        "assert 'scipy.stats' not in sys.modules and 'scipy.optimize' not in sys.modules, 'slow scipy'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_laws_do_not_depend_on_whether_families_are_compared():
    rows, held = small_study()
    whole, laws_alone = analyse(rows, held_out_losses=held), analyse(rows, held_out_losses=held, compared=False)
    assert len(whole.comparisons) == 2
    assert laws_alone.comparisons == ()
    assert to_json(laws_alone.laws) == to_json(whole.laws)
