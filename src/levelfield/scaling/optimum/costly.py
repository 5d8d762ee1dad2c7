"""What is left of an optimum where the parameters of a table do not say what its runs cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from levelfield.scaling.optimum.by_size import BySize
from levelfield.scaling.results.optima import Allocation, Optimum, OptimumLine
from levelfield.scaling.results.reasons.optima import CostPerSize, SizesDoNotCost
from levelfield.scaling.tables.cost import CostSeen


def told_cost(costs: Mapping[str, CostSeen], found: BySize) -> BySize:
    """``found`` with what was seen of the cost of its runs: no law of size, vertex or exponent where sizes do not say
    it."""
    whys = {
        family: SizesDoNotCost(low=cost.low, high=cost.high, exponents=_exponents(family, found.optima))
        for family, cost in costs.items()
        if cost.inactive
    }
    rising = {family: cost for family, cost in costs.items() if not cost.inactive}
    optima = _kept(found.optima, whys)
    return BySize(
        profiles=tuple(
            dataclasses.replace(each, optimal_params=whys[each.family]) if each.family in whys else each
            for each in found.profiles
        ),
        allocations=tuple(
            Allocation(family=each.family, params_exponent=None, examples_exponent=None, status=whys[each.family])
            if each.family in whys
            else each
            for each in found.allocations
        ),
        laws=tuple(law for law in found.laws if law.family not in whys),
        optima=tuple(_said(each, rising[each.family]) if each.family in rising else each for each in optima),
    )


def _kept(found: Sequence[Optimum], whys: Mapping[str, SizesDoNotCost]) -> list[Optimum]:
    return [each for each in found if each.family not in whys]


def _exponents(family: str, optima: Sequence[Optimum]) -> float | None:
    """The exponents of size and examples added up, by profiles, else in closed form."""
    for found in optima:
        for line in (found.profiles, found.closed_form):
            if found.family == family and line.params_exponent and line.examples_exponent:
                return line.params_exponent.estimate + line.examples_exponent.estimate
    return None


def _said(found: Optimum, cost: CostSeen) -> Optimum:
    note = CostPerSize(low=cost.low, high=cost.high)

    def noted(line: OptimumLine) -> OptimumLine:
        return dataclasses.replace(line, status=(*line.status, note)) if line.params_exponent else line

    return dataclasses.replace(found, profiles=noted(found.profiles), closed_form=noted(found.closed_form))
