"""What stands first on a page: a sentence for everybody, what more would cost, refusals by kind, explained words."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args

import pytest
import sample

from levelfield.records.allowed import AlwaysAtEdge, OpenQuestion, Undecidable
from levelfield.records.reason import Reason
from levelfield.report.page.explained import explained
from levelfield.report.page.page import render
from levelfield.report.words import grouped as grouping
from levelfield.report.words.answer import plain_answer
from levelfield.report.words.controls import control_outcome, controls_clause
from levelfield.report.words.glossary import TERMS, anchor, glossary
from levelfield.report.words.grouped import grouped
from levelfield.report.words.more import more_sentences
from levelfield.scaling.results.analysis import Analysis, Progress
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.beside import NotAsked
from levelfield.scaling.results.reasons.optima import FewVertices
from levelfield.scaling.results.reasons.verdicts import BestIsBound, EveryRungLimited, TooNoisy
from levelfield.scaling.results.refusals import AddSizes, AllocationOf, FittingRung, Refusal, Subject
from levelfield.scaling.results.verdicts import Ancova, BudgetVerdict, Crossover, Verdict

NOTHING = (NotAsked(),)


def judged(
    flops: Verdict, seconds: Verdict, *, reasons: tuple[Reason, ...] = (), difference: float = -0.128
) -> Analysis:
    """The sample with these overall verdicts, and nothing that changes with compute."""
    runs = sample.observations()
    analysis = sample.analysis(runs)
    interval = Interval(estimate=difference, low=difference - 0.03, high=difference + 0.03)
    comparisons = tuple(
        dataclasses.replace(
            comparison,
            overall=BudgetVerdict(budget=1e11, difference=interval, verdict=verdict, reasons=reasons),
            ancova=Ancova(status=NOTHING),
            crossover=Crossover(status=NOTHING),
        )
        for comparison, verdict in zip(analysis.comparisons, (flops, seconds), strict=True)
    )
    return dataclasses.replace(analysis, comparisons=comparisons)


@pytest.mark.parametrize(
    ("flops", "seconds", "said"),
    [
        ("better", "better", "By compute and by time alike, NFNet is better than ViT: its loss is 12\u202f% lower."),
        (
            "equivalent",
            "equivalent",
            "time alike, NFNet and ViT are equally good: they differ by less than 5",
        ),
        (
            "better",
            "worse",
            "At equal training compute, NFNet is better than ViT: its loss is 12\u202f% lower; ",
        ),
        ("better", "cannot tell", "at equal time on the device, there is no answer yet."),
        ("depends on compute", "depends on compute", "whether NFNet or ViT is better depends on how much is spent."),
    ],
)
def test_the_answer_says_who_is_better_and_by_what(flops: Verdict, seconds: Verdict, said: str) -> None:
    assert said in plain_answer(judged(flops, seconds))


def test_the_side_that_the_answer_names_is_the_one_that_was_judged_better() -> None:
    assert "ViT is better than NFNet" in plain_answer(judged("worse", "worse", difference=0.128))
    told = plain_answer(judged("better", "worse"))
    assert re.search(r"training compute, NFNet is better than ViT.*time on the device, ViT is better than NFNet", told)


def test_without_an_answer_it_says_why_in_words_that_need_no_glossary() -> None:
    bound = BestIsBound(family="vit", edges=("batch", "size"))
    told = plain_answer(judged("cannot tell", "cannot tell", reasons=(bound,)))
    assert told == (
        "No answer yet on whether NFNet or ViT is better: the best ViT lies at the end of what was tried, so a "
        "better one may lie just beyond."
    )
    noisy = plain_answer(judged("cannot tell", "cannot tell", reasons=(TooNoisy(half_width=0.1, margin=0.05),)))
    for word in ("rung", "vertex", "bound", "edge", "A/A", "FLOP", "interval", "nats", "±"):
        assert word not in told + noisy, word


def test_an_answer_at_the_largest_budget_is_told_where_a_mean_would_mislead() -> None:
    told = plain_answer(sample.analysis(sample.observations()))
    assert "with the most compute that was tried, NFNet is better than ViT: its loss is 18\u202f% lower" in told
    assert "(with less, the gap is another one)" in told


def test_an_answer_where_few_images_limit_training_says_so() -> None:
    told = plain_answer(judged("better", "better", reasons=(EveryRungLimited(),)))
    assert "where few images limit training, NFNet is better" in told


def test_of_many_pairs_those_decided_are_told_and_the_rest_is_counted() -> None:
    found = judged("better", "better").comparisons
    (open_pair, *_) = judged("cannot tell", "cannot tell", reasons=(TooNoisy(half_width=0.1, margin=0.05),)).comparisons
    others = [dataclasses.replace(open_pair, a=a, b=b) for a, b in (("mixer", "nfnet"), ("mixer", "vit"))]
    three = dataclasses.replace(judged("better", "better"), comparisons=(*found, *others))
    told = plain_answer(three)
    assert told.startswith(
        "Of 3, the best may be NFNet and mixer; by compute and by time alike, NFNet is better than ViT"
    )
    assert told.endswith("; no answer yet for 2 of 3 pairs of families.")
    none = plain_answer(dataclasses.replace(three, comparisons=tuple(others)))
    assert none.startswith("No answer yet for any of 2 pairs of families; of mixer and NFNet, equal runs differ")


def test_an_answer_is_provisional_while_runs_are_missing() -> None:
    going = dataclasses.replace(judged("better", "better"), in_progress=Progress(done=12, wanted=34))
    assert plain_answer(going).startswith("Provisional, 12 of 34 runs done: By compute")


def test_the_answer_stands_first_then_what_more_costs_then_the_rest() -> None:
    runs = sample.observations()
    page = render(sample.analysis(runs), runs, sample.facts(runs))
    places = [page.index(each) for each in ('class="headline"', 'class="more"', 'class="cards"', 'class="exactly"')]
    assert places == sorted(places)
    assert page.index('class="exactly"') < page.index('id="limits"') < page.index('id="results"')


def test_what_more_costs_is_counted_from_what_was_spent() -> None:
    runs = sample.observations()
    analysis, facts = sample.analysis(runs), sample.facts(runs)
    free = tuple(dataclasses.replace(winner, edges=()) for winner in analysis.winners)
    first = dataclasses.replace(free[0], edges=("size", "batch"), budget_flops=1e10, num_seeds=3, device_seconds=2.0)
    (undecided, *others) = judged("cannot tell", "cannot tell").comparisons
    undecided = dataclasses.replace(undecided, seeds_to_decide=5)
    analysis = dataclasses.replace(analysis, winners=(first, *free[1:]), comparisons=(undecided, *others))
    wider, seeds, rung = (each.replace("\u202f", " ") for each in more_sentences(analysis, facts))
    assert "1 winner lies at an edge of what was tried (batch and size)" in wider
    assert wider.endswith("takes at least 8×10¹⁰ FLOPs (16 s of device time)"), "two axes, each one run and three seeds"
    total = 2 * sum(winner.budget_flops for winner in analysis.winners)
    assert total == pytest.approx(2 * 2 * 1.44e12, rel=0.01)
    assert "about 5 for each winner would decide NFNet against ViT by a margin of ±5 %, once no winner lies" in seeds
    assert "that takes 5.8×10¹² FLOPs" in seeds
    top = [trial for trial in facts.trials if trial.budget_flops == 1e12]
    assert f"{len(top)}" == "24", "12 runs a family on the largest rung"
    assert "runs of 3.3×10¹² FLOPs" in rung
    assert "that takes about 8×10¹³ FLOPs" in rung


def test_of_a_study_that_is_not_done_nothing_is_priced() -> None:
    going = dataclasses.replace(judged("cannot tell", "cannot tell"), in_progress=Progress(done=33, wanted=34))
    assert more_sentences(going, sample.facts()) == ("the study itself comes first: 1 more run is wanted so far",)


def test_refusals_of_one_kind_are_one_line_with_each_and_its_codes_below() -> None:
    why = (FewVertices(num=0, num_rungs=4, needed=4),)
    alike = [
        Refusal(what=FittingRung(family=family, budget_flops=budget), why=(BestIsBound(family="vit", edges=("size",)),))
        for family in ("nfnet", "vit")
        for budget in (1e9, 3e9, 1e10)
    ]
    allocation = [Refusal(what=AllocationOf(family=each), why=why, remedy=AddSizes()) for each in ("nfnet", "vit")]
    design = [
        Undecidable(
            question="verdict",
            families=("nfnet", "vit"),
            budget_flops=budget,
            why=(AlwaysAtEdge(family=family, edges=("size",)),),
        )
        for budget, family in ((1e9, "nfnet"), (3e9, "vit"))
    ]
    rungs, sizes, verdicts = grouped((*alike, *allocation), design)
    assert [len(group.members) for group in (rungs, sizes, verdicts)] == [6, 2, 2]
    assert rungs.of == "NFNet, ViT; at 10⁹, 3×10⁹ and 10¹⁰ FLOPs"
    assert rungs.why.startswith("ViT lies at an edge of its search (size)"), "a reason that all share is told once"
    assert rungs.members[0].codes == ("fitting-rung", "best-is-bound")
    assert sizes.members[0].codes[-1] == "add-sizes"
    assert verdicts.of == "NFNet against ViT; at 10⁹ and 3×10⁹ FLOPs"
    assert verdicts.why == "", "reasons that differ are told one by one"
    assert "always lies at an edge" in verdicts.members[1].why

    runs = sample.observations()
    facts = dataclasses.replace(sample.facts(runs), undecidable=tuple(design), refusals=tuple(alike))
    page = render(sample.analysis(runs), runs, facts)
    assert page.count('<details class="refusals">') == 3
    assert "<code>undecidable always-at-edge</code>" in page


def test_every_kind_of_refusal_has_a_line() -> None:
    assert set(grouping._QUESTIONS) == set(get_args(OpenQuestion))
    assert set(Subject.__subclasses__()) <= set(grouping._KINDS)


def test_a_control_that_nothing_could_have_failed_is_said_to_be_too_noisy() -> None:
    analysis = judged("better", "better")
    narrow, other = analysis.controls
    wide = dataclasses.replace(narrow, difference=Interval(estimate=0.0, low=-0.4, high=0.4), verdict="cannot tell")
    failed = dataclasses.replace(narrow, verdict="better", passed=False)
    untested = dataclasses.replace(narrow, difference=None, verdict="cannot tell")
    assert control_outcome(analysis, narrow) == "passed"
    assert control_outcome(analysis, wide) == "no alarm, but too noisy to detect anything below ±40\u202f%"
    assert control_outcome(analysis, failed) == "ALARM"
    assert control_outcome(analysis, untested) == "nothing was tested"

    def said(*controls: object) -> str:
        return controls_clause(dataclasses.replace(analysis, controls=controls))

    assert said(narrow, other) == "all A/A controls passed"
    assert said(wide, other).startswith("1 A/A control passed; too noisy to detect anything")
    assert "NFNet (±40\u202f%)" in said(wide, other)
    assert said(failed, wide) == "1 of 2 A/A controls failed"
    assert said(untested) == "1 A/A control tested nothing"
    assert said() == "no A/A control was run"


def test_a_word_is_explained_where_it_first_stands_and_nowhere_else() -> None:
    page = (
        "<body><h1>A rung</h1><p>Its rungs, a rung.</p><svg><text>margin</text></svg><pre>edge</pre>"
        "<details><summary>no vertex</summary>vertex</details><p>unbounded boundary, a bound; a bound</p>"
        '<a href="#x" title="cells">cells</a><p>cells</p></body>'
    )
    told = explained(page, [term.entry for term in TERMS])
    marked = re.findall(r"<(a|abbr) class=\"term\" title=\"[^\"]+\"( href=\"#[^\"]+\")?>([^<]+)</\1>", told)
    assert [(tag, word) for tag, _, word in marked] == [
        ("a", "rungs"),
        ("abbr", "vertex"),  # in a summary a click unfolds
        ("a", "bound"),
        ("a", "cells"),
    ]
    assert re.sub(r"</?(?:a|abbr) ?(?:class=\"term\")[^>]*>|(?<=\w)</(?:a|abbr)>", "", told).count("rung") == 3
    assert explained(page, []) == page


def test_every_term_leads_to_an_entry_of_the_list_of_words() -> None:
    entries = {entry for entry, _ in glossary(sample.analysis(), sample.facts())}
    assert {term.entry for term in TERMS} <= entries
    assert len({anchor(term.entry) for term in TERMS}) == len({term.entry for term in TERMS})
