"""In words: why there is no optimum, what must be known of one, and what the optima of a budget say of the law."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from levelfield.records.reason import Coded
from levelfield.report.words import numbers
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import Optimum
from levelfield.scaling.results.reasons import optima


def _not_active(found: optima.SizesDoNotCost) -> str:
    text = (
        "C/(6ND) varies from {low:.3g} to {high:.3g} inside the family: its parameters may be total and not active "
        "(experts, embeddings), or another setting changes what an example costs"
    )
    if found.exponents is None:
        return f"{text}; size and examples are then no recipe"
    off = found.exponents - 1
    return (
        f"{text}; the exponents of size and examples add up to {{exponents:.2f}}, {off:+.2f} off 1, and are no recipe"
    )


def _vertices(found: optima.FewVertices) -> str:
    text = "{num} of {num_rungs} rungs have a vertex, at least {needed} are needed"
    return f"{text} ({{last:told}})" if found.last else text


OPTIMUM_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    optima.FewSizes: "{num} sizes, at least {needed} are needed for a vertex",
    optima.BestSizeAtEnd: "a bound: the best size is the {side} of those tried",
    optima.OpensDownwards: "a maximum, not a minimum: the curve through the sizes opens downwards",
    optima.MinimumOutside: "a bound: the curve's minimum lies outside the sizes tried",
    optima.NoNoiseOfSizes: "no interval: one run a size and no noise estimate; repeat a cell with other seeds",
    optima.FlatWithinNoise: "flat within noise: the seeds cannot tell a minimum from none",
    optima.FewVertices: _vertices,
    optima.FittedOnVertices: "fitted on the vertices of {num} of {num_rungs} rungs",
    optima.NoOptimum: "the fitted law has no optimum",
    optima.SizesDoNotCost: _not_active,
    optima.CostPerSize: "C/(6ND) varies from {low:.3g} to {high:.3g} inside the family: larger sizes cost more a "
    "parameter, so that the exponents of size and examples need not add up to 1",
    optima.ForFreshExamples: "for fresh examples",
    optima.FewBracketed: "{num} bracketed cells, at least {needed} are needed",
    optima.VaryTogether: "size and examples vary together: their effects on the rate cannot be told apart",
    optima.NoMinimumOfRates: "the tuning curves show no minimum beyond their noise",
    optima.FallToWall: (
        "a bound: in {num} of {num_cells} tuning curves the loss falls up to the largest rate that does not diverge; "
        "try rates between it and the next one, or make large rates stable (warm-up, clipping)"
    ),
    optima.FittedBelowWall: (
        "fitted on {num_curves} tuning curves; {num_bracketed} cells are bracketed; runs diverge abruptly above the "
        "minimum: rates more than {times:.3g} times the best are left out"
    ),
    optima.FittedOnCurves: "fitted on {num_curves} tuning curves; {num_bracketed} cells are bracketed",
}


def optimum_sentences(found: Optimum) -> tuple[str, ...]:
    """What size against length, closed form against profiles, and parabola against profiles say, each a clause."""
    told = []
    growth, gap, size = found.growth_gap, found.exponent_gap, found.size_gap
    if growth is not None:
        words = "size grows faster" if growth.low > 0 else "length grows faster" if growth.high < 0 else ""
        words = words or "no difference from growing at the same rate is seen"
        told.append(f"{words}: exponent of size minus exponent of examples {_signed(growth)}")
    if gap is not None and size is not None and found.budget_flops is not None:
        doubtful = "the form L = E + A N^-alpha + B D^-beta is doubtful"
        verdict = doubtful if found.form_doubtful else "no gap beyond noise is seen"
        told.append(
            f"{verdict}: closed form minus profiles {_signed(gap)} in the exponent of size, and its size at "
            f"{numbers.power(found.budget_flops)} FLOPs is {math.exp(size.estimate):.2f} [{math.exp(size.low):.2f}, "
            f"{math.exp(size.high):.2f}] times theirs" + ("; trust the profiles" if found.form_doubtful else "")
        )
    if found.parabola_bias is not None:
        text = f"a parabola through all sizes gives {math.exp(found.parabola_bias):.2f} times the profiles' size"
        wide, own = found.parabola.params, found.profiles.params
        beyond = wide is not None and own is not None and (wide.low > own.high or wide.high < own.low)
        told.append(text + ("; their intervals do not meet: it is biased by more than noise" if beyond else ""))
    return tuple(told)


def _signed(gap: Interval) -> str:
    return f"{gap.estimate:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] ({gap.level:.0%})"
