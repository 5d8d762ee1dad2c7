"""Transfer on the page: three panels and three tables a target, the statistics' own sentences, nothing unescaped."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random

import pytest
import sample

from levelfield.records.transfer import FINE_TUNED, FROM_SCRATCH, TransferRow
from levelfield.report import StudyFacts, TransferFact
from levelfield.report.page.figures import study_figures
from levelfield.report.page.page import render
from levelfield.report.page.svg import draw_svg
from levelfield.report.tables.study import study_tables
from levelfield.report.words.transfer import transfer_sentences
from levelfield.scaling.transfer import analyse_transfer

BUDGETS = (1e10, 3e10, 1e11, 3e11)


def rows() -> list[TransferRow]:
    draw, made = random.Random(3), []
    arms = (
        ("nfnet", FINE_TUNED, 0.5),
        ("nfnet", FROM_SCRATCH, 0.7),
        ("vit", FINE_TUNED, 0.45),
        ("vit", FROM_SCRATCH, 0.4),
    )
    for (family, arm, error), budget, run in itertools.product(arms, BUDGETS, range(6)):
        ranked = run >= 3
        if ranked and arm == FROM_SCRATCH:
            continue
        rate = error * (budget / 1e10) ** -0.1 * math.exp(draw.gauss(0, 0.02))
        made.append(
            TransferRow(
                run=f"{family} {arm} {budget:g} {run}",
                transfer="flowers",
                arm=arm,
                ranked=ranked,
                family=family,
                model=f"{family}:w{8 + run if ranked else 8}-d1",
                budget_flops=budget,
                allowed_flops=1.5 * budget,
                pretrain_flops=None if arm == FROM_SCRATCH else budget,
                transfer_flops=0.25 * budget,
                values={"error": rate, "loss": 2 * rate},
                num_report=400,
                chances={"loss": math.log(10), "error": 0.9},
                seed=0 if ranked else run + 1,
                pretrain_loss=3 * rate if ranked else None,
                base_lr=0.1,
                spend=0.5,
                edges=("base_lr",) if arm == FROM_SCRATCH and family == "vit" else (),
            )
        )
    return made


def fact(**changes) -> TransferFact:
    found = analyse_transfer(rows(), metric="error", per_example={}, margin=0.05, data="flowers")
    plain = TransferFact(
        name="flowers",
        data="1,000 training images.",
        sentences=tuple(transfer_sentences(found)),
        rows=tuple(rows()),
        analysis=found,
        refused=("vit at 10^10 FLOPs, finetune of vit:w8: 3 steps of 8, fewer than 100",),
    )
    return dataclasses.replace(plain, **changes)


def facts(transfer: TransferFact) -> StudyFacts:
    return dataclasses.replace(sample.facts(sample.observations()), transfers=(transfer,))


@pytest.fixture(scope="module")
def figure():
    runs = sample.observations()
    return study_figures(sample.analysis(runs), runs, (), (fact(),))["transfer-flowers"]


@pytest.mark.slow
def test_a_target_has_three_panels_and_the_sentences_of_the_statistics(figure) -> None:
    assert [panel.name for panel in figure.panels] == [
        "transfer-flowers", "transfer-flowers-worth", "transfer-flowers-ranks"
    ]  # fmt: skip
    assert "pre-training NFNet was worth it" in figure.caption
    assert "one cannot tell whether pre-training ViT was worth it" in figure.caption
    assert "Kendall's tau" in figure.caption


def test_published_points_stand_behind_the_study_s_own(figure) -> None:
    svg = draw_svg(figure.panels[0].specification, "transfer")
    assert "published: NFNet-F7+" in svg
    assert "10²⁰" in svg or "10²¹" in svg or "10²²" in svg
    own = svg.index("NFNet w8-d1, fine-tuned")
    assert svg.index("published: NFNet-F7+") < own, "what is drawn later lies on top"


def test_networks_trained_from_scratch_are_hollow(figure) -> None:
    from levelfield.report.figures import theme

    svg = draw_svg(figure.panels[1].specification, "worth")
    label = svg.index("from scratch")
    assert f'fill="{theme.PAPER}"' in svg[label : svg.index("/>", label)]


@pytest.mark.slow
def test_losses_are_drawn_without_published_errors() -> None:
    found = analyse_transfer(rows(), metric="loss", per_example={}, margin=0.05, data="flowers")
    runs = sample.observations()
    drawn = study_figures(sample.analysis(runs), runs, (), (fact(analysis=found),))["transfer-flowers"]
    svg = draw_svg(drawn.panels[0].specification, "transfer")
    assert "published" not in svg
    assert "loss in nats" in svg


@pytest.mark.slow
def test_the_tables_tell_arms_worth_and_ranks() -> None:
    tables = study_tables(sample.analysis(sample.observations()), facts(fact()))
    judged = tables["transfer-flowers"]
    assert len(judged.rows) == 4 * len(BUDGETS)
    assert {row[0].text for row in judged.rows} == {"fine-tuned", "from scratch"}
    assert {row[6].text for row in judged.rows} == {"3"}
    remarks = {row[-1].text for row in judged.rows if row[0].text == "from scratch"}
    assert remarks == {"", "bound on base_lr"}
    worth = tables["transfer-flowers-worth"]
    assert "worth it" in {row[3].text for row in worth.rows}
    laws = tables["transfer-flowers-laws"]
    assert {(row[0].text, row[1].text) for row in laws.rows} == {("fine-tuned", "NFNet"), ("fine-tuned", "ViT")}
    ranks = tables["transfer-flowers-ranks"]
    assert [row[1].text for row in ranks.rows] == ["all rungs", "equal compute"]


@pytest.mark.slow
def test_the_page_has_a_section_for_transfer_and_none_without() -> None:
    runs = sample.observations()
    text = render(sample.analysis(runs), runs, facts(fact()))
    assert '<section id="transfer">' in text
    assert "3 steps of 8, fewer than 100" in text
    assert 'id="transfer"' not in render(sample.analysis(runs), runs, sample.facts(runs))


@pytest.mark.slow
def test_a_target_without_results_says_so() -> None:
    empty = analyse_transfer([], metric="error", per_example={}, margin=0.05, data="flowers")
    runs = sample.observations()
    nothing = fact(rows=(), analysis=empty, sentences=(), refused=())
    text = render(sample.analysis(runs), runs, facts(nothing))
    assert "Nothing has been judged on it yet." in text


@pytest.mark.slow
def test_what_users_wrote_is_escaped_in_the_section_on_transfer() -> None:
    evil = "<script>alert('x')</script>"
    runs = sample.observations()
    text = render(sample.analysis(runs), runs, facts(fact(data=evil, refused=(evil,), sentences=(evil,))))
    assert "<script>alert" not in text
