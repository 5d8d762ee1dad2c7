"""Next trials: the design is the best there is in small cases, pays no more than it may, and refuses with a reason."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from levelfield.records.errors import InputError, RefusedError
from levelfield.records.observation import Observation
from levelfield.report.words.told import told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.next.design import best_design, candidates, propose, variance
from levelfield.scaling.next.knowledge import MOST_NEW_SEEDS, MOST_PROFILES, loss_knowledge, size_knowledge
from levelfield.scaling.optimum.isoflop import isoflop_profiles
from levelfield.scaling.optimum.local import local_minimum
from levelfield.scaling.results.reasons.laws import FewBudgets
from levelfield.scaling.results.reasons.predictions import EdgesBeforeSeeds, NoLawToPlan
from tests.scaling.planted import BUDGETS, search_rows, winner_rows

SPENDS = [1e11, 2e11, 5e11, 1e12, 2e12, 5e12, 1e13, 3e13]


@pytest.fixture(scope="module")
def found():
    return analyse(winner_rows(np.random.default_rng(0), seed_sd=0.01))


def chosen(analysis, family):
    return next(law for law in analysis.laws if law.family == family and law.currency == "flops" and law.chosen)


@pytest.mark.parametrize("families", [("vit",), ("nfnet", "vit")])
@pytest.mark.parametrize("allowance", [7e12, 1.3e13, 2e13])
def test_the_design_is_that_of_an_exhaustive_search(found, families, allowance):
    known = [loss_knowledge(chosen(found, family), target=8e12, num_seeds=3) for family in families]
    choices = [c for c in candidates(known, target=8e12, allowance=allowance, num_seeds=3) if c.flops > 1.6e12]
    costs = np.array([choice.flops for choice in choices])
    most = [range(min(MOST_NEW_SEEDS // 3, int(allowance // cost)) + 1) for cost in costs]
    affordable = (np.array(c) for c in itertools.product(*most) if np.dot(costs, c) <= allowance)
    best = min(variance(known, choices, counts) for counts in affordable)
    reached = variance(known, choices, best_design(known, choices, allowance))
    assert len(choices) >= 2
    assert reached == pytest.approx(best, rel=1e-6)


@pytest.mark.slow
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


def test_edges_stand_before_a_verdict_and_are_named_before_seeds_are_bought(found):
    top = max(winner.budget_flops for winner in found.winners)
    bound = [
        dataclasses.replace(winner, edges=("size",) if (winner.family, winner.budget_flops) == ("vit", top) else ())
        for winner in found.winners
    ]
    edged = dataclasses.replace(found, winners=tuple(bound))
    first, *_ = propose(edged, target=1e13, allowance=5e12, want="verdict").notes
    assert first == EdgesBeforeSeeds(family="vit", edges=("size",), num_rungs=1)
    assert "1 of the winners of ViT lie at an edge of their search (size)" in told(first)
    free = propose(found, target=1e13, allowance=5e12, want="verdict")
    for proposal in (free, propose(edged, target=1e13, allowance=5e12, family="vit")):
        assert not any(isinstance(note, EdgesBeforeSeeds) for note in proposal.notes)


def test_the_same_results_give_the_same_trials(found):
    again = analyse(reversed(winner_rows(np.random.default_rng(0), seed_sd=0.01)))
    asked = {"target": 1e13, "allowance": 5e12, "want": "verdict"}
    assert propose(found, **asked) == propose(again, **asked)


def test_the_standard_error_it_promises_is_that_of_refitted_studies(found):
    from levelfield.scaling.fitting.solver import solve_many
    from levelfield.scaling.laws import LAWS

    generator = np.random.default_rng(1)
    law = LAWS["log-log"]
    line = next(each for each in found.laws if each.family == "vit" and each.form == "log-log")
    known = loss_knowledge(line, target=1e13, num_seeds=3)
    run_variance = 3 * float(np.mean(line.errors.variances))
    choices = candidates([known], target=1e13, allowance=5e12, num_seeds=3)
    counts = best_design([known], choices, 5e12)
    runs = [(budget, 3) for budget in BUDGETS]
    runs += [(choice.budget_flops, 3 * n) for choice, n in zip(choices, counts, strict=True) if n]
    x, num = np.log([run[0] for run in runs])[:, None] - np.log(2e11), np.array([run[1] for run in runs])
    y = 1 - 0.1 * x[:, 0] + np.sqrt(run_variance / num) * generator.standard_normal((4000, len(x)))
    thetas = solve_many(law, x, y, weights=num.astype(float))
    seen = law.log_loss(thetas, np.log([[1e13 / 2e11]]))[:, 0].std()
    assert seen == pytest.approx(np.sqrt(variance([known], choices, counts)), rel=0.05)


SIZES = (0.25, 0.5, 1.0, 2.0, 4.0)


@pytest.fixture(scope="module")
def sized():
    return analyse(search_rows(np.random.default_rng(0), sizes=SIZES, rates=(0.2,), run_sd=0.005))


def test_the_optimal_size_is_planned_for_by_new_profiles_about_the_foretold_one(sized):
    proposal = propose(sized, target=1e13, allowance=2e13, want="size")
    assert 0 < proposal.flops <= 2e13
    assert proposal.sd_after < 0.9 * proposal.sd_before
    for trial in proposal.trials:
        assert trial.flops == pytest.approx(trial.budget_flops * len(trial.sizes))
        assert len(trial.sizes) in (5, 10, 15)
        middle = np.exp(np.mean(np.log(trial.sizes)))
        assert middle == pytest.approx(3e4 * (trial.budget_flops / 1e11) ** 0.5, rel=0.1)
        assert trial.sizes[-1] / trial.sizes[0] == pytest.approx(16, rel=0.01)


@pytest.mark.parametrize("allowance", [1e13, 3e13])
def test_the_design_for_the_size_is_that_of_an_exhaustive_search(sized, allowance):
    known = [size_knowledge(sized.isoflop, "nfnet", target=8e12)]
    choices = [c for c in candidates(known, target=8e12, allowance=allowance, num_seeds=1) if c.budget_flops > 4e11]
    costs = np.array([choice.flops for choice in choices])
    every = (np.array(c) for c in itertools.product(range(MOST_PROFILES + 1), repeat=len(choices)))
    best = min(variance(known, choices, counts) for counts in every if costs @ counts <= allowance)
    reached = variance(known, choices, best_design(known, choices, allowance))
    assert len(choices) >= 3
    assert reached == pytest.approx(best, rel=1e-6)


@pytest.mark.slow
def test_the_standard_error_it_promises_for_the_size_is_that_of_refitted_studies():
    """Vertices of noisy profiles and the line through them, over and over; the noise is known from replicated cells."""
    generator, sd, target = np.random.default_rng(2), 0.003, np.log(1e13 / 1e11)
    clean = search_rows(generator, sizes=SIZES, rates=(0.2,))
    profiles = isoflop_profiles(clean, seed_sd=sd, level=0.9, generator=generator)
    known = [size_knowledge(profiles, "nfnet", target=1e13)]
    choices = candidates(known, target=1e13, allowance=2e13, num_seeds=1)
    counts = best_design(known, choices, 2e13)
    rungs = {budget: np.log(SIZES) for budget in BUDGETS}
    for choice, count in zip(choices, counts, strict=True):
        if count:
            sizes = np.array(known[0].sizes(choice.budget_flops, int(count)))
            budget = min(rungs, key=lambda rung, own=choice.budget_flops: abs(np.log(rung / own)))
            budget = budget if np.isclose(budget, choice.budget_flops) else choice.budget_flops
            off = np.log(sizes / (3e4 * (choice.budget_flops / 1e11) ** 0.5))
            rungs[budget] = np.sort(np.concatenate([rungs.get(budget, []), off]))
    x, seen = np.log(np.array(list(rungs)) / 1e11), []
    for _ in range(1000):
        vertices = [
            local_minimum(off, 0.04 * off**2 + sd * generator.standard_normal(len(off))) for off in rungs.values()
        ]
        slope, start = np.polyfit(x, np.array(vertices, dtype=float), 1)
        seen.append(start + slope * target)
    assert len(rungs) > len(BUDGETS)
    assert np.std(seen) == pytest.approx(np.sqrt(variance(known, choices, counts)), rel=0.15)


def test_scatter_of_the_vertices_beyond_noise_is_not_mended_by_more_profiles_at_a_budget():
    generator = np.random.default_rng(3)
    rows = [
        row
        for exponent, budgets in ((0.3, BUDGETS[:3]), (0.7, BUDGETS[3:]))
        for row in search_rows(generator, budgets=budgets, sizes=SIZES, rates=(0.2,), params_exponent=exponent)
    ]
    profiles = isoflop_profiles(rows, seed_sd=0.0001, level=0.9, generator=generator)
    after = size_knowledge(profiles, "nfnet", target=1e13).after(np.array([1e13]))
    none, one, three = after(np.array([[0.0], [1.0], [3.0]]))
    assert one < 0.7 * none
    assert three == pytest.approx(one, rel=0.01)


def test_what_cannot_be_planned_is_refused_with_the_reason(found):
    with pytest.raises(RefusedError, match=r"not above the top rung of vit \(2e\+12\)"):
        propose(found, target=2e12, allowance=1e13, family="vit")
    with pytest.raises(RefusedError, match=r"below the cheapest candidate: 3 runs of 2e\+10 take 6e\+10"):
        propose(found, target=1e13, allowance=5.9e10, family="vit")
    few = analyse(winner_rows(np.random.default_rng(0), budgets=BUDGETS[:3]))
    with pytest.raises(RefusedError, match=r"no-law-to-plan \(family vit, why \(FewBudgets\(num=3"):
        propose(few, target=1e13, allowance=5e12, family="vit")
    with pytest.raises(InputError, match="the size of vit needs searched runs with parameters and examples"):
        propose(found, target=1e13, allowance=5e12, want="size", family="vit")
    edges = analyse(search_rows(np.random.default_rng(0), sizes=(1.0, 2.0, 4.0), rates=(0.2,)))
    with pytest.raises(RefusedError, match="0 of 5 rungs have a vertex"):
        propose(edges, target=1e13, allowance=5e12, want="size")
    with pytest.raises(InputError, match="the loss of which family"):
        propose(found, target=1e13, allowance=5e12)
    with pytest.raises(InputError, match="allowance must be positive"):
        propose(found, target=1e13, allowance=float("nan"), family="vit")


def test_the_reason_that_is_told_is_that_of_the_family_asked_for_whatever_others_are_called():
    """A name that begins like another's sentence ("a in flops") once gave that other family's reason."""
    few = [run(f"{family} {place}", family, 10.0 ** (10 + place), 2.0 - 0.1 * place)
           for family, num in (("a in flops", 2), ("a", 3)) for place in range(num)]  # fmt: skip
    for family, num in (("a in flops", 2), ("a", 3)):
        with pytest.raises(RefusedError) as refused:
            propose(analyse(few, compared=False), target=1e14, allowance=1e14, family=family)
        assert refused.value.reason == NoLawToPlan(family=family, why=(FewBudgets(num=num, needed=4),))


def run(name, family, compute, loss):
    return Observation(
        run=name, family=family, model=family, role="search", loss=loss, budget_flops=compute, train_flops=compute
    )
