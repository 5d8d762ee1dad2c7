"""What more seeds, or another rung, would tell: the chance that a pair that is open now is decided then.

With δ̂ the overall difference now and SE its standard error, δ̂' and SE' those then, and a flat prior of δ, what will be
seen is δ̂' ~ N(δ̂, SE² - SE'²). Decided is what lies beyond the wider half-width on either side of 0, or with the
narrower one inside the margin. Source: predictive power, Spiegelhalter, Freedman and Blackburn, "Monitoring clinical
trials: conditional or predictive power?", Controlled Clinical Trials 7, 1986.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from levelfield.scaling.results.verdicts import Comparison, UncertaintyBudget
from levelfield.scaling.verdicts.compare import Question, attainable
from levelfield.scaling.verdicts.contrasts import Band, mean_statement, stacked

_NORMAL = NormalDist()


def uncertainty_budget(question: Question, band: Band | None, margin: float) -> UncertaintyBudget | None:
    """What makes up the standard error of the overall difference; None where there is none."""
    if band is None or not question.joint:
        return None
    statement, evidence = mean_statement(question.joint), band.evidence
    weights, timed = stacked([statement])
    noise, regret = evidence.noise, evidence.regret
    seeds, _ = noise.seed_variances(weights)
    carried = regret.carried_variances(weights)
    return UncertaintyBudget(
        seeds=float(noise.larger(seeds, weights)[0]),
        clocks=float(evidence.seconds.variances(timed)[0]),
        search=float((regret.variances(weights) - carried)[0]),
        carried=float(carried[0]),
        examples=float(noise.example_variances(weights)[0]),
        num_rungs=len(question.joint),
        decides=band.judge(statement).outer,
        attainable=tuple(sorted(attainable(statement, margin))),
    )


class Foreseen(NamedTuple):
    """What a pair would look like then: the ``chance`` that it is decided, and how many times as wide it would be told
    apart from none (``width``)."""

    chance: float
    width: float


def foreseen(
    comparison: Comparison,
    *,
    seeds_ratio: float = 1.0,
    checks_ratio: float = 1.0,
    more_rungs: int = 0,
    error_ratio: float = 1.0,
) -> Foreseen:
    """``comparison`` with so many times the seeds, so many times the runs of what one rung decides for others, and so
    many rungs more, these differing as the others do.

    The next look spends ``error_ratio`` times the error of this one.
    """
    now, seen = comparison.uncertainty, comparison.overall.difference
    if now is None or seen is None:
        return Foreseen(0.0, 1.0)
    fewer = now.num_rungs / (now.num_rungs + more_rungs)
    left = ((now.seeds + now.clocks) / seeds_ratio + now.search) * fewer + now.carried / checks_ratio + now.examples
    error = math.sqrt(left)
    better, equal = (
        error * _stricter(half / math.sqrt(now.total), error_ratio)
        for half in (now.decides, (seen.high - seen.low) / 2)
    )
    then = NormalDist(seen.estimate, max(math.sqrt(max(now.total - left, 0.0)), 1e-12))
    inside = comparison.margin - equal
    chances = {
        "better": then.cdf(-better),
        "worse": 1 - then.cdf(better),
        "equivalent": max(0.0, then.cdf(inside) - then.cdf(-inside)) if inside > 0 else 0.0,
    }
    if inside > better:  # what is told from none and within the margin is counted once
        chances["better"], chances["worse"] = then.cdf(-inside), 1 - then.cdf(inside)
    chance = sum(chance for verdict, chance in chances.items() if verdict in now.attainable)
    return Foreseen(min(1.0, chance), better / now.decides)


def _stricter(deviate: float, error_ratio: float) -> float:
    """The normal deviate exceeded ``error_ratio`` times as often as ``deviate``."""
    rarity = 1 - _NORMAL.cdf(deviate)
    return deviate if rarity <= 0 else -_NORMAL.inv_cdf(min(0.5, rarity * error_ratio))
