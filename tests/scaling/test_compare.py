"""Verdicts: what they say, and the rules that forbid them. Their error rates: test_planted_studies.py."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

from levelfield.records.reason import Reason
from levelfield.report.words.told import all_told, told
from levelfield.report.words.verdicts import comparison_sentence, finding, headline
from levelfield.scaling.analyse import analyse
from levelfield.scaling.noise.uncertainty import noise_of
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.reasons.beside import Crosses
from levelfield.scaling.results.reasons.laws import UnlikeDevices
from levelfield.scaling.results.reasons.verdicts import (
    BestIsBound,
    DataLimited,
    FewExamplesCarry,
    FewFreshSeeds,
    LossRises,
    ManyEpochs,
    NoisyClock,
    NoWinnerHere,
    SeedsAlone,
    SignChanges,
    SmallerThanMargin,
    TooNoisy,
)
from levelfield.scaling.results.refusals import VerdictOn
from levelfield.scaling.results.verdicts import Comparison
from levelfield.scaling.verdicts.compare import verdict_at
from levelfield.scaling.verdicts.contrasts import Judged, Seconds, Statement, evidence_of, simultaneous_band
from tests.narrowed import of_kind
from tests.scaling.contested import contested, flops, planted_rows, seconds
from tests.scaling.planted import BUDGETS, saturating_loss, winner_rows, with_examples


def judged(**planted) -> Analysis:
    return analyse(planted_rows(**planted))


def edit(rows, family: str, budget: float, **changes):
    """The rows with one family's rung changed."""
    return [
        dataclasses.replace(row, **changes) if (row.family, row.budget_flops) == (family, budget) else row
        for row in rows
    ]


def test_a_real_difference_is_found_at_every_rung_and_overall_in_the_right_direction():
    found = flops(planted_rows(shift={"nfnet": -0.15}))
    assert found.overall.verdict == "better"
    assert [verdict.verdict for verdict in found.per_budget] == ["better"] * 5
    assert found.overall.difference is not None
    assert found.overall.difference.low < -0.15 < found.overall.difference.high
    assert flops(planted_rows(shift={"nfnet": 0.15})).overall.verdict == "worse"


def test_equal_families_with_enough_seeds_are_equivalent_everywhere():
    found = flops(planted_rows(seeds=8, seed_sd=0.01))
    assert found.overall.verdict == "equivalent"
    assert {verdict.verdict for verdict in found.per_budget} == {"equivalent"}
    assert "equivalent within 5 % of loss" in finding(found)


def test_few_noisy_seeds_cannot_tell_and_the_refusal_says_how_many_would():
    found = judged(seed_sd=0.1)
    assert flops(found).overall.verdict == "cannot tell"
    assert isinstance(flops(found).overall.reasons[0], TooNoisy)
    asked = VerdictOn(a="nfnet", b="vit", currency="flops")
    (refusal,) = (r for r in found.refusals if r.what == asked)
    assert "seeds a winner would decide a margin of 0.05" in told(of_kind(Reason, refusal.remedy))


def test_a_detected_difference_smaller_than_the_margin_is_equivalent_and_says_so():
    found = flops(planted_rows(shift={"nfnet": -0.02}, seeds=10, seed_sd=0.003))
    assert found.overall.verdict == "equivalent"
    assert found.overall.reasons[0] == SmallerThanMargin()


def test_a_mean_within_the_margin_is_not_equivalent_where_the_trend_leaves_it():
    """nfnet is 8 % worse at the bottom and 8 % better at the top: their mean is 0."""
    rows = winner_rows(np.random.default_rng(0), seed_sd=0.004)
    overall = flops(tilt(rows, 0.04, middle=2)).overall
    assert overall.verdict == "depends on compute"
    assert overall.reasons[0] == SignChanges(better=(2e12,), worse=(2e10,))
    assert told(overall.reasons[0]) == "the sign changes over the range: better at 2×10¹²; worse at 2×10¹⁰"
    assert overall.difference is not None
    assert abs(overall.difference.estimate) < 0.02


AT_THE_TOP = "At equal training FLOPs and the largest budget of both (2×10¹² FLOPs)"


def plain_spaces(text: str) -> str:
    return text.replace("\u202f", " ")


def tilt(rows, by: float, *, middle: float):
    """The rows with nfnet's loss turned by ``by`` in ln loss a rung, about the ``middle`` rung."""
    return [
        dataclasses.replace(row, loss=row.loss * math.exp(by * (middle - BUDGETS.index(row.budget_flops))))
        if row.family == "nfnet"
        else row
        for row in rows
    ]


def test_a_mean_is_not_averaged_over_a_crossover_and_the_largest_budget_comes_first():
    """nfnet is 14 % better at the bottom and 3 % worse at the top: its mean is better, and who buys there errs."""
    found = analyse(tilt(winner_rows(np.random.default_rng(0), seed_sd=0.008), -0.045, middle=3.3))
    overall = flops(found).overall
    assert overall.difference is not None
    assert overall.difference.high < 0
    assert overall.verdict == "depends on compute"
    assert isinstance(overall.reasons[0], Crosses)
    told_first = plain_spaces(headline(found))
    assert told_first.startswith(f"{AT_THE_TOP} NFNet and ViT are equivalent within 5 % of loss (")
    assert "FLOPs NFNet is ahead, above" in told_first


def test_a_difference_that_shrinks_is_told_at_the_largest_budget_and_at_both_ends():
    found = analyse(tilt(winner_rows(np.random.default_rng(0), seed_sd=0.004), -0.03, middle=7))
    assert flops(found).overall.verdict == "better"
    told_first = plain_spaces(headline(found))
    assert told_first.startswith(f"{AT_THE_TOP} NFNet has a lower loss than ViT (−8")
    assert re.search(r"by the trend the loss of NFNet relative to ViT goes from −19.* to −8", told_first)


def test_the_reason_of_the_largest_budget_comes_first_and_what_was_seen_after_it():
    """The smallest budget has its seeds and is near chance, all others have two seeds."""
    rows = edit(winner_rows(np.random.default_rng(0)), "vit", BUDGETS[0], loss=4.5)
    last = max(row.seed for row in rows)
    rows = [row for row in rows if row.seed != last or row.budget_flops == BUDGETS[0]]
    told_first = headline(analyse(rows))
    assert told_first.startswith("Cannot tell: NFNet has 2 fresh seeds, at least 3 are needed")
    assert told_first.index("near chance") > told_first.index("fresh seeds")
    assert "Not claimed but seen, the loss at 2×10¹² training FLOPs: NFNet 1.4" in told_first


def test_an_edge_alone_is_named_where_the_interval_lies_within_the_margin():
    rows = winner_rows(np.random.default_rng(0), seed_sd=0.002)
    bounded = [dataclasses.replace(row, edges=("size",)) if row.family == "vit" else row for row in rows]
    overall = flops(bounded).overall
    assert overall.verdict == "cannot tell"
    assert {type(reason) for reason in overall.reasons} == {BestIsBound, SeedsAlone}


def test_fewer_than_three_seeds_support_no_verdict():
    found = judged(seeds=2, shift={"nfnet": -0.3})
    assert {v.verdict for c in found.comparisons for v in (*c.per_budget, c.overall)} == {"cannot tell"}
    assert FewFreshSeeds(family="nfnet", num=2, needed=3) in flops(found).per_budget[0].reasons


def test_a_better_is_not_supported_against_a_family_at_an_edge_but_a_worse_is():
    rows = winner_rows(np.random.default_rng(1), shift={"nfnet": -0.2})
    bounded = [dataclasses.replace(row, edges=("size",)) if row.family == "vit" else row for row in rows]
    overall = flops(bounded).overall
    assert overall.verdict == "cannot tell"
    assert overall.reasons[0] == BestIsBound(family="vit", edges=("size",))
    both = [dataclasses.replace(row, edges=("size",)) for row in rows]
    reasons = flops(both).overall.reasons
    assert of_kind(BestIsBound, reasons[0]).family == "vit", "the edge that could overturn the verdict is named first"
    rows = winner_rows(np.random.default_rng(1), shift={"nfnet": 0.2})
    bounded = [dataclasses.replace(row, edges=("size",)) if row.family == "vit" else row for row in rows]
    assert flops(bounded).overall.verdict == "worse"


def test_an_edge_supports_no_equivalence():
    rows = winner_rows(np.random.default_rng(1), seeds=8, seed_sd=0.004)
    bounded = edit(rows, "nfnet", BUDGETS[0], edges=("base_lr",))
    found = flops(bounded)
    assert found.per_budget[0].verdict == "cannot tell"
    assert found.overall.verdict == "equivalent", "the overall verdict rests on the rungs without an edge"


def test_data_limited_rungs_are_judged_apart_from_the_overall_verdict():
    rows = winner_rows(np.random.default_rng(2), shift={"nfnet": -0.2})
    limited = edit(rows, "vit", BUDGETS[4], epochs=12.0)
    found = analyse(limited)
    comparison = flops(found)
    assert comparison.per_budget[4].verdict == "better"
    assert isinstance(comparison.per_budget[4].reasons[-1], DataLimited)
    assert "2×10¹⁰ to 6×10¹¹" in comparison_sentence(found, comparison)
    assert any(isinstance(refusal.why[0], ManyEpochs) for refusal in found.refusals)


def test_a_rung_that_only_one_family_ran_is_listed_without_a_verdict():
    rows = [
        row for row in winner_rows(np.random.default_rng(2)) if (row.family, row.budget_flops) != ("vit", BUDGETS[0])
    ]
    verdict = flops(rows).per_budget[0]
    assert (verdict.verdict, verdict.difference) == ("cannot tell", None)
    assert verdict.reasons == (NoWinnerHere(family="vit"),)


def test_unequal_compute_at_a_rung_supports_no_verdict():
    rows = edit(winner_rows(np.random.default_rng(2)), "vit", BUDGETS[0], train_flops=1.1 * BUDGETS[0])
    verdict = flops(rows).per_budget[0]
    assert "differ by 10%: not equal compute" in told(verdict.reasons[0])


def test_the_headline_depends_on_the_currency_where_the_signs_differ():
    found = judged(shift={"nfnet": -0.1}, seconds_per_flop={"nfnet": 1e-9, "vit": 1e-10}, seed_sd=0.01)
    assert flops(found).overall.verdict == "better"
    assert seconds(found).overall.verdict == "worse"
    assert headline(found).startswith("It depends on the currency: at equal training FLOPs ViT needs 1.8")


def test_equal_seconds_are_compared_on_the_overlap_alone_and_against_the_planted_curve():
    found = seconds(planted_rows(seconds_per_flop={"nfnet": 4e-10, "vit": 1e-10}, seed_sd=0.002))
    assert found.per_budget[0].budget == pytest.approx(4e-10 * BUDGETS[0])
    assert found.per_budget[-1].budget == pytest.approx(1e-10 * BUDGETS[-1])
    for verdict in found.per_budget:
        truth = math.log(saturating_loss(verdict.budget / 4e-10) / saturating_loss(verdict.budget / 1e-10))
        assert verdict.difference is not None
        assert verdict.difference.estimate == pytest.approx(truth, abs=0.01)
    assert found.overall.reasons[-1] == NoisyClock()


@pytest.mark.slow
def test_noisy_clocks_widen_the_interval_at_equal_seconds_only():
    calm, noisy = (judged(seconds_sd=sd, seed_sd=0.005) for sd in (0.0, 0.3))

    def width(comparison: Comparison) -> float:
        interval = comparison.per_budget[2].difference
        assert interval is not None
        return interval.high - interval.low

    assert width(seconds(noisy)) > 2 * width(seconds(calm))
    assert width(flops(noisy)) < 1.5 * width(flops(calm))


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        ({"seconds_per_flop": {"nfnet": 1e-7, "vit": 1e-10}}, "the families share no range of device-seconds"),
        ({"device_seconds": None}, "NFNet has 0 timed rungs fit for a verdict, 2 are needed"),
    ],
)
def test_without_an_overlap_in_seconds_nothing_is_prolonged(planted, reason):
    overall = seconds(planted_rows(**planted)).overall
    assert (overall.verdict, overall.difference) == ("cannot tell", None)
    assert all_told(overall.reasons) == reason


def test_seconds_of_different_devices_are_not_compared():
    rows = [
        dataclasses.replace(row, device="gpu") if row.family == "vit" else row
        for row in winner_rows(np.random.default_rng(0))
    ]
    assert seconds(rows).overall.reasons == (UnlikeDevices(devices=("cpu", "gpu")),)


def test_the_control_is_an_alarm_when_its_seeds_differ_and_says_when_it_tested_nothing():
    rows = winner_rows(np.random.default_rng(0), control_budget=BUDGETS[2])
    assert all(control.passed for control in contested(rows)[1])
    off = [dataclasses.replace(row, loss=row.loss * 1.2) if row.role == "control" else row for row in rows]
    assert [control.verdict for control in contested(off)[1]] == ["worse", "worse"]
    assert not any(control.passed for control in contested(off)[1])
    repeated = [dataclasses.replace(row, seed=row.seed % 100) for row in rows]
    assert all("repeats a seed of the winner" in all_told(control.reasons) for control in contested(repeated)[1])


def test_a_loss_carried_by_a_handful_of_examples_supports_no_verdict():
    generator = np.random.default_rng(0)
    rows, held = with_examples(winner_rows(generator, shift={"nfnet": -0.3}), generator, num_examples=40)
    found = flops(rows, held_out_losses=held)
    assert found.overall.verdict == "cannot tell"
    assert found.per_budget[0].reasons[0] == FewExamplesCarry()


def test_an_interval_without_report_examples_says_that_it_covers_seeds_alone():
    generator = np.random.default_rng(0)
    rows, held = with_examples(winner_rows(generator, shift={"nfnet": -0.3}), generator, num_examples=1000)
    assert SeedsAlone() in flops(rows).overall.reasons
    assert SeedsAlone() not in flops(rows, held_out_losses=held).overall.reasons


def test_three_families_are_compared_pair_by_pair_in_one_band():
    found = judged(families=("vit", "nfnet", "mixer"), seconds_per_flop=dict.fromkeys(("vit", "nfnet", "mixer"), 1e-10))
    pairs = [(c.a, c.b) for c in found.comparisons if c.currency == "flops"]
    assert pairs == [("mixer", "nfnet"), ("mixer", "vit"), ("nfnet", "vit")]
    two = judged(families=("vit", "nfnet"))

    def width(analysis: Analysis) -> float:
        interval = next(c for c in analysis.comparisons if c.a == "nfnet").overall.difference
        assert interval is not None
        return (interval.high - interval.low) / (analysis.seed_noise or 1)

    assert width(found) > width(two), "more verdicts, wider intervals"


def test_the_sentence_states_range_data_recipe_and_the_distance_to_the_paper():
    rows = winner_rows(np.random.default_rng(0), shift={"nfnet": -0.2})
    found = analyse(rows, data="digit pairs", recipe="short runs")
    sentence = comparison_sentence(found, flops(found))
    for part in (
        "At equal training FLOPs ViT needs 3.97× [",
        "the compute of NFNet for a loss of 1.944: NFNet has a lower loss than ViT (−1",
        "over 2×10¹⁰ to 2×10¹² training FLOPs",
        "data: digit pairs",
        "recipe: short runs",
        "the top budget lies 10.0 decades below the paper's 2.1×10²² FLOPs",
    ):
        assert part in sentence


def test_the_band_of_one_statement_is_the_t_interval_and_of_many_is_wider():
    generator = np.random.default_rng(0)
    log_losses = generator.standard_normal((8, 3)) * 0.02
    noise = noise_of(log_losses.tolist())
    pairs = np.eye(8)[:4] - np.eye(8)[4:]

    def critical(num: int) -> tuple[float, float]:
        statements = [
            Statement(a="a", b="b", place=1.0, weights=weights, seconds_weights=np.zeros(8)) for weights in pairs[:num]
        ]
        seconds = Seconds(sd=0.0, num_runs=np.full(8, 3.0))
        evidence = evidence_of(log_losses.mean(axis=-1), noise, seconds, np.random.default_rng(1))
        band = simultaneous_band(statements, evidence, level=0.9)
        one = band.judge(statements[0])
        return one.inner / one.standard_error, one.outer / one.standard_error

    # Student's t with 16 degrees of freedom: 90 % and 95 %, two-sided.
    assert critical(1) == pytest.approx((1.746, 2.120), rel=0.04)
    # Four independent contrasts sharing one variance: the studentised maximum modulus.
    assert critical(4) == pytest.approx((2.42, 2.78), rel=0.04)


def test_the_seeds_that_would_decide_are_named_unless_more_seeds_would_not_help():
    noisy = flops(planted_rows(seed_sd=0.05))
    assert noisy.smallest_decidable_margin is not None
    assert noisy.seeds_to_decide == pytest.approx(3 * (noisy.smallest_decidable_margin / 0.05) ** 2, rel=0.15)
    assert flops(planted_rows(seed_sd=0.01, seeds=8)).seeds_to_decide is None, "the margin is decidable as it is"
    generator = np.random.default_rng(0)
    rows, held = with_examples(winner_rows(generator, seed_sd=0.005), generator, num_examples=400)
    few = flops(rows, held_out_losses=held)
    assert few.smallest_decidable_margin is not None
    assert few.smallest_decidable_margin > 0.05
    assert few.seeds_to_decide is None, "400 examples decide nothing, however many seeds"


@pytest.mark.slow
def test_the_headline_says_a_shared_reason_once_and_counts_many_pairs():
    def answer(families, **planted):
        seconds = dict.fromkeys(families, 1e-10)
        return headline(judged(families=families, seconds_per_flop=seconds, budgets=BUDGETS[1:4], **planted))

    planted = winner_rows(np.random.default_rng(0), families="abc", seconds_per_flop=dict.fromkeys("abc", 1e-10))
    rows = [dataclasses.replace(row, role="search") for row in planted]
    assert headline(analyse(rows)).count("no winner on fresh seeds") == 2, "a's, said of two pairs, and b's"
    shift = {"a": -0.3, "b": 0.0, "c": 0.0, "d": 0.3}
    many = answer(("a", "b", "c", "d"), seed_sd=0.004, seeds=8, shift=shift)
    assert many.count("has a lower loss") + many.count("has a higher loss") == 5
    shift["e"] = 0.6
    counted = answer(tuple("abcde"), seed_sd=0.004, seeds=8, shift=shift)
    assert counted == "Of 10 pairs of families 9 differ, 1 are equivalent."


def test_who_is_compared_with_whom_is_said_and_does_not_hang_on_the_order_of_names():
    rows = winner_rows(np.random.default_rng(0), shift={"nfnet": -0.2})
    (found, turned) = (flops(rows, order=order) for order in (("nfnet", "vit"), ("vit", "nfnet")))
    assert (found.a, found.overall.verdict) == ("nfnet", "better")
    assert (turned.a, turned.overall.verdict) == ("vit", "worse")


def test_the_edge_that_could_overturn_a_verdict_is_first_whatever_the_families_are_called():
    nowhere = np.zeros(1)
    statement = Statement(
        a="net b", b="net", place=1e10, weights=nowhere, seconds_weights=nowhere, a_edges=("x",), b_edges=("y",)
    )
    judged = Judged(statement=statement, estimate=-1.0, standard_error=0.0, inner=0.0, outer=0.0, level=0.9)
    verdict, reasons = verdict_at(judged, 0.05)
    assert verdict == "cannot tell"
    assert [of_kind(BestIsBound, reason).family for reason in reasons] == ["net", "net b"]


def test_a_family_whose_loss_rises_again_is_compared_with_none():
    rows = winner_rows(np.random.default_rng(0), seed_sd=0.005)
    peaked = edit(edit(rows, "vit", BUDGETS[1], loss=1.2), "vit", BUDGETS[2], loss=2.6)
    shaken = [dataclasses.replace(row, loss=row.loss * (1 + 0.001 * row.seed)) for row in peaked]
    found = flops(analyse(shaken))
    assert found.overall.verdict == "cannot tell"
    assert isinstance(found.overall.reasons[0], LossRises)
    assert "no verdict on ViT: the curve is not monotone" in told(found.overall.reasons[0])
    assert {verdict.verdict for verdict in found.per_budget} == {"cannot tell"}
