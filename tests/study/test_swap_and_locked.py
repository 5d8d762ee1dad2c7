"""The optimiser swap and the predictions locked before their rung runs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from levelfield.records.allowed import TooManySteps
from levelfield.records.errors import DamagedError, SpecError, StoreError
from levelfield.records.store import StudyDirectory
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.predictions import NoDeclaredSize, NoLaw
from levelfield.study.bill.bill import bill
from levelfield.study.outcome.foretell import lock_rungs, predicted_recipes, runs_foretelling
from levelfield.study.outcome.locks import read_locks
from levelfield.study.outcome.outcome import Outcome, analyse_outcome
from levelfield.study.outcome.table import observations
from levelfield.study.plan.plan import plan
from levelfield.study.planned import Lock, LockedRecipe
from tests.narrowed import of_kind
from tests.study.simulated import FACTS, bowl, run_to_the_end, study

LOCKED = 2e12
LADDER = {"budgets": [2e10, 6e10, 2e11, 6e11], "locked": [LOCKED]}


def swapping(**changes):
    families = [dataclasses.asdict(entry) for entry in study().families]
    for family, recipe, grid in (
        (families[0], "nfnet-adamw", {"low": 1e-3, "start": 8e-3, "high": 0.064}),
        (families[1], "vit-sgd-agc", {"low": 0.1, "start": 0.8, "high": 6.4}),
    ):
        family["swap"] = {"recipe": recipe, "base_lr": grid, "lr_batch_exponent": 0.5}
    return study(families=families, verdict={"swap_budget": 6e10}, **changes)


def swapped_bowl(trial):
    """The other optimiser costs 20 % of loss and has its best rate at 0.016 or 1.6."""
    if not trial.role.startswith("swap"):
        return bowl(trial)
    best = {"nfnet": 0.016, "vit": 1.6}[trial.family]
    return (
        1.2
        * bowl(dataclasses.replace(trial, variant="", base_lr={"nfnet": 1.6, "vit": 0.016}[trial.family]))
        * (1 + 0.02 * abs(np.log2(trial.base_lr / best)))
    )


def outcome_of(spec, planned, results, locks=None) -> Outcome:
    return Outcome(
        spec=spec,
        facts=FACTS,
        planned=planned,
        results=results,
        timings={},
        failed={},
        locks=locks or {},
        imported=(),
        table=observations(planned, results, {}),
    )


def a_lock(architecture="nfnet:w16-d1x1-s4") -> Lock:
    loss = Interval(estimate=1.0, low=0.9, high=1.1)
    recipe = LockedRecipe(
        family="nfnet",
        architecture=architecture,
        base_lr=0.8,
        axes={"batch": 2},
        loss=loss,
        notes=(NoLaw(),),
    )
    return Lock(
        budget_flops=LOCKED, recipes=(recipe,), runs=(), results="0" * 32, written="2026-01-01", code_version="0"
    ).sealed()


def test_the_swap_retrains_the_winners_network_and_batch_by_the_other_optimiser():
    planned, _ = run_to_the_end(swapping(), loss=swapped_bowl)
    winners = {winner.family: winner for winner in planned.winners if winner.budget_flops == 6e10}
    swapped = [trial for trial in planned.trials if trial.role == "swap"]
    assert sorted((t.family, t.spec.seed, t.spec.held_out) for t in swapped) == [
        (family, seed, "report") for family in ("nfnet", "vit") for seed in (1, 2, 3)
    ]
    for trial in swapped:
        winner = winners[trial.family]
        assert trial.spec.architecture == winner.affordable.architecture
        assert trial.spec.global_batch_size == winner.affordable.global_batch_size
        assert trial.spec.recipe.optimizer == {"nfnet": "adamw", "vit": "sgd"}[trial.family]
        assert trial.base_lr == {"nfnet": 0.016, "vit": 1.6}[trial.family], "its own learning rate was searched"


def test_the_swap_changes_nothing_about_the_search_and_stays_within_the_bill():
    spec = swapping()
    planned, results = run_to_the_end(spec, loss=swapped_bowl)
    alone, _ = run_to_the_end(study())
    assert planned.winners == alone.winners
    assert len(results) <= bill(spec, FACTS, plan(spec, FACTS, {})).trials_at_most


def test_a_swap_without_a_recipe_to_swap_to_is_refused():
    with pytest.raises(SpecError, match=r"\[families.swap\]"):
        study(verdict={"swap_budget": 6e10})


def test_a_locked_rung_waits_for_everything_below_it_and_for_its_prediction():
    spec = study(ladder=LADDER)
    assert plan(spec, FACTS, {}).to_lock == ()
    planned, results = run_to_the_end(spec)
    assert planned.to_lock == (LOCKED,)
    assert not [trial for trial in planned.trials if trial.budget_flops == LOCKED]
    some = dict(list(results.items())[:-1])
    assert plan(spec, FACTS, some).to_lock == ()


def test_a_locked_rung_runs_the_recipe_that_was_written_down_and_nothing_else():
    spec = study(ladder=LADDER)
    planned, _ = run_to_the_end(spec, locks={LOCKED: a_lock()})
    trials = [trial for trial in planned.trials if trial.budget_flops == LOCKED]
    assert {(t.role, t.spec.architecture, t.base_lr, t.variant, t.spec.held_out) for t in trials} == {
        ("prediction", "nfnet:w16-d1x1-s4", 0.8, "batch=2", "report")
    }
    assert sorted(trial.spec.seed for trial in trials) == [1, 2, 3]
    assert planned.to_lock == ()


@pytest.mark.slow
def test_what_is_locked_is_the_declared_recipe_nearest_to_the_prediction():
    spec = study(ladder=LADDER)
    planned, results = run_to_the_end(spec)
    outcome = outcome_of(spec, planned, results)
    analysis = analyse_outcome(outcome, Path("nowhere"))
    recipes = predicted_recipes(outcome, analysis, LOCKED)
    assert set(recipes) == {"nfnet", "vit"}
    for family, recipe in recipes.items():
        assert isinstance(recipe, LockedRecipe)
        entry = next(entry for entry in spec.families if entry.name == family)
        assert recipe.architecture in entry.sizes
        assert recipe.base_lr in entry.base_lr.values
        truth = 2.0 * 10 ** (-0.1 * (np.log10(LOCKED) - 10)) + 0.5  # the bowl's bottom
        assert recipe.loss.low < truth < recipe.loss.high


@pytest.mark.slow
def test_a_family_that_no_declared_size_fits_is_locked_as_refused_with_the_reason():
    spec = study(ladder={**LADDER, "max_steps": 2000})
    outcome = outcome_of(spec, *run_to_the_end(spec))
    recipes = predicted_recipes(outcome, analyse_outcome(outcome, Path("nowhere")), LOCKED)
    assert isinstance(of_kind(NoDeclaredSize, recipes["nfnet"]).why, TooManySteps)


@pytest.mark.slow
def test_a_prediction_does_not_depend_on_the_trials_that_score_it():
    spec = study(ladder=LADDER)
    before = outcome_of(spec, *run_to_the_end(spec))
    after = outcome_of(spec, *run_to_the_end(spec, locks={LOCKED: a_lock()}))
    assert len(after.table) > len(before.table)
    assert runs_foretelling(after) == runs_foretelling(before)
    analyses = [analyse_outcome(outcome, Path("nowhere")) for outcome in (before, after)]
    assert analyses[0] == analyses[1], "predicted recipes enter no law and no verdict"


def test_a_lock_is_read_as_written_and_an_edited_one_is_refused(tmp_path):
    spec = study(ladder=LADDER)
    outcome = outcome_of(spec, *run_to_the_end(spec))
    directory = StudyDirectory(tmp_path)
    written = lock_rungs(directory, outcome, analyse_outcome(outcome, tmp_path))
    assert read_locks(directory, data="simulated") == written
    with pytest.raises(StoreError, match="it was run on simulated, now there is other"):
        read_locks(directory, data="other")
    (path,) = directory.locks_path.glob("*.json")
    plain = json.loads(path.read_text())
    plain["recipes"][0]["loss"]["high"] += 1
    path.write_text(json.dumps(plain))
    with pytest.raises(DamagedError, match="a prediction is not edited"):
        read_locks(directory, data="simulated")


@pytest.mark.parametrize("locked", [[6e11], [1e11], [3e12, 2e12]])
def test_locked_rungs_lie_above_the_searched_ones(locked):
    with pytest.raises(SpecError, match=r"ladder\.locked must be rising, above"):
        study(ladder={**LADDER, "locked": locked})
