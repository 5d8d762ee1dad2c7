"""Walking outward: winners lie inside, wherever the optimum is; the same trials whatever comes in first."""

import dataclasses
import math
import random

import pytest

from levelfield.records.errors import SpecError
from levelfield.study.bill.bill import bill
from levelfield.study.plan.plan import Planner, plan
from levelfield.study.plan.rung import size_edges
from levelfield.study.plan.search import foreseen_gain
from levelfield.study.planned import PlannedTrial
from tests.study.simulated import FACTS, outcome_of, study

SIZES = {
    "nfnet": [f"nfnet:w{width}-d1x1-s4" for width in (4, 6, 8, 12, 16, 24, 32, 48, 64, 96)],
    "vit": [f"vit:w{width}-d1-p8" for width in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192)],
}


def outward(**changes):
    """A study with ten sizes a family, of which a walk tries those that it needs."""
    families = [dataclasses.asdict(entry) for entry in study().families]
    for entry in families:
        entry["sizes"] = SIZES[entry["name"]]
        entry["axes"]["batch"]["values"] = list(entry["axes"]["batch"]["values"])
        del entry["swap"]
    return study(families=families, **{"search": {"sizes": "outward", "cap": 7}, **changes})


def run_to_the_end(spec, *, loss, choose=lambda waiting: waiting[0]):
    """The plan at its end and the results, told to one planner in the order that ``choose`` picks."""
    planner, results = Planner(spec, FACTS, {}), {}
    waiting = list(planner.newly_wanted())
    while waiting:
        trial = choose(waiting)
        waiting.remove(trial)
        results[trial.spec.fingerprint] = outcome_of(trial, loss(trial))
        planner.learn(trial.spec.fingerprint, results[trial.spec.fingerprint])
        waiting += planner.newly_wanted()
    return planner.plan(), results


def bowl_about(size_at, *, rate=0.0, batch=0.0):
    """Losses that are lowest at ln FLOPs an example of ``size_at`` (ln budget), and so many octaves off the start."""

    starts = {entry.name: entry.base_lr.start for entry in outward().families}

    def loss(trial):
        size = math.log(trial.budget_flops / trial.spec.examples) - size_at(math.log(trial.budget_flops))
        off = math.log2(trial.base_lr / starts[trial.family]) - rate
        moved = math.log2(float(trial.variant.partition("=")[2] or 1)) - batch
        noise = random.Random(trial.spec.fingerprint).gauss(0, 1e-4)
        return math.exp(
            0.5 + 0.05 * size**2 + 0.03 * off**2 + 0.02 * moved**2 + noise - 0.1 * math.log(trial.budget_flops)
        )

    return loss


@pytest.mark.parametrize(("offset", "rate", "batch"), [(-12.2, 0.4, 0.2), (-11.0, -2.3, 0.4), (-10.2, 2.0, -1.0)])
def test_winners_lie_inside_and_next_to_the_optimum_wherever_it_is(offset, rate, batch):
    loss = bowl_about(lambda budget: offset + budget, rate=rate, batch=batch)
    planned, _ = run_to_the_end(outward(), loss=loss)
    assert len(planned.winners) == 8
    for winner in planned.winners:
        cells = [cell for cell in planned.cells_of(winner.family, winner.budget_flops) if not cell.affordable.refusal]
        trials = [trial for trial in planned.trials if trial.role == "search"]
        own = [t for t in trials if (t.family, t.budget_flops) == (winner.family, winner.budget_flops)]
        off = abs(math.log(winner.affordable.flops_per_example) - offset - math.log(winner.budget_flops))
        nearest = min(
            abs(math.log(cell.affordable.flops_per_example) - offset - math.log(cell.budget_flops)) for cell in cells
        )
        assert off < nearest + 0.35
        assert len({trial.spec.architecture for trial in own}) < len(cells) or len(cells) < 5
    assert all(not {"base_lr", "batch"} & set(winner.edges) for winner in planned.winners)


def test_what_is_run_does_not_depend_on_the_order_of_arrival():
    loss = bowl_about(lambda budget: budget - 11.0, rate=-1.0, batch=0.5)
    first = run_to_the_end(outward(), loss=loss)
    for seed in (0, 1):
        assert run_to_the_end(outward(), loss=loss, choose=random.Random(seed).choice) == first


def test_a_planner_that_is_told_one_result_after_the_other_plans_what_plan_does():
    loss = bowl_about(lambda budget: budget - 11.5, rate=1.0)
    planner, results = Planner(outward(), FACTS, {}), {}
    waiting = list(planner.newly_wanted())
    while waiting:
        trial = waiting.pop(0)
        assert isinstance(trial, PlannedTrial)
        results[trial.spec.fingerprint] = outcome_of(trial, loss(trial))
        planner.learn(trial.spec.fingerprint, results[trial.spec.fingerprint])
        waiting += planner.newly_wanted()
        if len(results) % 20 == 0:
            assert planner.plan() == plan(outward(), FACTS, results)
    assert planner.plan() == plan(outward(), FACTS, results)


def test_an_optimum_beyond_the_smallest_size_is_an_edge_at_every_rung_that_could_run_it():
    loss = bowl_about(lambda budget: 9.5)  # ln FLOPs an example: the smallest size costs e^12
    planned, _ = run_to_the_end(outward(ladder={"budgets": [2e10, 6e10]}), loss=loss)
    assert all("size" in winner.edges for winner in planned.winners)
    assert {winner.candidate.architecture for winner in planned.winners} == {SIZES["nfnet"][0], SIZES["vit"][0]}


def test_a_walk_that_the_cap_ends_is_an_edge_unless_little_is_foreseen_beyond():
    loss = bowl_about(lambda budget: budget - 11.0, rate=30.0)
    capped = outward(search={"sizes": "outward", "cap": 3})
    planned, _ = run_to_the_end(capped, loss=loss)
    assert all("base_lr" in winner.edges for winner in planned.winners)
    inside = bowl_about(lambda budget: budget - 11.0)
    starts = {entry.name: entry.base_lr.start for entry in capped.families}

    def falls_ever_less(trial):
        alone = inside(dataclasses.replace(trial, base_lr=starts[trial.family]))
        return alone * math.exp(0.01 * starts[trial.family] / trial.base_lr)

    flat, _ = run_to_the_end(capped, loss=falls_ever_less)
    assert all("base_lr" not in winner.edges for winner in flat.winners)
    rates = {winner.candidate.base_lr / starts[winner.family] for winner in flat.winners}
    assert min(rates) >= 2


def test_it_takes_a_share_of_what_training_every_size_does_and_never_more_than_the_bill():
    loss = bowl_about(lambda budget: budget - 11.0)
    walked, results = run_to_the_end(outward(), loss=loss)
    grid, all_results = run_to_the_end(outward(search={"sizes": "all", "cap": 7}), loss=loss)
    assert len(results) < 0.8 * len(all_results)
    assert {w.candidate.architecture for w in walked.winners} == {w.candidate.architecture for w in grid.winners}
    charged = bill(outward(), FACTS, plan(outward(), FACTS, {}))
    for row in charged.rows:
        trials = [t for t in walked.trials if (t.family, t.budget_flops) == (row.family, row.budget_flops)]
        assert len(trials) <= row.trials_at_most


def test_a_rung_of_which_every_trial_diverged_has_no_winner_and_the_next_starts_from_below_it():
    middle = outward().ladder.budgets[1]
    loss = bowl_about(lambda budget: budget - 11.0)
    planned, _ = run_to_the_end(outward(), loss=lambda trial: math.inf if trial.budget_flops == middle else loss(trial))
    assert {winner.budget_flops for winner in planned.winners} == set(outward().ladder.budgets) - {middle}


def test_a_size_that_the_protocol_refuses_is_no_edge_and_one_that_was_never_declared_is():
    spec = study(ladder={"budgets": [1e10]})
    planned = plan(spec, FACTS, {})
    listed = list(planned.cells_of("nfnet", 1e10))
    allowed = [cell for cell in listed if not cell.affordable.refusal]
    assert len(allowed) < len(listed)
    assert size_edges(spec, listed, allowed) == {0}, "larger ones are refused, smaller ones were never declared"


def test_what_is_foreseen_beyond_is_the_sum_of_steps_that_gain_ever_less():
    assert foreseen_gain([math.e**0.19, math.e**0.09, 1.0]) == pytest.approx(0.09 * 0.9 / (1 - 0.9))
    assert foreseen_gain([math.e**0.3, math.e**0.1, 1.0]) == pytest.approx(0.15), "the mean of both is more"
    assert foreseen_gain([1.0, 0.9, 0.8]) == math.inf, "steps that gain more and more"
    assert foreseen_gain([None, 1.1, 1.0]) == math.inf
    assert foreseen_gain([2.0, 1.0, 1.0]) == 0.0


def test_a_walk_brackets_winners_and_cannot_be_asked_not_to():
    with pytest.raises(SpecError, match="bracket_winners"):
        outward(search={"sizes": "outward", "bracket_winners": False})
