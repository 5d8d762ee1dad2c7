"""Verdicts in words: what was found, over which range, on what data, by which recipe, and how far from the paper."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from levelfield.report.words.beside import by_range, compute_clause, verdict_clause
from levelfield.report.words.numbers import CURRENCY_WORDS, family_name, loss_interval, power, ratio_interval, sentence
from levelfield.report.words.told import all_told, told
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.verdicts import BudgetVerdict, Comparison
from levelfield.units import PAPER_FLOPS

MOST_PAIRS = 6
"""More pairs are counted in the headline, not told one by one."""
_KINDS = ("differ", "depend on the currency", "depend on compute", "are equivalent", "cannot be told apart")


def comparison_sentence(analysis: Analysis, comparison: Comparison) -> str:
    """The overall verdict of ``comparison`` with everything it holds for, and how far it can be relied on."""
    unit, span = CURRENCY_WORDS[comparison.currency], comparison.span
    parts = [f"At equal {unit} {finding(comparison)}"]
    if span is not None:
        parts.append(f"over {power(span[0])} to {power(span[1])} {unit}")
    elif comparison.ancova.offset is not None:
        parts.append(described(comparison))
    if comparison.confounds:
        names = ", ".join(each.name.replace("_", " ") for each in comparison.confounds)
        parts.append(f"confounded with {names}")
    parts.append(f"data: {analysis.data}")
    parts.append(f"recipe: {analysis.recipe}")
    if comparison.top_flops is not None:
        parts.append(_distance(comparison.top_flops))
    return _qualified(analysis, "; ".join(parts) + ".", comparison.margin)


def finding(comparison: Comparison) -> str:
    """The overall verdict alone, as clauses; by range where it changes with compute."""
    overall = comparison.overall
    if overall.verdict != "cannot tell" and (ranged := by_range(comparison)):
        return ranged
    because = f" ({_because(overall)})" if overall.verdict == "cannot tell" and overall.reasons else ""
    clause = f"{verdict_clause(comparison, overall)}{because}"
    compute = "" if overall.verdict == "cannot tell" else compute_clause(comparison)
    return f"{compute}: {clause}" if compute else clause


def described(comparison: Comparison) -> str:
    """What rows without fresh seeds show, as a clause that claims nothing."""
    ancova, unit = comparison.ancova, CURRENCY_WORDS[comparison.currency]
    assert ancova.offset is not None  # asked for only where there is a trend
    assert ancova.middle is not None
    side = "below" if ancova.offset.estimate < 0 else "above"
    return (
        f"not claimed but seen: at {power(ancova.middle)} {unit} the {comparison.measure} of "
        f"{family_name(comparison.a)} lies {side} "
        f"that of {family_name(comparison.b)} ({ratio_interval(ancova.offset)})"
    )


def headline(analysis: Analysis) -> str:
    """The study's answer in one line: once where both currencies agree, and of each of them where they do not."""
    margin = next((comparison.margin for comparison in analysis.comparisons), None)
    progress = analysis.in_progress
    before = f"In progress: {progress.done} of {progress.wanted} trials wanted so far are done. " if progress else ""
    return before + _qualified(analysis, _answer(analysis), margin)


def _answer(analysis: Analysis) -> str:
    if len(analysis.families) < 2:
        return f"No verdict: {family_name(next(iter(analysis.families)))} alone cannot be compared."
    pairs: dict[tuple[str, str], dict[Currency, Comparison]] = {}
    for comparison in analysis.comparisons:
        pairs.setdefault((comparison.a, comparison.b), {})[comparison.currency] = comparison
    by_pair = list(pairs.values())
    if len(by_pair) <= MOST_PAIRS:
        told = " ".join(dict.fromkeys(_pair_headline(pair) for pair in by_pair))
        return told if len(by_pair) > 1 else f"{told}{_seen(analysis, by_pair[0])}"
    return _many_headline(by_pair)


def _qualified(analysis: Analysis, sentence: str, margin: float | None) -> str:
    """``sentence``, provisional while the study is in progress, and by a margin that was chosen after results."""
    before = f"Provisional: {sentence}" if analysis.in_progress else sentence
    if analysis.fixed_margin is None or margin is None:
        return before
    return (
        f"{before} The margin of ±{100 * margin:.3g} % was chosen after results; ±{100 * analysis.fixed_margin:.3g} % "
        "was fixed beforehand."
    )


def _many_headline(by_pair: Sequence[dict[Currency, Comparison]]) -> str:
    """How many pairs have which verdicts, and why most of those that cannot be told apart are not."""
    counts = Counter(_kind(pair) for pair in by_pair)
    told = [f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]]
    reasons = Counter(_reason(pair["flops"].overall) for pair in by_pair if _kind(pair) == _KINDS[-1])
    if not reasons:
        return f"Of {len(by_pair)} pairs of families {', '.join(told)}."
    ((most, num),) = reasons.most_common(1)
    why = most if num == counts[_KINDS[-1]] else f"{most}; and {len(reasons) - 1} more reasons"
    return f"Of {len(by_pair)} pairs of families {', '.join(told)} ({why})."


def _kind(by_currency: dict[Currency, Comparison]) -> str:
    verdicts = {comparison.overall.verdict for comparison in by_currency.values()}
    if verdicts == {"better", "worse"}:
        return _KINDS[1]
    if verdicts & {"better", "worse"}:
        return _KINDS[0]
    if "depends on compute" in verdicts:
        return _KINDS[2]
    return _KINDS[3] if "equivalent" in verdicts else _KINDS[-1]


def _pair_headline(by_currency: dict[Currency, Comparison]) -> str:
    flops = by_currency["flops"]
    seconds = by_currency.get("device_seconds", flops)  # somebody's table may state no timings
    verdicts = {flops.overall.verdict, seconds.overall.verdict}
    if verdicts == {"better", "worse"}:
        return (
            f"It depends on the currency: at equal training FLOPs {finding(flops)}; "
            f"at equal device-seconds {finding(seconds)}."
        )
    if verdicts == {"cannot tell"}:
        return f"Cannot tell: {_reason(flops.overall)}."
    if seconds is flops or (len(verdicts) == 1 and not (by_range(flops) or by_range(seconds))):
        where = "At equal training FLOPs" if seconds is flops else "In both currencies"
        return f"{where} {finding(flops)}."
    return f"At equal training FLOPs {finding(flops)}; at equal device-seconds {finding(seconds)}."


def _seen(analysis: Analysis, by_currency: dict[Currency, Comparison]) -> str:
    """What is not claimed but was seen where one cannot tell, as a sentence; empty where nothing was."""
    comparison = by_currency["flops"]
    if _kind(by_currency) != _KINDS[-1]:
        return ""
    if ranged := by_range(comparison):
        return f" Not claimed but seen: at equal training FLOPs {ranged}."
    difference, span = comparison.overall.difference, comparison.span
    if difference is not None and span is not None:
        low, high = map(power, span)
        return (
            f" Not claimed but seen: from {low} to {high} training FLOPs the {comparison.measure} of "
            f"{family_name(comparison.a)} relative to {family_name(comparison.b)} is {ratio_interval(difference)}."
        )
    if comparison.ancova.offset is not None:
        return f" {sentence(described(comparison))}"
    return _winners_seen(analysis, comparison)


def _winners_seen(analysis: Analysis, comparison: Comparison) -> str:
    """The losses of both winners at the largest budget that both ran."""
    sides = [
        {winner.budget_flops: winner for winner in analysis.winners if winner.family == family}
        for family in (comparison.a, comparison.b)
    ]
    shared = sides[0].keys() & sides[1].keys()
    if not shared:
        return ""
    top = max(shared)
    mine, theirs = (f"{family_name(side[top].family)} {loss_interval(side[top].loss)}" for side in sides)
    return f" Not claimed but seen, the {comparison.measure} at {power(top)} training FLOPs: {mine}, {theirs}."


def _reason(overall: BudgetVerdict) -> str:
    return _because(overall) if overall.reasons else "the numbers decide nothing"


def _because(overall: BudgetVerdict) -> str:
    """What decided against an answer: the first of the reasons, or all of them where nothing could be judged."""
    return told(overall.reasons[0]) if overall.difference is not None else all_told(overall.reasons)


def _distance(top_flops: float) -> str:
    decades = math.log10(PAPER_FLOPS / top_flops)
    if abs(decades) < 0.05:
        return f"the top budget is that of the paper's largest run ({power(PAPER_FLOPS)} FLOPs)"
    where = "below" if decades > 0 else "above"
    return f"the top budget lies {abs(decades):.1f} decades {where} the paper's {power(PAPER_FLOPS)} FLOPs"
