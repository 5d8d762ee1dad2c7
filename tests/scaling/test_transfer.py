"""Transfer in numbers: planted laws and advantages are recovered, ranks agree with a slow count, weakness is said."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from levelfield.records.reason import Reason
from levelfield.records.transfer import FINE_TUNED, FROM_SCRATCH, TransferRow
from levelfield.report.words.told import told
from levelfield.report.words.transfer import agreement_sentence, worth_sentence
from levelfield.scaling.agreement import rank_agreement
from levelfield.scaling.results.reasons.laws import FewBudgets
from levelfield.scaling.results.reasons.verdicts import FewPairs, MadeNoError
from levelfield.scaling.results.refusals import LawOf, MetricOf, WithinArm
from levelfield.scaling.transfer import analyse_transfer
from tests.narrowed import of_kind, present

BUDGETS = (1e10, 3e10, 1e11, 3e11)
NUM_REPORT = 4000


def planted(arm: str, family: str, error_at_1e10: float, *, exponent: float = 0.1, seed: int = 0, ranked: bool = False):
    """Rows of three seeds a rung, and their errors example by example."""
    draw = np.random.default_rng([seed, len(arm), len(family), ranked])
    difficulty = np.random.default_rng(7).uniform(size=NUM_REPORT)
    rows, errors = [], {}
    for budget, run in itertools.product(BUDGETS, range(3)):
        rate = error_at_1e10 * (budget / 1e10) ** -exponent * math.exp(draw.normal(0, 0.01))
        wrong = (difficulty < rate).astype(np.float32)
        row = TransferRow(
            run=f"{arm} {family} {budget:g} {run} {ranked}",
            transfer="planted",
            arm=arm,
            ranked=ranked,
            family=family,
            model=f"{family}:w{8 + run if ranked else 8}",
            budget_flops=budget,
            allowed_flops=1.5 * budget,
            pretrain_flops=None if arm == FROM_SCRATCH else budget,
            transfer_flops=(1.5 if arm == FROM_SCRATCH else 0.3) * budget,
            values={"error": float(wrong.mean()), "loss": 2 * float(wrong.mean())},
            num_report=NUM_REPORT,
            chances={"loss": math.log(10), "error": 0.9},
            seed=0 if ranked else run + 1,
            pretrain_loss=rate * 5 if ranked else None,
            device_seconds=budget / 1e9,
            device="planted",
        )
        rows.append(row)
        errors[row.run] = wrong
    return rows, errors


def analysed(*parts, **changes):
    rows = [row for part, _ in parts for row in part]
    errors = {run: wrong for _, part in parts for run, wrong in part.items()}
    said = {"metric": "error", "per_example": errors, "margin": 0.05, "data": "planted", **changes}
    return analyse_transfer(rows, **said)


def test_a_planted_law_of_the_error_is_recovered():
    found = analysed(planted(FINE_TUNED, "nfnet", 0.5), planted(FINE_TUNED, "vit", 0.4, exponent=0.2))
    (arm,) = found.arms
    laws = {law.family: law for law in arm.laws if law.currency == "flops" and law.form == "log-log"}
    assert laws["nfnet"].parameters["b"].estimate == pytest.approx(0.1, abs=0.03)
    assert laws["vit"].parameters["b"].estimate == pytest.approx(0.2, abs=0.03)
    assert [winner.loss.estimate for winner in arm.winners][:1] == pytest.approx([0.5], rel=0.03)
    assert found.chance == 0.9


@pytest.mark.parametrize(
    ("scratch", "verdict", "words"),
    [
        (0.6, "better", "pre-training ViT was worth it: error −3"),
        (0.3, "worse", "pre-training ViT was not worth it: error +3"),
        (0.4, "equivalent", "pre-training ViT made no difference beyond 5 %"),
    ],
)
def test_whether_pre_training_was_worth_it_is_found_with_its_sign(scratch, verdict, words):
    found = analysed(planted(FINE_TUNED, "vit", 0.4), planted(FROM_SCRATCH, "vit", scratch))
    worth = next(each for each in found.worth if each.comparison.currency == "flops")
    comparison = worth.comparison
    assert (worth.family, comparison.a, comparison.b) == ("vit", FINE_TUNED, FROM_SCRATCH)
    assert comparison.overall.verdict == verdict
    assert {place.budget for place in comparison.per_budget} == {1.5 * budget for budget in BUDGETS}
    sentence = worth_sentence(worth, found)
    assert words in sentence
    assert sentence.startswith("On planted, at equal training FLOPs in all, ")


def test_a_searched_axis_at_its_edge_forbids_the_verdict_that_it_could_overturn():
    rows, errors = planted(FROM_SCRATCH, "vit", 0.6)
    bound = [dataclasses.replace(row, edges=("base_lr",)) for row in rows]
    found = analysed(planted(FINE_TUNED, "vit", 0.4), (bound, errors))
    worth = next(each for each in found.worth if each.comparison.currency == "flops")
    assert worth.comparison.overall.verdict == "cannot tell"
    sentence = worth_sentence(worth, found)
    assert "one cannot tell whether pre-training ViT was worth it" in sentence
    assert "base_lr" in sentence


def test_backbones_of_the_search_take_no_part_in_laws_and_verdicts():
    plain = analysed(planted(FINE_TUNED, "nfnet", 0.5))
    ranked = analysed(planted(FINE_TUNED, "nfnet", 0.5), planted(FINE_TUNED, "nfnet", 0.9, ranked=True))
    assert ranked.arms == plain.arms
    assert not plain.agreements
    assert len(ranked.agreements) == 2


def test_a_probe_that_gives_no_probabilities_has_no_loss_to_judge():
    rows, errors = planted("knn", "vit", 0.4)
    without = [dataclasses.replace(row, values={"error": row.values["error"]}) for row in rows]
    found = analysed((without, errors), metric="loss", per_example={})
    assert not found.arms
    assert [refusal.what for refusal in found.refusals] == [MetricOf(metric="loss", subject="knn")]


def test_a_run_without_error_is_refused_and_not_taken_for_zero():
    rows, errors = planted(FINE_TUNED, "vit", 0.4)
    rows[0] = dataclasses.replace(rows[0], values={"error": 0.0})
    found = analysed((rows, errors))
    assert found.refusals[0].why == (MadeNoError(),)


def test_too_few_rungs_give_no_law_and_say_so():
    rows, errors = planted(FINE_TUNED, "vit", 0.4)
    found = analysed(([row for row in rows if row.budget_flops < 1e11], errors))
    assert not found.arms[0].laws
    asked = WithinArm(arm=FINE_TUNED, asked=LawOf(family="vit", currency="flops"))
    assert any((refusal.what, refusal.why) == (asked, (FewBudgets(num=2, needed=4),)) for refusal in found.refusals)


def test_the_rank_agreement_is_kendalls_tau():
    draw = np.random.default_rng(0)
    x, noise = draw.normal(size=30), draw.normal(size=30)
    found = rank_agreement(
        x, x + noise, ["one"] * 30, what="a", among="b", level=0.9, generator=np.random.default_rng(1)
    )
    assert found.tau is not None
    assert found.tau.estimate == pytest.approx(kendalltau(x, x + noise)[0])
    assert found.num_pairs == 435
    assert found.tau.low < found.tau.estimate < found.tau.high


def test_pairs_are_those_of_a_group_alone():
    """Between groups everything agrees, within them nothing does."""
    x = [1.0, 2, 3, 4, 5, 11, 12, 13, 14, 15]
    y = [5.0, 4, 3, 2, 1, 15, 14, 13, 12, 11]
    groups = ["low"] * 5 + ["high"] * 5
    found = rank_agreement(x, y, groups, what="a", among="b", level=0.9, generator=np.random.default_rng(1))
    assert (found.num_pairs, present(found.tau).estimate) == (20, -1.0)
    together = rank_agreement(x, y, ["all"] * 10, what="a", among="b", level=0.9, generator=np.random.default_rng(1))
    assert present(together.tau).estimate == pytest.approx(kendalltau(x, y)[0])


def test_the_interval_of_a_rank_agreement_covers_it():
    """Of 100 samples of a bivariate normal, about nine in ten intervals must hold its tau."""
    rho, held = 0.6, 0
    truth = 2 / math.pi * math.asin(rho)
    draw = np.random.default_rng(3)
    for _ in range(100):
        x = draw.normal(size=25)
        y = rho * x + math.sqrt(1 - rho**2) * draw.normal(size=25)
        found = rank_agreement(x, y, [0] * 25, what="a", among="b", level=0.9, generator=draw)
        held += present(found.tau).low <= truth <= present(found.tau).high
    assert held >= 82


def test_few_pairs_give_no_correlation():
    found = rank_agreement([1, 2], [1, 2], [0, 0], what="a", among="b", level=0.9, generator=np.random.default_rng(1))
    assert found.tau is None
    assert found.status == FewPairs(num_backbones=2, num_pairs=1, needed=10)
    assert told(of_kind(Reason, found.status)) == "2 backbones make 1 pairs, 10 are needed"
    assert not rank_agreement([], [], [], what="a", among="b", level=0.9, generator=np.random.default_rng(1)).num_pairs


def test_the_sentence_on_ranks_tells_both_kinds_of_pairs():
    found = analysed(planted(FINE_TUNED, "vit", 0.5, ranked=True), planted(FINE_TUNED, "nfnet", 0.5, ranked=True))
    sentence = agreement_sentence(found)
    assert "over all rungs 0.9" in sentence or "over all rungs 1.0" in sentence
    assert "at equal pre-training compute" in sentence
    assert agreement_sentence(dataclasses.replace(found, agreements=())) == ""
