"""The words of the page that a newcomer needs, and no others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from levelfield.records.measure import LOSS, Measure
from levelfield.report.facts import StudyFacts
from levelfield.report.words import numbers
from levelfield.report.words.measures import named
from levelfield.scaling.laws import LAWS
from levelfield.scaling.results.analysis import Analysis

_WORDS = (
    (
        "Budget, rung",
        "The training FLOPs that one run may spend. The budgets form a ladder; each is a rung.",
    ),
    (
        "Cell, winner",
        "A cell is one model size at one budget. The winner is the best-tuned cell of a family at a budget, trained "
        "again on fresh seeds and judged on images that chose nothing.",
    ),
    (
        "Edge, bound",
        "The best value tried was the last of its grid, so a better one may lie beyond. The loss shown is then only an "
        "upper bound of what the family can reach, and no verdict rests on it that a better value could overturn.",
    ),
    (
        "IsoFLOP profile, vertex",
        "Loss against model size at one budget. The vertex is the lowest point of the parabola fitted to it.",
    ),
    (
        "Seed",
        "What a run draws its first weights and the order of its examples from. Runs that differ in nothing but their "
        "seeds show what chance does.",
    ),
    (
        "Margin",
        "The difference of loss, fixed before the first run, below which the families count as equal.",
    ),
    (
        "Cannot tell",
        "The interval reaches across the margin, or rests on a bound: the runs support neither better nor equal.",
    ),
    (
        "Device-seconds",
        "Time on the one named device. It ranks the families as that device does; FLOPs rank them on none.",
    ),
    (
        "A/A control",
        "A family compared with itself on other seeds. Were it better or worse, no comparison here could be trusted.",
    ),
    (
        "Locked prediction",
        "What the fitted law foretold for a budget that had not been run, sealed with its time before the run.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Term:
    """A word that is explained where it first stands: its forms as a pattern, a clause, and its entry in the list."""

    pattern: str
    clause: str
    entry: str


TERMS = (
    Term(pattern=r"rungs?", clause="one of the budgets of compute that runs were given", entry="Budget, rung"),
    Term(
        pattern=r"verti(?:ces|cis)|vertex",
        clause="the best size at one budget: the lowest point of the parabola through the losses of its sizes",
        entry="IsoFLOP profile, vertex",
    ),
    Term(
        pattern=r"bound(?:ed|s)?",
        clause="the family may do better than this: the best value tried was the last of those tried",
        entry="Edge, bound",
    ),
    Term(
        pattern=r"edges?",
        clause="the best value tried was the first or last of those tried, so a better one may lie beyond",
        entry="Edge, bound",
    ),
    Term(
        pattern=r"A/A",
        clause="a family compared with itself on other seeds, to see what chance alone does",
        entry="A/A control",
    ),
    Term(pattern=r"margin", clause="a difference smaller than this counts as none; fixed beforehand", entry="Margin"),
    Term(
        pattern=r"winners?",
        clause="the best-tuned network of a family at one budget, trained again on fresh seeds",
        entry="Cell, winner",
    ),
    Term(pattern=r"cells?", clause="one size of network at one budget", entry="Cell, winner"),
    Term(pattern=r"device-seconds", clause="time on the one device named here", entry="Device-seconds"),
    Term(
        pattern=r"FLOPs",
        clause="counted arithmetic: floating-point operations, the unit of compute here",
        entry="Budget, rung",
    ),
    Term(pattern=r"seeds?", clause="what chance is drawn from: runs that differ in nothing else", entry="Seed"),
)


def anchor(entry: str) -> str:
    """The place of an entry on the page."""
    return "word-" + re.sub(r"[^a-z]+", "-", entry.lower()).strip("-")


def glossary(analysis: Analysis, facts: StudyFacts) -> tuple[tuple[str, str], ...]:
    """(word, meaning) in the order in which a reader meets them, with the axes that this study searched."""
    words = [("Loss", _loss(analysis.measure)), *_WORDS]
    if facts.axes:
        words.append(("Axes searched", "; ".join(f"{name}: {meaning}" for name, meaning in facts.axes.items()) + "."))
    if not facts.predictions:
        words = [pair for pair in words if pair[0] != "Locked prediction"]
    if not analysis.controls:
        words = [pair for pair in words if pair[0] != "A/A control"]
    return (*words, *_laws(analysis))


def _loss(measure: Measure) -> str:
    if measure.unit == LOSS.unit:
        what, apart = "Cross-entropy on held-out examples, in nats", ", not of accuracy"
    else:
        what, apart = f"Here the mean {named(measure)} over held-out examples", ""
    return f"{what}; lower is better. Relative differences are of it{apart}."


def _laws(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """Every form of law that was fitted: what its parameters mean, and where it comes from."""
    found = []
    for form in dict.fromkeys(law.form for law in (*analysis.laws, *analysis.size_laws)):
        meanings = ", ".join(f"{parameter.name} is the {parameter.meaning}" for parameter in LAWS[form].parameters)
        found.append((numbers.law_form(form), f"{meanings}. {LAWS[form].source}."))
    return tuple(found)
