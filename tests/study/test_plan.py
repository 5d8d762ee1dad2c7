"""The plan: pure, independent of the order of arrival, equal for the families, honest about edges."""

import dataclasses
import math
import random
from collections import Counter

import pytest

from levelfield.records.allowed import TooFewSteps, TooManyEpochs
from levelfield.records.errors import SpecError
from levelfield.study.bill.bill import bill
from levelfield.study.plan.plan import plan
from tests.narrowed import of_kind
from tests.study.simulated import FACTS, bowl, run_to_the_end, study


@pytest.fixture(scope="module")
def finished():
    return run_to_the_end(study())


def test_the_same_results_give_the_same_plan(finished):
    planned, results = finished
    assert plan(study(), FACTS, results) == planned


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
def test_what_is_run_does_not_depend_on_the_order_of_arrival(finished, seed):
    choose = random.Random(seed).choice
    planned, results = run_to_the_end(study(), choose=choose)
    assert planned == finished[0]
    assert results == finished[1]


def test_every_allowed_cell_spends_its_budget_to_within_one_batch(finished):
    for cell in finished[0].cells:
        bought = cell.affordable
        if not bought.refusal:
            spent = bought.steps * bought.global_batch_size * bought.flops_per_example
            assert spent <= cell.budget_flops < spent + bought.global_batch_size * bought.flops_per_example


def test_the_batch_follows_the_same_rule_in_every_family(finished):
    for cell in finished[0].cells:
        bought = cell.affordable
        if bought.global_batch_size > 8:
            examples = cell.budget_flops / bought.flops_per_example
            assert abs(math.log2(bought.global_batch_size / (0.25 * math.sqrt(examples)))) <= 0.5 + 1e-3


def test_cells_outside_the_protocol_are_listed_with_the_reason():
    planned = plan(study(ladder={"budgets": [1e10], "max_epochs": 4}), FACTS, {})
    reasons = {cell.architecture: cell.affordable.refusal for cell in planned.cells}
    assert of_kind(TooFewSteps, reasons["nfnet:w24-d1x1-s4"]).least == 500
    small = dataclasses.replace(FACTS, num_train=1000)
    epochs = {cell.affordable.refusal for cell in plan(study(), small, {}).cells}
    assert any(isinstance(refusal, TooManyEpochs) and refusal.most == 4 for refusal in epochs)


def test_winners_get_fresh_seeds_on_the_report_split_and_the_search_never_sees_it(finished):
    planned, _ = finished
    for winner in planned.winners:
        seeds = [
            trial.spec.seed
            for trial in planned.trials
            if trial.role == "winner" and (trial.family, trial.budget_flops) == (winner.family, winner.budget_flops)
        ]
        assert sorted(seeds) == [1, 2, 3]
    splits = {(trial.role, trial.spec.held_out) for trial in planned.trials}
    assert splits == {("search", "select"), ("winner", "report"), ("control", "report")}


def test_the_control_has_its_own_seeds_at_one_rung_of_every_family(finished):
    planned, _ = finished
    control = [trial for trial in planned.trials if trial.role == "control"]
    assert Counter(trial.family for trial in control) == {"nfnet": 3, "vit": 3}
    assert {trial.budget_flops for trial in control} == {study().control_budget}
    assert min(trial.spec.seed for trial in control) > 3


def test_winners_are_bracketed_in_learning_rate_and_batch(finished):
    planned, _ = finished
    assert [winner.edges for winner in planned.winners if "base_lr" in winner.edges or "batch" in winner.edges] == []


def test_the_best_size_at_the_end_of_the_list_is_an_edge():
    def smaller_is_better(trial):
        return bowl(trial) + 0.1 * int(trial.spec.architecture.split("w")[1].split("-")[0])

    planned, _ = run_to_the_end(study(), loss=smaller_is_better)
    assert all("size" in winner.edges for winner in planned.winners)


def test_a_family_whose_optimum_lies_beyond_the_grid_is_marked():
    planned, _ = run_to_the_end(study(), loss=lambda trial: 3.0 - 0.1 * math.log2(trial.base_lr))
    assert all("base_lr" in winner.edges for winner in planned.winners)


def test_diverged_trials_are_results_and_the_search_goes_around_them():
    def high_rates_diverge(trial):
        return math.inf if trial.family == "nfnet" and trial.base_lr > 1.0 else bowl(trial)

    planned, results = run_to_the_end(study(), loss=high_rates_diverge)
    assert len([winner for winner in planned.winners if winner.family == "nfnet"]) == 4
    assert any(result.status == "diverged" for result in results.values())


def test_an_axis_that_improves_moves_the_winner():
    def large_batches_win(trial):
        factor = float(trial.variant.partition("=")[2] or 1)
        return bowl(dataclasses.replace(trial, variant="")) + 0.2 * abs(math.log2(factor / 2))

    planned, _ = run_to_the_end(study(), loss=large_batches_win)
    moved = {winner.candidate.axes for winner in planned.winners if winner.budget_flops >= 2e11}
    assert moved == {(("batch", 2),)}
    assert all("batch" not in winner.edges for winner in planned.winners)


def test_no_more_trials_than_the_bill_says(finished):
    planned, results = finished
    charged = bill(study(), FACTS, plan(study(), FACTS, {}))
    assert len(results) <= charged.trials_at_most
    for row in charged.rows:
        trials = [t for t in planned.trials if (t.family, t.budget_flops) == (row.family, row.budget_flops)]
        assert len(trials) <= row.trials_at_most


def test_a_larger_ladder_keeps_the_trials_that_still_apply(finished):
    _, results = finished
    wider = study(search={"audit_budgets": [6e10]})
    planned = plan(wider, FACTS, results)
    assert {trial.spec.fingerprint for trial in planned.trials} > set(results)
    assert {trial.role for trial in planned.pending(results)} == {"audit"}


def test_an_audit_runs_the_whole_grid_at_the_middle_size():
    planned, _ = run_to_the_end(study(search={"audit_budgets": [6e10]}))
    audited = [t for t in planned.trials if t.budget_flops == 6e10 and t.spec.held_out == "select" and not t.variant]
    rates = Counter((trial.family, trial.spec.architecture) for trial in audited)
    assert max(rates.values()) == len(study().families[0].base_lr.values)


def test_unequal_search_cannot_be_written_down():
    families = [dataclasses.asdict(entry) for entry in study().families]
    families[1]["base_lr"]["high"] = 0.064
    with pytest.raises(SpecError, match="unequal search: base_lr grid values"):
        study(families=families)
    families = [dataclasses.asdict(entry) for entry in study().families]
    families[0]["axes"] = {}
    with pytest.raises(SpecError, match="unequal search: axes"):
        study(families=families)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ladder": {"budgets": [2e10, 1e10]}}, "strictly rising"),
        ({"ladder": {"budgets": [1e10], "min_steps": 10}}, "at least 500"),
        ({"verdict": {"seeds": 2}}, "at least 3"),
        ({"search": {"audit_budgets": [1.0]}}, "one of ladder.budgets"),
        ({"ladder": {"budgetz": [1e10]}}, "did you mean 'budgets'"),
        ({"search": {"cap": 2}}, "at least 3"),
        ({"verdict": {"control_budget": 0.0}}, "one of ladder.budgets"),
        ({"ladder": {"budgets": [1e9 * 2**step for step in range(65)]}}, "at most 64"),
        ({"ladder": {"budgets": [1e10], "max_epochs": "4"}}, "valid number, saw '4'"),
        ({"ladder": {"budgets": [True]}}, "valid number, saw True"),
        ({"dtype": "float64"}, "Input should be 'float32' or 'bfloat16'"),
        ({"execution": {"threads": 0}}, "from 1 to 1024"),
        (
            {"execution": {"microbatch_size": 0}},
            "from 1 to 16777216 examples, or left out, saw 0",
        ),
        ({"execution": {"num_devices": 0}}, "from 1 to 4096, saw 0"),
        ({"execution": {"launcher": "lsf"}}, "Input should be 'local', 'slurm' or 'ray', saw 'lsf'"),
        ({"name": "a/b"}, "a name of at most 100 bytes"),
        ({"question": "\x1b[2J"}, "none of them a control character"),
    ],
)
def test_a_spec_that_cannot_be_fair_is_refused_with_the_reason(changes, message):
    with pytest.raises(SpecError, match=message):
        study(**changes)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({"field": "model.s", "values": [4, 32]}, "cannot read .s32."),
        ({"field": "recipe.momentum", "values": [0.9, 1.5]}, "momentum must be in"),
        ({"field": "recipe.agc_lambda", "values": [0.04, 0.08]}, "must hold the default of 0.16"),
        (
            {"field": "recipe.beta2", "values": [0.9, 0.999]},
            "searches beta2, which changes nothing: the optimizer is sgd",
        ),
        ({"field": "recipe.ema_fraction", "values": [0.0, 0.05]}, "ema_fraction is 0"),
        ({"field": "recipe.nesterov", "values": [0, 1]}, "nesterov must be true or false, saw 0"),
        (
            {"field": "recipe.optimizer", "values": ["evil", "sgd"]},
            "optimizer must be one of 'sgd', 'adamw', saw 'evil'",
        ),
        ({"field": "model.p", "values": [4, 8]}, "cannot read 'p4'"),
        ({"field": "model.s", "values": [4, 8.5]}, "cannot read 's8.5'"),
    ],
)
def test_an_axis_value_that_cannot_be_meant_is_refused_before_anything_is_trained(axis, message):
    family = dataclasses.asdict(study().families[0]) | {"axes": {"odd": axis}}
    with pytest.raises(SpecError, match=message):
        plan(study(families=[family]), FACTS, {})


def test_values_that_are_sound_alone_and_not_together_are_refused_before_anything_is_trained():
    axes = {
        "width": {"field": "model.w", "values": [64, 96]},
        "heads": {"field": "model.h", "values": [2, 3]},
    }
    family = dataclasses.asdict(study().families[1]) | {"axes": axes, "sizes": ["vit:w96-d2-p8-h2"]}
    with pytest.raises(SpecError, match="heads must be a divisor of the width 64, saw 3"):
        plan(study(families=[family]), FACTS, {})


def test_a_study_of_more_cells_than_can_be_planned_is_refused():
    families = [dataclasses.asdict(entry) for entry in study().families]
    families[1]["sizes"] = [f"vit:w{8 * width}-d1-p8" for width in range(1, 128)]
    ladder = {"budgets": [1e10 * 1.1**step for step in range(40)]}
    with pytest.raises(SpecError, match="at most 4096 cells"):
        study(families=families, ladder=ladder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"check_budgets": [2e10]}}, "no family has any"),
        ({"verdict": {"swap_budget": 2e10}}, "give every family a"),
    ],
)
def test_what_is_said_and_would_be_ignored_is_refused(changes, message):
    families = [dataclasses.asdict(entry) | {"axes": {}} for entry in study().families]
    with pytest.raises(SpecError, match=message):
        study(families=families, **changes)


def test_a_swap_that_no_rung_asks_for_or_of_an_unknown_recipe_is_refused():
    swap = {"recipe": "vit-shrt", "base_lr": {"low": 0.1, "start": 0.1, "high": 0.1}, "lr_batch_exponent": 0.5}
    families = [dataclasses.asdict(entry) | {"swap": swap} for entry in study().families]
    with pytest.raises(SpecError, match="says how, and nothing where"):
        study(families=families)
    with pytest.raises(SpecError, match="unknown recipe 'vit-shrt'"):
        plan(study(families=families, verdict={"swap_budget": 2e10}), FACTS, {})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (["vit:w16-d2-p8"], "is not of family 'nfnet'"),
        (["nfnet:w8-x9"], "nfnet"),
        (["nfnet:w16-d1x1-s4", "nfnet:w8-d1x1-s4"], "rising"),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused(sizes, message):
    families = [dataclasses.asdict(entry) for entry in study().families]
    families[0]["sizes"] = sizes
    with pytest.raises(SpecError, match=message):
        plan(study(families=families), FACTS, {})
