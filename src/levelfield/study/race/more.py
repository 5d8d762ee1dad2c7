"""How a race goes on that has looked at its results: a step, chosen by what stands in the way of an answer."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from levelfield.records.grid import MOST_RATES, LearningRateGrid
from levelfield.records.growth import LongerWalks, MoreSeeds, RungAbove, WiderRates
from levelfield.records.reason import Reason
from levelfield.records.study import MOST_CHECK_SEEDS, MOST_SEEDS, FamilyEntry, StudySpec
from levelfield.scaling.results.verdicts import Comparison
from levelfield.scaling.verdicts.foresight import Foreseen, foreseen
from levelfield.study.planned import Plan, RungWinner
from levelfield.study.race.design import RUNG_RATIO

_OCTAVES = 3
_FURTHER = 4
"""Values more along an axis."""
_MOST_TIMES = 4
"""As many seeds as now, at the most: beyond, another rung tells more."""
_LIKELY = 0.5
"""A chance to decide for which a cheaper step is taken before a dearer one."""
_UNLIKELY = 0.02
"""A chance for which no step is worth its price by itself."""
_NARROWER = 0.9
"""Of the interval that is left by a step that is taken all the same."""


@dataclass(frozen=True, kw_only=True)
class Further:
    """How a race goes on: the study grown by a step, and what the step does."""

    spec: StudySpec
    does: Reason


@dataclass(frozen=True, kw_only=True)
class _Weighed:
    """A step, what it is foreseen to do to the pairs that are open, and about how many training FLOPs it takes."""

    step: Further
    then: Foreseen
    price: float


def next_step(spec: StudySpec, planned: Plan, comparisons: Sequence[Comparison]) -> Further:
    """The step that a race takes after a look at its ``comparisons``; ``planned`` is all that was run so far.

    Winners are enclosed first. Then it is the cheapest of the steps that are likely to decide, of more seeds and a rung
    above, or the one with the largest chance for its price. Where none has a chance worth its price, it is the seeds
    that narrow the interval most, or a rung above if they hardly do. Where all is decided, a rung is added above.
    """
    look = (spec.verdict.look or 1) + 1
    open_pairs = [each for each in comparisons if each.currency == "flops" and each.overall.verdict == "cannot tell"]
    if not open_pairs:
        return _looked(_rung_above(spec, None), look)
    for step in (_wider(spec, planned.winners), _longer(spec, planned.winners)):
        if step is not None:
            return _looked(step, look)
    if not any(pair.uncertainty for pair in open_pairs):
        return _looked(_rung_above(spec, None), look)
    seeds, above = _weighed(spec, planned, open_pairs, look)
    steps = sorted((*seeds, above), key=lambda each: each.price)
    chosen = next((each for each in steps if each.then.chance >= _LIKELY), None)
    chosen = chosen or max(steps, key=lambda each: each.then.chance / each.price)
    if chosen.then.chance < _UNLIKELY:
        narrowest = min(seeds, key=lambda each: each.then.width, default=above)
        chosen = narrowest if narrowest.then.width <= _NARROWER else above
    return _looked(chosen.step, look)


def _weighed(
    spec: StudySpec, planned: Plan, open_pairs: Sequence[Comparison], look: int
) -> tuple[list[_Weighed], _Weighed]:
    """More seeds, with and without more runs of what one rung decides for others; and a rung above."""
    error_ratio = dataclasses.replace(spec.verdict, look=look).share_of_error / spec.verdict.share_of_error
    seeds_now, checks_now = spec.verdict.seeds, spec.search.check_seeds

    def told(*, seeds: int = seeds_now, checks: int = checks_now, rungs: int = 0) -> Foreseen:
        ratios = {"seeds_ratio": seeds / seeds_now, "checks_ratio": checks / checks_now, "error_ratio": error_ratio}
        chances, widths = zip(*(foreseen(pair, more_rungs=rungs, **ratios) for pair in open_pairs), strict=True)
        return Foreseen(sum(chances) / len(chances), max(widths))

    top, checked = spec.ladder.budgets[-1], spec.search.check_budgets or ()
    prices = dict.fromkeys(("winner", "check", "top"), 0.0)
    for trial in planned.trials:
        prices["winner"] += trial.budget_flops * (trial.role == "winner")
        prices["check"] += trial.budget_flops * (trial.role == "search" and trial.budget_flops in checked)
        prices["top"] += trial.budget_flops * (trial.budget_flops == top)
    grown = []
    for seeds, checks in itertools.product(_more_seeds(spec, open_pairs), _more_checks(spec)):
        then = told(seeds=seeds, checks=checks)
        price = prices["winner"] * (seeds / seeds_now - 1) + prices["check"] * (checks / checks_now - 1)
        grown.append(_Weighed(step=_seeded(spec, then.chance, seeds, checks), then=then, price=price))
    then = told(rungs=1)
    return grown, _Weighed(step=_rung_above(spec, then.chance), then=then, price=prices["top"] * RUNG_RATIO)


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


def _more_checks(spec: StudySpec) -> list[int]:
    """Numbers of runs for every trial that decides an axis for other rungs; as many as now where none does."""
    now = spec.search.check_seeds
    more = [times * now for times in (2, _MOST_TIMES)] if spec.search.check_budgets else []
    return [now, *(checks for checks in more if checks <= MOST_CHECK_SEEDS)]


def _seeded(spec: StudySpec, chance: float, seeds: int, checks: int) -> Further:
    verdict = dataclasses.replace(spec.verdict, seeds=seeds)
    grown = dataclasses.replace(spec, verdict=verdict, search=dataclasses.replace(spec.search, check_seeds=checks))
    more_checks = None if checks == spec.search.check_seeds else checks
    return Further(spec=grown, does=MoreSeeds(seeds=seeds, check_seeds=more_checks, chance=chance))


def _rung_above(spec: StudySpec, chance: float | None) -> Further:
    top = float(f"{spec.ladder.budgets[-1] * RUNG_RATIO:.2e}")
    ladder = dataclasses.replace(spec.ladder, budgets=(*spec.ladder.budgets, top))
    return Further(spec=dataclasses.replace(spec, ladder=ladder), does=RungAbove(budget_flops=top, chance=chance))
