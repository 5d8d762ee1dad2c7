"""The page as a text: self-contained, escaped, the same for the same study, honest about what is missing."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sample

from levelfield.records.codec import from_plain, to_plain
from levelfield.records.measure import Measure
from levelfield.report import StudyFacts
from levelfield.report.figures.thinned import evenly, told_thinned
from levelfield.report.page.figures import study_figures
from levelfield.report.page.files import ReportFiles, write_report
from levelfield.report.page.page import render
from levelfield.report.tables.table import MOST_SHOWN
from levelfield.report.words import numbers
from levelfield.report.words.glossary import glossary
from levelfield.scaling.laws import LAWS
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.verdicts import (
    BestIsBound,
    FewSeedsOnOneSide,
    LuckLeftOn,
    LuckTakenOff,
    TooNoisy,
)
from levelfield.scaling.results.refusals import AddSeeds, MetricOf, Refusal, VerdictOn
from levelfield.scaling.results.verdicts import BudgetVerdict, Optimism

EVIL = "<script>alert('x')</script>\"&{{ 7*7 }}"


def unlinked(text: str) -> str:
    """The words of a page without the links that explain some of them."""
    return re.sub(r"</?(?:a|abbr)\b[^>]*>", "", text)


def full_page() -> str:
    runs = sample.observations()
    return render(sample.analysis(runs), runs, sample.facts(runs))


def test_the_page_names_no_address_but_namespaces_and_stays_small(report: ReportFiles) -> None:
    text = report.page.read_text()
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!#|data:)[^"')>\s]+""", text.replace("url(#", "url#")) == []
    assert "https://" not in text
    assert len(text.encode()) < 2_000_000


@pytest.mark.slow
def test_equal_studies_give_equal_bytes_also_from_another_process(report: ReportFiles, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import sample;"
        "from levelfield.report.page.files import write_report;"
        "runs = sample.observations();"
        "write_report(Path(sys.argv[2]), sample.analysis(runs), runs, sample.facts(runs));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)], check=True)
    assert (tmp_path / "report.html").read_bytes() == report.page.read_bytes()
    for path in report.figures:
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes(), path.name


def test_every_panel_is_kept_as_svg_png_and_vega_lite(report: ReportFiles) -> None:
    locked = sample.facts().predictions
    panels = [p for f in study_figures(sample.analysis(), sample.observations(), locked).values() for p in f.panels]
    names = {panel.name for panel in panels}
    assert len(names) == len(panels) == 25
    for suffix in (".svg", ".png", ".vl.json"):
        assert {path.name.removesuffix(suffix) for path in report.figures if path.name.endswith(suffix)} == names


def test_the_glossary_says_what_every_fitted_law_is_and_where_it_comes_from() -> None:
    analysis = sample.analysis()
    words = dict(glossary(analysis, sample.facts()))
    for law in analysis.laws:
        assert "b is the exponent of compute" in words[numbers.law_form(law.form)]
        assert LAWS[law.form].source in words[numbers.law_form(law.form)]


def test_a_page_judged_by_another_measure_speaks_of_that_one() -> None:
    runs = sample.observations()
    error = Measure(name="error", unit="share", chance=0.99)
    facts = dataclasses.replace(sample.facts(runs), measures=(error,))
    text = render(dataclasses.replace(sample.analysis(runs), measure=error), runs, facts)
    told = re.sub(r"data:image[^\"]*", "", text).replace(facts.data, "").replace(facts.metric, "")
    assert "Here the mean error over held-out examples; lower is better." in told
    assert "error falls as C" in told
    assert [told[place.start() - 60 : place.end()] for place in re.finditer("nats", told)] == []


@pytest.mark.slow
def test_panels_are_valid_vega_lite() -> None:
    """Against the schema that altair carries; one row a layer is enough, and validation is slow."""
    import altair

    figures = study_figures(sample.analysis(), sample.observations())
    for name in ("verdict", "loss", "isoflop"):
        specification = json.loads(json.dumps(figures[name].panels[0].specification))
        seen = {}
        for layer in specification["layer"]:
            layer["data"]["values"] = layer["data"]["values"][:1]
            seen.setdefault((layer["mark"]["type"], *layer["encoding"]), layer)
        altair.Chart.from_dict({**specification, "layer": list(seen.values())})


@pytest.mark.slow
def test_a_panel_that_is_no_longer_drawn_leaves_no_stale_picture(tmp_path: Path) -> None:
    runs = sample.observations()
    write_report(tmp_path, sample.analysis(runs), runs, sample.facts(runs))
    (tmp_path / "figures" / "mine.svg").write_text("kept")
    write_report(tmp_path, sample.weak_analysis(), (), sample.weak_facts())
    names = ("law", "difference", "overlap")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "mine.svg",
        *(f"published-{name}.{suffix}" for name in names for suffix in ("svg", "png", "vl.json")),
    }


@pytest.mark.slow
def test_of_a_long_study_the_page_shows_some_trials_and_names_the_file_that_holds_all(tmp_path: Path) -> None:
    runs = sample.observations()
    analysis, facts = sample.analysis(runs), sample.facts(runs)
    first = facts.trials[0]
    searched = [dataclasses.replace(first, name=f"searched-{place}", role="search") for place in range(MOST_SHOWN)]
    judged = dataclasses.replace(first, name="judged-last", role="winner")
    long = dataclasses.replace(facts, trials=(*searched, judged))
    found = write_report(tmp_path, analysis, runs, long)
    page = found.page.read_text()
    assert "500 of 501 rows" in page
    assert 'href="tables/trials.csv"' in page
    assert "judged-last" in page, "those that judged stand first"
    assert page.count(">searched-") == MOST_SHOWN - 1
    with open(tmp_path / "tables/trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["Trial"] for row in rows} == {trial.name for trial in long.trials}
    write_report(tmp_path, analysis, runs, facts)
    assert not list(tmp_path.glob("tables/*")), "a table that the page shows whole leaves no stale file"


def test_fewer_of_many_are_evenly_spaced_with_both_ends() -> None:
    assert evenly(range(5), 5) == [0, 1, 2, 3, 4]
    assert evenly(range(60), 4) == [0, 20, 39, 59]
    assert "12 are drawn" in told_thinned(12, 60, "rungs")
    assert told_thinned(12, 12, "rungs") == ""


def test_what_users_wrote_is_escaped_everywhere() -> None:
    runs = tuple(dataclasses.replace(run, model=run.model + EVIL) for run in sample.observations())
    analysis = sample.analysis(runs)
    refusal = Refusal(
        what=MetricOf(metric=EVIL, subject=EVIL), why=(BestIsBound(family=EVIL, edges=(EVIL,)),), remedy=AddSeeds()
    )
    analysis = dataclasses.replace(analysis, data=EVIL, recipe=EVIL, refusals=(refusal,))
    facts = dataclasses.replace(
        sample.facts(runs),
        title=EVIL,
        question=EVIL,
        commands=(EVIL,),
        versions={EVIL: EVIL},
        fingerprints={EVIL: EVIL},
    )
    text = render(analysis, runs, facts)
    assert "<script>alert" not in text
    assert text.count("<script") == 1
    assert "7*7" in text


def test_a_family_nobody_knows_gets_its_own_colour_and_shape() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    renamed = from_plain(type(analysis), json.loads(json.dumps(to_plain(analysis)).replace('"vit"', '"mixer \'s"')))
    text = render(renamed, runs, sample.facts(runs))
    assert "▲" in text
    assert "mixer &#39;s" in text


def test_the_verdict_comes_before_everything_else() -> None:
    text = full_page()
    assert text.index("NFNet has a lower loss than ViT") < text.index('id="results"')
    for words in ("NFNet better", "Cannot tell".lower(), "−12.2", "10.3 decades"):
        assert words in text


def test_a_study_of_one_family_says_why_each_figure_is_missing() -> None:
    text = render(sample.weak_analysis(), (), sample.weak_facts())
    absent = re.findall(r'<p class="absent"><strong>(.*?)</strong>', text)
    assert absent == [
        "Held-out loss against compute: not drawn.",
        "Optimal learning rate against training length: not drawn.",
        "What was foretold, and what came: not drawn.",
        "Compute-optimal size and training length: not drawn.",
        "Difference at equal compute: not drawn.",
        "IsoFLOP profiles: not drawn.",
        "Tuning curves: not drawn.",
    ]
    for words in (
        "No verdict",
        "1 budgets away from chance, at least 4 are needed",
        "No A/A control was run.",
        "Add rungs.",
    ):
        assert words in text


def test_a_study_without_device_time_draws_one_currency_and_says_so() -> None:
    runs = tuple(dataclasses.replace(run, device_seconds=None, device=None) for run in sample.observations())
    text = render(sample.untimed(sample.analysis(runs)), runs, sample.facts(runs))
    assert "Device time was not measured" in text
    assert "Against training FLOPs" in text
    assert "Against device-seconds" not in text


def test_a_study_without_laws_draws_the_winners_and_says_that_no_law_is_drawn() -> None:
    runs = sample.observations()
    analysis = dataclasses.replace(sample.analysis(runs), laws=(), allocations=())
    text = render(analysis, runs, sample.facts(runs))
    assert "No law is drawn" in text
    assert "No exponents were fitted" in text


def test_a_comparison_that_was_refused_everywhere_has_a_card_but_no_difference() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    refused = BudgetVerdict(
        budget=1e12, difference=None, verdict="cannot tell", reasons=(FewSeedsOnOneSide(num=2, needed=3),)
    )
    comparisons = tuple(dataclasses.replace(c, per_budget=(refused,), overall=refused) for c in analysis.comparisons)
    text = render(dataclasses.replace(analysis, comparisons=comparisons), runs, sample.facts(runs))
    assert "Difference at equal compute: not drawn." in text
    assert "2 seeds on one side" in text


def test_facts_travel_as_plain_values() -> None:
    facts = sample.facts()
    assert from_plain(StudyFacts, json.loads(json.dumps(to_plain(facts)))) == facts


def test_pictures_share_a_page_without_sharing_ids() -> None:
    ids = re.findall(r'\bid="([^"]+)"', full_page())
    assert len(ids) == len(set(ids))


def test_a_reason_stands_once_at_the_top_and_other_refusals_are_listed() -> None:
    runs = sample.observations()
    analysis = sample.analysis(runs)
    why = BestIsBound(family="nfnet", edges=("size",))
    first = analysis.comparisons[0]
    first = dataclasses.replace(first, overall=dataclasses.replace(first.overall, reasons=(why,)))
    asked = VerdictOn(a="nfnet", b="vit", currency="flops")
    told = Refusal(what=asked, why=(why, TooNoisy(half_width=0.1, margin=0.05)), remedy=AddSeeds())
    analysis = dataclasses.replace(
        analysis, comparisons=(first, *analysis.comparisons[1:]), refusals=(told, *analysis.refusals)
    )
    top = unlinked(render(analysis, runs, sample.facts(runs)).split("<nav")[0])
    assert top.count("NFNet lies at an edge of its search") == 1
    assert "Allocation of ViT" in top


def test_cells_that_were_not_run_are_counted_by_reason_in_sight() -> None:
    text = full_page()
    assert "2 planned cells were not run: fewer than 500 steps (2)." in text.split('<details class="screen-only">')[0]


def test_the_words_of_the_page_are_explained_and_the_paper_is_named() -> None:
    text = full_page()
    for words in ("ConvNets Match Vision Transformers at Scale", "arXiv 2310.16764", "Edge, bound", "A/A control"):
        assert words in text
    assert "Locked prediction" not in render(sample.weak_analysis(), (), sample.weak_facts())


def test_a_verdict_number_says_what_it_is_and_which_way_it_points() -> None:
    text = full_page().replace("\u202f", " ")
    assert "loss of NFNet relative to ViT, 90 % interval: lower for NFNet; within ±5 % counts as equal" in text


def test_what_is_told_beside_the_verdicts_stands_on_the_page() -> None:
    text = full_page().replace("\u00a0", " ")
    for words in ("1.49× [1.35×, 1.65×]", "12\u202f%", "no value is common", "noise floor of seeds", "0.60\u202f%"):
        assert words in text, words
    assert "The luck of the best" not in text, "every winner has fresh seeds"


def test_a_search_without_fresh_seeds_shows_its_luck_or_says_that_it_is_unknown() -> None:
    known = Optimism(
        family="nfnet",
        budget_flops=1e10,
        num_tried=15,
        loss=1.0,
        corrected=Interval(estimate=1.02, low=0.99, high=1.05),
        optimism=0.02,
        status=LuckTakenOff(num=15),
    )
    unknown = dataclasses.replace(known, corrected=None, optimism=None, status=LuckLeftOn(num=15, most_sds=1.7))
    analysis = dataclasses.replace(sample.weak_analysis(), optimism=(known, unknown))
    text = render(analysis, (), sample.weak_facts()).replace("\u00a0", " ")
    assert "The luck of the best" in text
    assert "1.020 [0.990, 1.050]" in text
    assert "not taken off" in text
