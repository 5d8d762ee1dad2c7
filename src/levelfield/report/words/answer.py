"""The answer in one sentence for somebody who has never heard of rungs: what was found, or why nothing was."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from levelfield.records.reason import Reason
from levelfield.report.words import numbers
from levelfield.report.words.beside import by_range
from levelfield.report.words.told import told
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons import verdicts
from levelfield.scaling.results.verdicts import BudgetVerdict, Comparison
from levelfield.scaling.verdicts.best import not_told_from_the_best

_MOST_TOLD = 2
"""Of more pairs that are decided, the rest is counted."""
_WHERE: dict[Currency, str] = {"flops": "training compute", "device_seconds": "time on the device"}

_PLAIN: dict[type[Reason], str | Callable[[Any], str]] = {
    verdicts.BestIsBound: lambda why: (
        f"the best {numbers.family_name(why.family)} lies at the end of what was tried, so a better one may lie just "
        "beyond"
    ),
    verdicts.TooNoisy: "equal runs differ by chance more than the difference that was asked for",
    verdicts.ReachesBeyondMargin: "equal runs differ by chance more than the difference that was asked for",
    verdicts.ExcludesZeroAtOneLevel: "what was seen falls just short of the proof that was asked for",
    verdicts.FamilyNearChance: lambda why: _barely(why),
    verdicts.NoFreshWinner: "the best recipes have not been trained again with fresh random seeds",
    verdicts.FewFreshSeeds: "the best recipes have not been trained again with enough fresh random seeds",
    verdicts.NoFreshWinners: "the best recipes have not been trained again with fresh random seeds",
    verdicts.NoNoise: "nothing was run twice, so nobody knows how much equal runs differ by chance",
    verdicts.NoSharedBudget: "the two were never given equal compute",
    verdicts.NoSharedRange: "the two were never given equal compute",
    verdicts.SecondsDoNotRise: "the clock was too noisy to compare by time",
    verdicts.LossRises: lambda why: f"the results of {numbers.family_name(why.family)} get worse with more compute",
}


def _barely(why: verdicts.FamilyNearChance) -> str:
    return f"{numbers.family_name(why.family)} has hardly learnt anything with so little compute"


def plain_answer(analysis: Analysis) -> str:
    """One sentence that answers the study's question, without a number that needs explaining."""
    answer = numbers.sentence(_answer(analysis))
    progress = analysis.in_progress
    if progress is None:
        return answer
    return f"Provisional, {progress.done} of {progress.wanted} runs done: {answer}"


def _answer(analysis: Analysis) -> str:
    if len(analysis.families) < 2:
        only = numbers.family_name(next(iter(analysis.families)))
        return f"nothing {'can be compared yet' if analysis.in_progress else 'is compared'}: only {only} has results"
    pairs: dict[tuple[str, str], dict[Currency, Comparison]] = {}
    for comparison in analysis.comparisons:
        pairs.setdefault((comparison.a, comparison.b), {})[comparison.currency] = comparison
    by_pair = [pair for pair in pairs.values() if "flops" in pair]
    if not by_pair:
        return "no answer: nothing could be compared"
    if len(by_pair) == 1:
        return _of_pair(by_pair[0])
    decided = [pair for pair in by_pair if any(each.overall.verdict != "cannot tell" for each in pair.values())]
    told_of = [_of_pair(pair) for pair in decided[:_MOST_TOLD]]
    if more := len(decided) - len(told_of):
        told_of.append(f"{more} more pairs are decided")
    if not decided:
        first = by_pair[0]["flops"]
        a, b = numbers.family_name(first.a), numbers.family_name(first.b)
        return f"no answer yet for any of {len(by_pair)} pairs of families; of {a} and {b}, {_why(first.overall)}"
    if undecided := len(by_pair) - len(decided):
        told_of.append(f"no answer yet for {undecided} of {len(by_pair)} pairs of families")
    asked = tuple(dict.fromkeys(family for pair in pairs for family in pair))
    left = not_told_from_the_best(asked, analysis.comparisons)
    names = numbers.listed([numbers.family_name(family) for family in left])
    best = f"the best is {names}" if len(left) == 1 else f"the best may be {names}"
    return "; ".join([f"of {len(asked)}, {best}", *told_of])


def _of_pair(by_currency: dict[Currency, Comparison]) -> str:
    flops = by_currency["flops"]
    clauses: dict[Currency, str] = {currency: _clause(comparison) for currency, comparison in by_currency.items()}
    if {comparison.overall.verdict for comparison in by_currency.values()} == {"cannot tell"}:
        a, b = numbers.family_name(flops.a), numbers.family_name(flops.b)
        return f"no answer yet on whether {a} or {b} is better: {_why(flops.overall)}"
    if len(clauses) > 1 and len({_deciding(comparison)[0].verdict for comparison in by_currency.values()}) == 1:
        return f"by compute and by time alike, {clauses['flops']}"
    if len(clauses) == 1:
        return clauses["flops"]
    return "; ".join(f"at equal {_WHERE[currency]}, {clause}" for currency, clause in clauses.items())


def _clause(comparison: Comparison) -> str:
    (decides, at_top), a, b = (
        _deciding(comparison),
        numbers.family_name(comparison.a),
        numbers.family_name(comparison.b),
    )
    limited = any(isinstance(reason, verdicts.EveryRungLimited) for reason in comparison.overall.reasons)
    where = "where few images limit training, " if limited else ""
    where += "with the most compute that was tried, " if at_top else ""
    match decides.verdict:
        case "better" | "worse":
            better, worse = (a, b) if decides.verdict == "better" else (b, a)
            barely = [_barely(why) for why in decides.reasons if isinstance(why, verdicts.FamilyNearChance)]
            clause = "; ".join([f"{better} is better than {worse}{_size(comparison, decides)}", *barely])
        case "equivalent":
            margin = f"{100 * comparison.margin:.3g}{numbers.THIN}%"
            clause = f"{a} and {b} are equally good: they differ by less than {margin}"
        case "depends on compute":
            clause = f"whether {a} or {b} is better depends on how much is spent"
        case _:
            clause = "there is no answer yet"
    return f"{where}{clause}{' (with less, the gap is another one)' if at_top else ''}"


def _size(comparison: Comparison, decides: BudgetVerdict) -> str:
    if decides.difference is None:
        return ""
    gap = -math.expm1(-abs(decides.difference.estimate))
    return f": its {comparison.measure} is {numbers.percent(gap, 0 if gap >= 0.095 else 1)} lower"


def _deciding(comparison: Comparison) -> tuple[BudgetVerdict, bool]:
    """The verdict to be told, and whether it is that of the largest budget: a mean would mislead who buys there."""
    judged = [each for each in comparison.per_budget if each.difference is not None]
    if comparison.overall.verdict == "cannot tell" or not judged or not by_range(comparison):
        return comparison.overall, False
    return max(judged, key=lambda each: each.budget), True


def _why(found: BudgetVerdict) -> str:
    """The first of its reasons, in words that need no glossary where there are such."""
    if not found.reasons:
        return "the numbers decide nothing"
    why = found.reasons[0]
    plain = _PLAIN.get(type(why))
    return told(why) if plain is None else plain if isinstance(plain, str) else plain(why)
