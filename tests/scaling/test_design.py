"""Next trials: the design is the best there is in small cases, pays no more than it may, and refuses with a reason."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from levelfield.records.errors import InputError, RefusedError
from levelfield.scaling.analyse import analyse
from levelfield.scaling.design import MOST_SEEDS, best_design, candidates, knowledge, propose, variance
from tests.scaling.planted import BUDGETS, winner_rows

SPENDS = [1e11, 2e11, 5e11, 1e12, 2e12, 5e12, 1e13, 3e13]


@pytest.fixture(scope="module")
def found():
    return analyse(winner_rows(np.random.default_rng(0), seed_sd=0.01))


def chosen(analysis, family):
    return next(law for law in analysis.laws if law.family == family and law.currency == "flops" and law.chosen)


@pytest.mark.parametrize("families", [("vit",), ("nfnet", "vit")])
@pytest.mark.parametrize("allowance", [7e12, 1.3e13, 2e13])
def test_the_design_is_that_of_an_exhaustive_search(found, families, allowance):
    known = [knowledge(chosen(found, family), target=8e12, num_seeds=3) for family in families]
    choices = [c for c in candidates(known, target=8e12, allowance=allowance, num_seeds=3) if c.flops > 1.6e12]
    costs = np.array([choice.flops for choice in choices])
    most = [range(min(MOST_SEEDS // 3, int(allowance // cost)) + 1) for cost in costs]
    affordable = (np.array(c) for c in itertools.product(*most) if np.dot(costs, c) <= allowance)
    best = min(variance(known, choices, counts) for counts in affordable)
    reached = variance(known, choices, best_design(known, choices, allowance))
    assert len(choices) >= 2
    assert reached == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("allowance", [1.3e11, 9.9e11, 5e12, 4.7e13])
@pytest.mark.parametrize("want", ["loss", "verdict"])
def test_the_allowance_is_never_exceeded_and_every_trial_helps(found, allowance, want):
    proposal = propose(found, target=1e13, allowance=allowance, want=want, family="vit" if want == "loss" else None)
    assert 0 < proposal.flops <= allowance
    assert proposal.flops == pytest.approx(sum(t.budget_flops * t.num_seeds for t in proposal.trials))
    assert proposal.sd_after < proposal.sd_before
    assert all(trial.num_seeds in (3, 6, 9, 12) and trial.budget_flops <= 1.0001e13 for trial in proposal.trials)


def test_a_larger_allowance_never_tells_less(found):
    spent = [propose(found, target=1e13, allowance=allowance, family="vit").sd_after for allowance in SPENDS]
    assert spent == sorted(spent, reverse=True)


def test_the_same_results_give_the_same_trials(found):
    again = analyse(reversed(winner_rows(np.random.default_rng(0), seed_sd=0.01)))
    asked = {"target": 1e13, "allowance": 5e12, "want": "verdict"}
    assert propose(found, **asked) == propose(again, **asked)


def test_the_standard_error_it_promises_is_that_of_refitted_studies(found):
    from levelfield.scaling.laws import LAWS
    from levelfield.scaling.solver import solve_many

    generator = np.random.default_rng(1)
    law = LAWS["log-log"]
    line = next(each for each in found.laws if each.family == "vit" and each.form == "log-log")
    known = knowledge(line, target=1e13, num_seeds=3)
    choices = candidates([known], target=1e13, allowance=5e12, num_seeds=3)
    counts = best_design([known], choices, 5e12)
    runs = [(budget, 3) for budget in BUDGETS]
    runs += [(choice.budget_flops, 3 * n) for choice, n in zip(choices, counts, strict=True) if n]
    x, num = np.log([run[0] for run in runs])[:, None] - np.log(2e11), np.array([run[1] for run in runs])
    y = 1 - 0.1 * x[:, 0] + np.sqrt(known.run_variance / num) * generator.standard_normal((4000, len(x)))
    thetas = solve_many(law, x, y, weights=num.astype(float))
    seen = law.log_loss(thetas, np.log([[1e13 / 2e11]]))[:, 0].std()
    assert seen == pytest.approx(np.sqrt(variance([known], choices, counts)), rel=0.05)


def test_what_cannot_be_planned_is_refused_with_the_reason(found):
    with pytest.raises(RefusedError, match=r"not above the top rung of vit \(2e\+12\)"):
        propose(found, target=2e12, allowance=1e13, family="vit")
    with pytest.raises(RefusedError, match=r"below the cheapest candidate: 3 seeds of the lowest rung take 6e\+10"):
        propose(found, target=1e13, allowance=5.9e10, family="vit")
    few = analyse(winner_rows(np.random.default_rng(0), budgets=BUDGETS[:3]))
    with pytest.raises(RefusedError, match="vit has no law to plan from: 3 budgets away from chance"):
        propose(few, target=1e13, allowance=5e12, family="vit")
    with pytest.raises(InputError, match="the loss of which family"):
        propose(found, target=1e13, allowance=5e12)
    with pytest.raises(InputError, match="allowance must be positive"):
        propose(found, target=1e13, allowance=float("nan"), family="vit")
