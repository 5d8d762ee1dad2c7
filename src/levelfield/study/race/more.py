"""How a race goes on that has looked at its results: a step, chosen by what stands in the way of an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from levelfield.records.grid import MOST_RATES, LearningRateGrid
from levelfield.records.growth import LongerWalks, MoreSeeds, RungAbove, WiderRates
from levelfield.records.reason import Reason
from levelfield.records.study import MOST_SEEDS, FamilyEntry, StudySpec
from levelfield.scaling.results.verdicts import Comparison
from levelfield.scaling.verdicts.foresight import chance_to_decide
from levelfield.study.planned import RungWinner
from levelfield.study.race.design import RUNG_RATIO

_OCTAVES = 3
_FURTHER = 4
"""Values more along an axis."""
_MOST_TIMES = 4
"""As many seeds as now, at the most: beyond, another rung tells more."""
_LIKELY = 0.5
"""A chance to decide for which a cheaper step is taken before a dearer one."""


@dataclass(frozen=True, kw_only=True)
class Further:
    """How a race goes on: the study grown by a step, and what the step does."""

    spec: StudySpec
    does: Reason


def next_step(spec: StudySpec, winners: Sequence[RungWinner], comparisons: Sequence[Comparison]) -> Further:
    """The step that a race takes after a look at its ``winners`` and their ``comparisons``.

    Winners are enclosed first. Then it is the cheapest of the steps that are likely to decide, seeds before a rung
    above, or the likeliest of them all; where all is decided, a rung is added above.
    """
    look = (spec.verdict.look or 1) + 1
    open_pairs = [each for each in comparisons if each.currency == "flops" and each.overall.verdict == "cannot tell"]
    if not open_pairs:
        return _looked(_rung_above(spec, None), look)
    for step in (_wider(spec, winners), _longer(spec, winners)):
        if step is not None:
            return _looked(step, look)
    then = dataclasses.replace(spec.verdict, look=look)
    error_ratio = then.share_of_error / spec.verdict.share_of_error

    def chance(*, seeds_ratio: float = 1.0, more_rungs: int = 0) -> float:
        told = [
            chance_to_decide(pair, seeds_ratio=seeds_ratio, more_rungs=more_rungs, error_ratio=error_ratio)
            for pair in open_pairs
        ]
        return sum(told) / len(told)

    steps = [(chance(seeds_ratio=more / spec.verdict.seeds), more) for more in _more_seeds(spec, open_pairs)]
    above = chance(more_rungs=1)
    likely = next((step for step in steps if step[0] >= _LIKELY), max(steps, default=(0.0, 0)))
    if likely[0] > 0 and (likely[0] >= _LIKELY or likely[0] >= above):
        return _looked(_seeded(spec, *likely), look)
    known = any(pair.uncertainty for pair in open_pairs)
    return _looked(_rung_above(spec, above if known else None), look)


def _looked(step: Further, look: int) -> Further:
    verdict = dataclasses.replace(step.spec.verdict, look=look)
    return dataclasses.replace(step, spec=dataclasses.replace(step.spec, verdict=verdict))


def _wider(spec: StudySpec, winners: Sequence[RungWinner]) -> Further | None:
    """Rates beyond both ends, of all families alike, where a winner lies at an end of them."""
    families = []
    for winner in winners:
        rates = next(entry for entry in spec.families if entry.name == winner.family).base_lr.values
        if "base_lr" in winner.edges and winner.candidate.base_lr in (rates[0], rates[-1]):
            families.append(winner.family)
    if not families or any(len(entry.base_lr.values) + 2 * _OCTAVES > MOST_RATES for entry in spec.families):
        return None
    factor = 2.0**_OCTAVES
    entries = tuple(
        dataclasses.replace(
            entry,
            base_lr=LearningRateGrid(
                low=entry.base_lr.low / factor, start=entry.base_lr.start, high=entry.base_lr.high * factor
            ),
        )
        for entry in spec.families
    )
    does = WiderRates(families=tuple(dict.fromkeys(families)), factor=factor)
    return Further(spec=dataclasses.replace(spec, families=entries), does=does)


def _longer(spec: StudySpec, winners: Sequence[RungWinner]) -> Further | None:
    """Walks of more values, where one ended at the cap before anything stopped it."""
    edges: dict[str, set[str]] = {}
    for winner in winners:
        entry = next(entry for entry in spec.families if entry.name == winner.family)
        longer = {axis for axis in winner.edges if not _at_end(entry, winner, axis)}
        if longer:
            edges.setdefault(winner.family, set()).update(longer)
    if not edges:
        return None
    cap = spec.search.cap + _FURTHER
    does = LongerWalks(families=tuple(edges), axes=tuple(sorted(set().union(*edges.values()))), cap=cap)
    return Further(spec=dataclasses.replace(spec, search=dataclasses.replace(spec.search, cap=cap)), does=does)


def _at_end(entry: FamilyEntry, winner: RungWinner, axis: str) -> bool:
    """Whether the list of ``axis`` ends where the winner lies, so that no walk goes further."""
    if axis == "size":
        return winner.candidate.architecture in (entry.sizes[0], entry.sizes[-1])
    values = entry.base_lr.values if axis == "base_lr" else entry.axes[axis].values
    value = winner.candidate.base_lr if axis == "base_lr" else dict(winner.candidate.axes).get(axis)
    return value in (values[0], values[-1])


def _more_seeds(spec: StudySpec, open_pairs: Sequence[Comparison]) -> list[int]:
    """Numbers of seeds to go on with, the fewest first: those foreseen to decide the margin, and some as a trial."""
    now, most = spec.verdict.seeds, min(_MOST_TIMES * spec.verdict.seeds, MOST_SEEDS)
    asked = {2 * now, most, *(pair.seeds_to_decide for pair in open_pairs if pair.seeds_to_decide is not None)}
    return sorted(seeds for seeds in asked if now < seeds <= most)


def _seeded(spec: StudySpec, chance: float, seeds: int) -> Further:
    grown = dataclasses.replace(spec, verdict=dataclasses.replace(spec.verdict, seeds=seeds))
    return Further(spec=grown, does=MoreSeeds(seeds=seeds, chance=chance))


def _rung_above(spec: StudySpec, chance: float | None) -> Further:
    top = float(f"{spec.ladder.budgets[-1] * RUNG_RATIO:.2e}")
    ladder = dataclasses.replace(spec.ladder, budgets=(*spec.ladder.budgets, top))
    return Further(spec=dataclasses.replace(spec, ladder=ladder), does=RungAbove(budget_flops=top, chance=chance))
