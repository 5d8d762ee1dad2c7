"""The page: one self-contained file, verdict first, that needs no network and works without JavaScript."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from levelfield.records.observation import Observation
from levelfield.report.facts import Standing, StudyFacts
from levelfield.report.figures.figure import Figure
from levelfield.report.figures.theme import FALLBACK, FamilyStyle, family_styles
from levelfield.report.page.cards import verdict_cards
from levelfield.report.page.explained import explained
from levelfield.report.page.figures import study_figures
from levelfield.report.page.svg import draw_svg, for_page
from levelfield.report.tables.study import study_tables
from levelfield.report.tables.table import LONG, Column, Table, TableCell
from levelfield.report.words import numbers
from levelfield.report.words.answer import plain_answer
from levelfield.report.words.glossary import TERMS, anchor, glossary
from levelfield.report.words.grouped import grouped
from levelfield.report.words.of_optima import optimum_sentences
from levelfield.report.words.of_plans import rule_broken
from levelfield.report.words.standing import NOTHING_FINISHED, standing_sentences
from levelfield.report.words.told import all_told, told
from levelfield.report.words.verdicts import headline
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.refusals import Refusal
from levelfield.units import PAPER_FLOPS

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


_INTERVAL = re.compile(r"\[[^\[\]]*\]")
_TIGHT_TO = 16
"""Characters of a name that no line break may split."""
_WIDE_FROM = 17
"""Characters of a cell and its heading that half a phone's width cannot hold."""


def render(analysis: Analysis, observations: Sequence[Observation], facts: StudyFacts) -> str:
    """The study as one HTML document; equal input gives equal text."""
    figures = study_figures(analysis, observations, facts.predictions, facts.transfers, facts.foretold)
    return render_figures(analysis, facts, figures, draw_panels(figures), study_tables(analysis, facts))


def draw_panels(figures: dict[str, Figure]) -> dict[str, str]:
    """Every panel as SVG, by panel name."""
    return {
        panel.name: draw_svg(panel.specification, panel.name) for figure in figures.values() for panel in figure.panels
    }


def render_figures(
    analysis: Analysis,
    facts: StudyFacts,
    figures: dict[str, Figure],
    pictures: dict[str, str],
    tables: dict[str, Table],
    *,
    standing: Standing | None = None,
    events: str = "",
) -> str:
    """The document around figures already drawn and tables already made.

    With ``standing`` it says where a running study stands, and with ``events``, an address on the server that it comes
    from, it keeps itself fresh by what is told there.
    """
    from markupsafe import Markup

    styles = family_styles(analysis.families)

    def picture(name: str) -> Markup:
        return Markup(for_page(pictures[name]))  # Vega has escaped every text in it

    def style_of(family: str) -> FamilyStyle:
        return styles.get(family, FALLBACK)

    words = glossary(analysis, facts)
    page = (
        _environment()
        .get_template("page.html.j2")
        .render(
            analysis=analysis,
            answer=plain_answer(analysis),
            headline=headline(analysis),
            optimum_sentences=optimum_sentences,
            facts=facts,
            figures=figures,
            tables=tables,
            picture=picture,
            style_of=style_of,
            cell_classes=cell_classes,
            cards=verdict_cards(analysis),
            key_figures=key_figures(analysis, facts),
            refusals=grouped((*open_refusals(analysis), *facts.refusals), facts.undecidable),
            refused_summary=refused_summary(facts),
            glossary=words,
            anchored={term.entry for term in TERMS},
            scope=scope_sentence(analysis, facts),
            standing=standing_sentences(standing) if standing else (),
            events=events,
        )
    )
    return explained(page, (entry for entry, _ in words))


def render_waiting(*, title: str, question: str, standing: Standing, events: str) -> str:
    """The document of a study without a result; it becomes the study's page as soon as there is one."""
    template = _environment().get_template("waiting.html.j2")
    told = standing_sentences(standing)
    return template.render(title=title, question=question, standing=told, events=events, answer=NOTHING_FINISHED)


def cell_classes(cell: TableCell, column: Column) -> str:
    """How a cell is set: flush right, broken before its interval or over lines, over a phone's width, or not there."""
    return " ".join(
        name
        for name, wanted in (
            ("number", column.numeric),
            ("interval", column.numeric and "[" in cell.text),
            ("words", not column.numeric and len(cell.text) > LONG),
            ("tight", not column.numeric and len(cell.text) <= _TIGHT_TO),
            ("wide", len(cell.text) + len(column.title) > _WIDE_FROM),
            ("nothing", not cell.text),
        )
        if wanted
    )


def breaking(text: str) -> str:
    """``text`` with no break inside an interval, so that one may come before it."""
    return _INTERVAL.sub(lambda found: found[0].replace(" ", "\u00a0"), text)


def open_refusals(analysis: Analysis) -> tuple[Refusal, ...]:
    """The refusals that no verdict card has told already."""
    shown = [set(comparison.overall.reasons) for comparison in analysis.comparisons if comparison.overall.reasons]
    return tuple(refusal for refusal in analysis.refusals if not any(reasons <= set(refusal.why) for reasons in shown))


def refused_summary(facts: StudyFacts) -> str:
    """How many cells were not run, by reason."""
    kinds = Counter(rule_broken(cell.reason) for cell in facts.refused_cells)
    parts = [f"{rule} ({number})" for rule, number in kinds.most_common()]
    total = len(facts.refused_cells)
    cells = "1 planned cell was" if total == 1 else f"{total} planned cells were"
    return f"{cells} not run: {numbers.listed(parts)}." if parts else ""


def key_figures(analysis: Analysis, facts: StudyFacts) -> tuple[tuple[str, str], ...]:
    """The few numbers that size a study up: (number, what it is)."""
    found: list[tuple[str, str]] = []
    if facts.budgets:
        low, high = min(facts.budgets), max(facts.budgets)
        span = numbers.power(low) if low == high else f"{numbers.power(low)} – {numbers.power(high)}"
        rungs = "1 budget" if len(facts.budgets) == 1 else f"{len(facts.budgets)} budgets"
        found.append((span, f"training FLOPs a run, {rungs}"))
    if facts.totals is not None:
        found.append((f"{facts.totals.num_trials}", "trials"))
        found.append((numbers.power(facts.totals.train_flops), "training FLOPs in all"))
        if facts.totals.device_seconds is not None:
            where = f" ({facts.device})" if facts.device else ""
            found.append((numbers.seconds(facts.totals.device_seconds), f"device time in all{where}"))
    if analysis.seed_noise is not None:
        found.append((numbers.percent(analysis.seed_noise), "noise floor of seeds (sd of one run's ln loss)"))
    if analysis.example_noise is not None:
        what = "noise floor of report examples (standard deviation of two winners' ln loss ratio)"
        found.append((numbers.percent(analysis.example_noise, 2), what))
    return tuple(found)


def scope_sentence(analysis: Analysis, facts: StudyFacts) -> str:
    """The range for which anything here holds, and how far that is from the paper."""
    if not facts.budgets:
        return ""
    low, high = min(facts.budgets), max(facts.budgets)
    families = numbers.listed([numbers.family_name(family) for family in analysis.families])
    span = f"at {numbers.flops(low)}" if low == high else f"between {numbers.flops(low)} and {numbers.flops(high)}"
    return (
        f"Everything here holds for {families} {span}, on this data and with these recipes; "
        f"{numbers.decades(high, PAPER_FLOPS)} of compute lie between its largest budget and the largest run of "
        f"“ConvNets Match Vision Transformers at Scale” (arXiv 2310.16764; {numbers.flops(PAPER_FLOPS)}), "
        "here called the paper."
    )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("levelfield.report.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["flops"] = numbers.flops
    environment.filters["family_name"] = numbers.family_name
    environment.filters["sentence"] = numbers.sentence
    environment.filters["sentence_start"] = lambda text: numbers.sentence(text).removesuffix(".")
    environment.filters["told"] = told
    environment.filters["all_told"] = all_told
    environment.filters["anchor"] = anchor
    environment.filters["breaking"] = breaking
    environment.filters["seconds"] = numbers.seconds
    return environment
