"""The page: one self-contained file, verdict first, that needs no network and works without JavaScript."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from levelfield.records.observation import Observation
from levelfield.report import numbers
from levelfield.report.facts import StudyFacts
from levelfield.report.figures import Figure, study_figures
from levelfield.report.figures.comparison import verdict_words
from levelfield.report.figures.loss import CURRENCY_TITLES
from levelfield.report.figures.theme import FALLBACK, FamilyStyle, family_styles
from levelfield.report.svg import draw_svg, for_page
from levelfield.report.tables import study_tables
from levelfield.scaling.analysis import Analysis
from levelfield.units import PAPER_FLOPS

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@dataclass(frozen=True, kw_only=True)
class VerdictCard:
    """One comparison in one currency, as the top of the page says it; ``tone`` picks its colour."""

    currency: str
    families: str
    words: str
    difference: str
    sentence: str
    decidable: str
    tone: str


def render(analysis: Analysis, observations: Sequence[Observation], facts: StudyFacts) -> str:
    """The study as one HTML document; equal input gives equal text."""
    figures = study_figures(analysis, observations, facts.predictions, facts.transfers)
    return render_figures(analysis, facts, figures, draw_panels(figures))


def draw_panels(figures: dict[str, Figure]) -> dict[str, str]:
    """Every panel as SVG, by panel name."""
    return {
        panel.name: draw_svg(panel.specification, panel.name) for figure in figures.values() for panel in figure.panels
    }


def render_figures(analysis: Analysis, facts: StudyFacts, figures: dict[str, Figure], pictures: dict[str, str]) -> str:
    """The document around figures already drawn."""
    from markupsafe import Markup

    styles = family_styles(analysis.families)

    def picture(name: str) -> Markup:
        return Markup(for_page(pictures[name]))  # Vega has escaped every text in it

    def style_of(family: str) -> FamilyStyle:
        return styles.get(family, FALLBACK)

    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            analysis=analysis,
            facts=facts,
            figures=figures,
            tables=study_tables(analysis, facts),
            picture=picture,
            style_of=style_of,
            cards=verdict_cards(analysis),
            key_figures=key_figures(analysis, facts),
            scope=scope_sentence(analysis, facts),
        )
    )


def verdict_cards(analysis: Analysis) -> tuple[VerdictCard, ...]:
    """One card a comparison, in the order of the analysis."""
    cards = []
    for comparison in analysis.comparisons:
        overall, decidable = comparison.overall, comparison.smallest_decidable_margin
        winner = {"better": comparison.a, "worse": comparison.b}.get(overall.verdict)
        cards.append(
            VerdictCard(
                currency=CURRENCY_TITLES[comparison.currency],
                families=f"{numbers.family_name(comparison.a)} against {numbers.family_name(comparison.b)}",
                words=verdict_words(comparison, overall),
                difference=numbers.ratio_interval(overall.difference) if overall.difference else "",
                sentence=comparison.sentence,
                decidable=f"±{numbers.plain(decidable, 2)} in ln loss" if decidable is not None else "",
                tone=family_styles(analysis.families)[winner].color if winner else "",
            )
        )
    return tuple(cards)


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
        found.append((numbers.percent(analysis.seed_noise), "noise between seeds (standard deviation of ln loss)"))
    return tuple(found)


def scope_sentence(analysis: Analysis, facts: StudyFacts) -> str:
    """The range for which anything here holds, and how far that is from the paper."""
    if not facts.budgets:
        return ""
    low, high = min(facts.budgets), max(facts.budgets)
    families = numbers.listed([numbers.family_name(family) for family in analysis.families])
    span = f"at {numbers.flops(low)}" if low == high else f"between {numbers.flops(low)} and {numbers.flops(high)}"
    return (
        f"Everything here holds for {families} {span}, on this data "
        f"and with these recipes; {numbers.decades(high, PAPER_FLOPS)} of compute lie between this study's top rung "
        f"and the largest run of the paper ({numbers.flops(PAPER_FLOPS)})."
    )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("levelfield.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["flops"] = numbers.flops
    environment.filters["family_name"] = numbers.family_name
    environment.filters["sentence"] = numbers.sentence
    environment.filters["prose"] = numbers.prose
    environment.filters["seconds"] = numbers.seconds
    return environment
