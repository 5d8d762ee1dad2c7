"""The verdicts as the top of a page shows them: a card each."""

from __future__ import annotations

from dataclasses import dataclass

from levelfield.report.figures.comparison import verdict_words
from levelfield.report.figures.loss import CURRENCY_TITLES
from levelfield.report.figures.theme import family_styles
from levelfield.report.words import numbers
from levelfield.report.words.told import told
from levelfield.report.words.verdicts import comparison_sentence
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.verdicts import Comparison


@dataclass(frozen=True, kw_only=True)
class VerdictCard:
    """One comparison in one currency, as the top of the page says it; ``tone`` picks its colour.

    ``meaning`` says what the number is, ``reasons`` why nothing was decided; ``sentence`` holds all of it with
    everything it holds for, to be quoted.
    """

    currency: str
    families: str
    words: str
    difference: str
    meaning: str
    reasons: tuple[str, ...]
    sentence: str
    tone: str


def verdict_cards(analysis: Analysis) -> tuple[VerdictCard, ...]:
    """One card a comparison, in the order of the analysis."""
    cards = []
    for comparison in analysis.comparisons:
        overall, decidable = comparison.overall, comparison.smallest_decidable_margin
        winner = {"better": comparison.a, "worse": comparison.b}.get(overall.verdict)
        a, b = numbers.family_name(comparison.a), numbers.family_name(comparison.b)
        reasons = [numbers.sentence(told(reason)) for reason in overall.reasons]
        if decidable is not None and decidable > comparison.margin:
            reasons.append(f"The smallest margin these runs could decide is {numbers.margin(round(decidable, 3))}.")
        cards.append(
            VerdictCard(
                currency=CURRENCY_TITLES[comparison.currency],
                families=f"{a} against {b}",
                words=verdict_words(comparison, overall),
                difference=numbers.ratio_interval(overall.difference) if overall.difference else "",
                meaning=_meaning(comparison) if overall.difference else "",
                reasons=tuple(reasons),
                sentence=comparison_sentence(analysis, comparison),
                tone=family_styles(analysis.families)[winner].color if winner else "",
            )
        )
    return tuple(cards)


def _meaning(comparison: Comparison) -> str:
    """What the number of a verdict is, and which way it points."""
    difference = comparison.overall.difference
    assert difference is not None  # asked for only where there is one
    a, b = numbers.family_name(comparison.a), numbers.family_name(comparison.b)
    lower, level = a if difference.estimate < 0 else b, numbers.percent(difference.level, 0)
    margin = numbers.margin(comparison.margin)
    return f"loss of {a} relative to {b}, {level} interval: lower for {lower}; within {margin} counts as equal"
