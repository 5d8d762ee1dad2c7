"""Isoflop profiles, allocation, tuning curves and predictions."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from levelfield.records.errors import InputError, RefusedError
from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.report.words.predictions import prediction_sentence
from levelfield.report.words.told import told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.next.predict import predict
from levelfield.scaling.optimum.isoflop import allocation, isoflop_profiles
from levelfield.scaling.optimum.tuning import learning_rate_cells, tuning_status
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.optima import FewVertices, FlatWithinNoise, OpensDownwards
from levelfield.scaling.results.refusals import AllocationOf
from tests.narrowed import of_kind, present
from tests.scaling.planted import BUDGETS, binomial_bounds, saturating_loss, search_rows, winner_rows


def study(*, run_sd: float = 0.003, place: int = 0, **search):
    generator = np.random.default_rng([9, place])
    rows = search_rows(generator, run_sd=run_sd, **search)
    return [*rows, *winner_rows(generator, families=("nfnet",), seed_sd=run_sd or 0.001)]


def test_vertices_and_allocation_exponents_recover_the_planted_optimum():
    found = analyse(study(params_exponent=0.6))
    for profile in found.isoflop:
        optimum = 3e4 * (profile.budget_flops / 1e11) ** 0.6
        assert isinstance(profile.optimal_params, Interval)
        assert profile.optimal_params.low * 0.9 < optimum < profile.optimal_params.high * 1.1
    (allocated,) = found.allocations
    assert allocated.params_exponent is not None
    assert allocated.examples_exponent is not None
    assert allocated.params_exponent.low < 0.6 < allocated.params_exponent.high
    assert allocated.examples_exponent.low < 0.4 < allocated.examples_exponent.high


def test_the_allocation_exponent_is_covered_at_the_stated_rate():
    hits = 0
    for place in range(60):
        rows = search_rows(np.random.default_rng([10, place]), run_sd=0.005, rates=(0.2,))
        profiles = isoflop_profiles(rows, seed_sd=None, level=0.9, generator=np.random.default_rng(0))
        exponent = allocation(profiles, "nfnet", level=0.9).params_exponent
        hits += exponent is None or exponent.low <= 0.5 <= exponent.high
    print(f"allocation exponent: coverage at 0.9: {hits / 60}")
    assert hits / 60 >= binomial_bounds(0.9, 60)[0]


@pytest.mark.parametrize("seed_sd", [0.004, None])
@pytest.mark.parametrize("num_sizes", [5, 7])
def test_a_vertex_is_covered_at_the_stated_rate_with_the_noise_known_and_without(num_sizes, seed_sd):
    sizes, hits = tuple(np.geomspace(0.25, 4.0, num_sizes)), []
    for place in range(60):
        generator = np.random.default_rng([11, place])
        rows = search_rows(generator, sizes=sizes, rates=(0.2,), run_sd=0.004)
        for profile in isoflop_profiles(rows, seed_sd=seed_sd, level=0.9, generator=generator):
            optimum = 3e4 * (profile.budget_flops / 1e11) ** 0.5
            found = profile.optimal_params
            hits.append(isinstance(found, Interval) and found.low <= optimum <= found.high)
    print(f"{num_sizes} sizes, seed noise {seed_sd}: coverage of a vertex at 0.9: {np.mean(hits):.3f}")
    low, high = binomial_bounds(0.9, len(hits))
    assert low <= np.mean(hits) <= high


def test_a_noise_that_few_seeds_tell_makes_wider_intervals_than_a_noise_that_is_known():
    rows = search_rows(np.random.default_rng(12), rates=(0.2,), run_sd=0.0002)

    def widths(degrees):
        generator = np.random.default_rng(0)
        found = isoflop_profiles(rows, seed_sd=0.0002, degrees_of_freedom=degrees, level=0.9, generator=generator)
        return np.array(
            [
                math.log(p.optimal_params.high / p.optimal_params.low)
                for p in found
                if isinstance(p.optimal_params, Interval)
            ]
        )

    # A few hundred draws find the 95 % point of t with 2 degrees of freedom to about 10 %.
    assert np.mean(widths(2.0) / widths(math.inf)) == pytest.approx(2.92 / 1.645, rel=0.15)


@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        ((1.0, 2.0, 5.0), "a bound: the best size is the smallest of those tried"),
        ((0.2, 0.5, 1.0), "a bound: the best size is the largest of those tried"),
        ((0.5, 1.0), "2 sizes, at least 3 are needed for a vertex"),
    ],
)
def test_an_optimum_at_an_edge_is_a_bound_and_never_an_optimum(sizes, status):
    found = analyse(study(sizes=sizes, run_sd=0.0))
    assert {told(of_kind(Reason, profile.optimal_params)) for profile in found.isoflop} == {status}
    (allocated,) = found.allocations
    assert allocated.params_exponent is None
    assert allocated.status == FewVertices(num=0, num_rungs=5, needed=4)
    assert any(refusal.what == AllocationOf(family="nfnet") for refusal in found.refusals)


def test_a_parabola_that_opens_downwards_is_refused():
    """The best size is interior, yet the shape around it is a maximum."""
    rows = search_rows(np.random.default_rng(0), budgets=(1e11,), rates=(0.2,))
    bumpy = [dataclasses.replace(row, loss=loss) for row, loss in zip(rows, (2.0, 2.5, 1.99, 2.5, 2.0), strict=True)]
    (profile,) = analyse(bumpy).isoflop
    assert profile.optimal_params == OpensDownwards()


def test_a_profile_flat_within_the_noise_of_seeds_has_no_vertex():
    rows = search_rows(np.random.default_rng(0), budgets=(1e11,), sizes=(0.9, 1.0, 1.1), rates=(0.2,))
    noisy = winner_rows(np.random.default_rng(0), families=("nfnet",), seed_sd=0.05)
    (profile,) = analyse([*rows, *noisy]).isoflop
    assert profile.optimal_params == FlatWithinNoise()


def test_a_profile_takes_no_size_by_a_variant_that_other_sizes_did_not_try():
    rows = search_rows(np.random.default_rng(0), budgets=(1e11,))
    lucky = dataclasses.replace(rows[0], run="check", variant="batch_factor=2", loss=0.1)
    audit = dataclasses.replace(rows[0], run="audit", role="audit", loss=0.1)
    assert analyse([*rows, lucky, audit]).isoflop == analyse(rows).isoflop


@pytest.mark.parametrize(
    ("tried", "best", "status"),
    [
        ((0.1, 0.2, 0.4), 0.2, "bracketed"),
        ((0.1, 0.2), 0.2, "one-sided"),
        ((0.1, 0.2), 0.1, "bound"),
        ((0.2,), 0.2, "bound"),
    ],
)
def test_a_tuning_curve_is_bracketed_one_sided_or_a_bound(tried, best, status):
    assert tuning_status(tried, best) == status


def test_tuning_curves_compare_like_with_like():
    rows = search_rows(np.random.default_rng(0), budgets=(1e11,), sizes=(1.0,))
    first = rows[0]
    checks = [
        dataclasses.replace(first, run=f"check-{rate}", base_lr=rate, variant="batch_factor=2", loss=1.0 + rate)
        for rate in (0.2, 0.4)
    ]
    audit = dataclasses.replace(first, run="audit", role="audit", base_lr=0.8, loss=9.0)
    plain, check = sorted(learning_rate_cells([*rows, *checks, audit]), key=lambda cell: cell.variant)
    assert [rate for rate, _ in plain.tried] == [0.1, 0.2, 0.4, 0.8]
    assert (plain.best_base_lr, plain.status, plain.audited) == (0.2, "bracketed", True)
    assert (check.model, check.variant) == (plain.model, "batch_factor=2")
    assert (check.best_base_lr, check.status) == (0.2, "bound")


def test_a_prediction_gives_loss_size_examples_epochs_and_rate_of_the_planted_optimum():
    (prediction,) = predict(analyse(study()), budget=6e12)
    assert prediction.loss is not None
    assert prediction.loss.low < saturating_loss(6e12) < prediction.loss.high
    optimum = 3e4 * math.sqrt(60)
    assert prediction.params == pytest.approx(optimum, rel=0.15)
    assert prediction.examples == pytest.approx(6e12 / 600 / optimum, rel=0.15)
    assert prediction.epochs is not None
    assert prediction.base_lr == pytest.approx(0.2, rel=0.05)
    assert "a surface fitted on 25 tuning curves; 25 cells are bracketed" in prediction_sentence(prediction)
    assert "beyond 10x" not in prediction_sentence(prediction)


def test_a_prediction_far_out_is_labelled_and_wider():
    analysis = analyse(study(run_sd=0.01))
    (near,), (far,) = (predict(analysis, budget=budget) for budget in (3e12, 1e15))
    assert prediction_sentence(far).count("beyond 10x the data: the top fitted rung is 500 times cheaper") == 1
    (below,) = predict(analysis, budget=min(BUDGETS) / 200)
    assert "below the data: the cheapest fitted rung is 200 times dearer" in prediction_sentence(below)
    assert near.loss is not None
    assert far.loss is not None
    assert math.log(far.loss.high / far.loss.low) > 2 * math.log(near.loss.high / near.loss.low)


def test_a_prediction_without_vertices_or_brackets_is_a_guess_that_says_so():
    rows = study(sizes=(1.0, 2.0), rates=(0.1, 0.2))
    (prediction,) = predict(analyse(rows), budget=8e12)
    assert prediction.params == pytest.approx(2 * 3e4 * math.sqrt(20))
    assert prediction.params_interval is None
    assert "too few rungs have a vertex" in prediction_sentence(prediction)
    assert prediction.base_lr == 0.2
    assert "one-sided" in prediction_sentence(prediction)


def test_without_a_law_nothing_is_predicted():
    rows = winner_rows(np.random.default_rng(0), budgets=BUDGETS[:3])
    with pytest.raises(RefusedError, match=r"no-law-to-predict \(why \(FewBudgets\(num=3"):
        predict(analyse(rows), budget=1e13)
    with pytest.raises(InputError, match="budget must be positive"):
        predict(analyse(rows), budget=-1.0)


def test_the_rate_follows_a_planted_trend_in_size_and_examples():
    rows = []
    for row in search_rows(np.random.default_rng(0), rates=tuple(0.2 * 2.0**octave for octave in range(-5, 4))):
        optimum = 0.2 * (present(row.examples) / 1e4) ** -0.2 * (present(row.params) / 3e4) ** -0.1
        off = math.log2(row.base_lr / optimum)
        size = math.log(present(row.params) / (3e4 * math.sqrt(row.budget_flops / 1e11)))
        loss = saturating_loss(row.budget_flops) * math.exp(0.04 * size**2 + 0.05 * off**2)
        rows.append(Observation(**{**vars(row), "loss": loss}))
    (prediction,) = predict(analyse(rows), budget=6e12)
    assert prediction.params is not None
    assert prediction.examples is not None
    optimum = 0.2 * (prediction.examples / 1e4) ** -0.2 * (prediction.params / 3e4) ** -0.1
    assert prediction.base_lr == pytest.approx(optimum, rel=0.25)
