"""Next trials: with an allowance left, which runs tell most of a target that is still out of reach, per FLOP.

The variance of what is wanted at the target - ln loss, the families' difference in it, or ln optimal size - is that of
the delta method: c' M^-1 c, with c the law's slope at the target and M the information of the present rungs and of the
trials to come. The law is taken as true: a proposal does not see that the form may be wrong, only caps the seeds on one
budget; nor does it price the search of a rung.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.records.errors import InputError, RefusedError
from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MIN_SEEDS
from levelfield.scaling.ladder.forms import BEYOND, FARTHEST
from levelfield.scaling.laws import Floats
from levelfield.scaling.next.knowledge import Knowledge, loss_knowledge, size_knowledge
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.laws import LawFit
from levelfield.scaling.results.reasons.predictions import (
    EdgesBeforeSeeds,
    FormsTakenAsTrue,
    NoLawToPlan,
    OneRunASize,
    SearchNotPriced,
    SizeFollowsPower,
    TargetBeyondData,
)
from levelfield.scaling.results.refusals import LawOf
from levelfield.units import LARGEST, SMALLEST

Want: TypeAlias = Literal["loss", "size", "verdict"]
Counts: TypeAlias = NDArray[np.intp]
RUNGS_A_DECADE = 4
WORTHWHILE = 0.01
"""A trial that lowers the standard error by a smaller share of it is not proposed, even where the allowance buys it."""
_GAIN = 1e-9


@record
class ProposedTrial:
    """``num_seeds`` runs of a family's best cell, or of each of ``sizes`` (parameters); ``flops`` for all of them."""

    family: str
    budget_flops: float
    num_seeds: int
    flops: float
    sizes: tuple[float, ...] = ()


@record
class Proposal:
    """The trials that tell most per FLOP of what was wanted at ``target_flops``, cheapest first.

    ``sd_before`` and ``sd_after`` are those of ln loss at the target (want "loss"), of the families' difference in it
    (want "verdict") or of ln optimal size (want "size"), were the laws' forms true.
    """

    want: Want
    families: tuple[str, ...]
    target_flops: float
    allowance_flops: float
    trials: tuple[ProposedTrial, ...]
    flops: float
    sd_before: float
    sd_after: float
    notes: tuple[Reason, ...]


def propose(
    analysis: Analysis,
    *,
    target: float,
    allowance: float,
    want: Want = "loss",
    family: str | None = None,
    num_seeds: int = PROTOCOL_MIN_SEEDS,
) -> Proposal:
    """The trials that tell most, at most ``allowance`` training FLOPs in all, of a ``target`` above the rungs.

    They are lots of ``num_seeds`` runs of the best cell; for the size, one run of each size about the foretold one.
    What tells hardly more is not proposed, so that less than the allowance may be spent.

    Raises:
        InputError: a target or an allowance that is no positive number, or a family that is not there or not named.
        RefusedError: a family has no law, the target is not above the top rung or more than six decades above it, or
            the allowance buys no candidate.
    """
    for name, value in (("target", target), ("allowance", allowance)):
        if not SMALLEST <= value <= LARGEST:
            raise InputError(
                f"{name} must be positive training FLOPs, between {SMALLEST:g} and {LARGEST:g}, saw {value!r}"
            )
    families = _asked(analysis, want, family)
    known = _known(analysis, families, want, target)
    num_seeds = 1 if want == "size" else num_seeds
    choices = candidates(known, target=target, allowance=allowance, num_seeds=num_seeds)
    counts = _worthwhile(known, choices, best_design(known, choices, allowance))
    sizes = {each.family: each.sizes for each in known}
    trials = tuple(
        ProposedTrial(
            family=choice.family,
            budget_flops=choice.budget_flops,
            num_seeds=1 if choice.sizes else choice.num_seeds * int(count),
            flops=choice.flops * int(count),
            sizes=sizes[choice.family](choice.budget_flops, int(count)),
        )
        for choice, count in zip(choices, counts, strict=True)
        if count
    )
    if want == "size":
        notes: list[Reason] = [SizeFollowsPower(), OneRunASize()]
    else:
        notes = [FormsTakenAsTrue(), SearchNotPriced()]
    if want == "verdict":
        notes = [*_edges(analysis, families), *notes]
    if target > BEYOND * max(each.highest for each in known):
        notes.insert(0, TargetBeyondData(reach=BEYOND))
    return Proposal(
        want=want,
        families=families,
        target_flops=target,
        allowance_flops=allowance,
        trials=tuple(sorted(trials, key=lambda trial: (trial.budget_flops, trial.family))),
        flops=sum(trial.flops for trial in trials),
        sd_before=math.sqrt(variance(known, choices, np.zeros(len(choices), dtype=np.intp))),
        sd_after=math.sqrt(variance(known, choices, counts)),
        notes=tuple(notes),
    )


def _known(analysis: Analysis, families: Sequence[str], want: Want, target: float) -> list[Knowledge]:
    """What is known of each of ``families``, where ``target`` lies above their rungs and not too far."""
    if want == "size":
        known = [size_knowledge(analysis.isoflop, name, target=target) for name in families]
    else:
        known = [
            loss_knowledge(_chosen_law(analysis, name), target=target, num_seeds=_seeds(analysis, name))
            for name in families
        ]
    for each in known:
        if target <= each.highest:
            raise RefusedError(
                f"the target of {target:.3g} FLOPs is not above the top rung of {each.family} ({each.highest:.3g}): "
                "it needs no extrapolation; add seeds there, or name a larger target"
            )
        if target > FARTHEST * each.highest:
            raise RefusedError(
                f"the target of {target:.3g} FLOPs is {target / each.highest:.3g} times the top rung of {each.family} "
                f"({each.highest:.3g}); no law is known to hold over more than {FARTHEST:.0e} times: name a nearer one"
            )
    return known


def candidates(
    known: Sequence[Knowledge], *, target: float, allowance: float, num_seeds: int
) -> tuple[ProposedTrial, ...]:
    """Trials on a grid of budgets, from each family's lowest rung to the target, that the allowance can buy.

    Raises:
        RefusedError: it buys none.
    """
    offered = []
    for each in known:
        steps = math.ceil(RUNGS_A_DECADE * math.log10(target / each.lowest))
        for budget in np.geomspace(each.lowest, target, steps + 1).tolist():
            sizes = each.sizes(budget, 1)
            flops = budget * num_seeds * max(1, len(sizes))
            trial = ProposedTrial(
                family=each.family, budget_flops=budget, num_seeds=num_seeds, flops=flops, sizes=sizes
            )
            offered.append(trial)
    found = tuple(trial for trial in offered if trial.flops <= allowance)
    if not found:
        cheapest = min(offered, key=lambda trial: trial.flops)
        num = round(cheapest.flops / cheapest.budget_flops)
        raise RefusedError(
            f"{allowance:.3g} FLOPs are below the cheapest candidate: {num} runs of {cheapest.budget_flops:.3g} take "
            f"{cheapest.flops:.3g}"
        )
    return found


def variance(known: Sequence[Knowledge], choices: Sequence[ProposedTrial], counts: Counts) -> float:
    """The variance of what is wanted at the target, summed over families, after ``counts`` of each choice."""
    return float(_variances(known, choices)(counts))


def _variances(known: Sequence[Knowledge], choices: Sequence[ProposedTrial]) -> Callable[[Counts], Floats]:
    """That variance as a function of counts, (..., choices) to (...)."""
    num_seeds = np.array([choice.num_seeds for choice in choices])
    budgets = np.array([choice.budget_flops for choice in choices])
    parts = []
    for each in known:
        own = np.array([choice.family == each.family for choice in choices])
        parts.append((own, each.after(budgets[own])))

    def variances(counts: Counts) -> Floats:
        lots = (counts * num_seeds).astype(float)
        return np.sum([after(lots[..., own]) for own, after in parts], axis=0)

    return variances


def best_design(known: Sequence[Knowledge], choices: Sequence[ProposedTrial], allowance: float) -> Counts:
    """How many of each choice: greedy by variance per FLOP and by variance, each improved by exchange; the better."""
    most_lots = {each.family: each.most_lots for each in known}
    problem = _Problem(
        variances=_variances(known, choices),
        costs=np.array([choice.flops for choice in choices]),
        most=np.array([max(1, most_lots[choice.family] // choice.num_seeds) for choice in choices]),
        allowance=allowance,
    )
    nothing = np.zeros(len(choices), dtype=np.intp)
    designs = [_exchanged(problem, _filled(problem, nothing, per_flop)) for per_flop in (True, False)]
    return min(designs, key=lambda counts: (float(problem.variances(counts)), float(problem.costs @ counts)))


class _Problem(NamedTuple):
    """``costs`` of each choice in FLOPs, and ``most`` of it that may be bought."""

    variances: Callable[[Counts], Floats]
    costs: Floats
    most: Counts
    allowance: float


def _exchanged(problem: _Problem, counts: Counts) -> Counts:
    """Take one or two trials out, perhaps another in, and fill up again, while that lowers the variance."""
    lowest = float(problem.variances(counts))
    improved = True
    while improved:
        improved = False
        for start in (other for fewer in _without(counts) for other in _with_one_more(problem, fewer)):
            for per_flop in (True, False):
                trial = _filled(problem, start, per_flop)
                reached = float(problem.variances(trial))
                if reached < lowest * (1 - _GAIN):
                    counts, lowest, improved = trial, reached, True
            if improved:
                break
    return counts


def _without(counts: Counts) -> Iterator[Counts]:
    """``counts`` less one trial, and less two."""
    used = np.flatnonzero(counts)
    for taken in [(place,) for place in used] + list(combinations_with_replacement(used, 2)):
        fewer = counts - np.bincount(taken, minlength=len(counts))
        if fewer.min() >= 0:
            yield fewer


def _with_one_more(problem: _Problem, counts: Counts) -> Iterator[Counts]:
    """``counts``, and with one more of each choice that may be bought."""
    yield counts
    left = problem.allowance - float(problem.costs @ counts)
    for place in np.flatnonzero((problem.costs <= left) & (counts < problem.most)):
        more = counts.copy()
        more[place] += 1
        yield more


def _filled(problem: _Problem, counts: Counts, per_flop: bool) -> Counts:
    """``counts`` with the most telling affordable trial added again and again, while one tells anything."""
    counts, left = counts.copy(), problem.allowance - float(problem.costs @ counts)
    one_more = np.eye(len(counts), dtype=np.intp)
    while np.any(open_ := (problem.costs <= left) & (counts < problem.most)):
        now, then = problem.variances(counts), problem.variances(counts + one_more)
        gains = np.where(open_, now - then, 0.0)
        place = int(np.argmax(gains / problem.costs if per_flop else gains))
        if gains[place] <= 0:
            break
        counts[place] += 1
        left -= problem.costs[place]
    return counts


def _worthwhile(known: Sequence[Knowledge], choices: Sequence[ProposedTrial], counts: Counts) -> Counts:
    """``counts`` less the trials, the least telling first, without which hardly less is known; one stays."""
    variances = _variances(known, choices)
    while counts.sum() > 1:
        used = np.flatnonzero(counts)
        without = variances(counts - np.eye(len(counts), dtype=np.intp)[used])
        if np.sqrt(without.min() / variances(counts)) > 1 + WORTHWHILE:
            break
        counts = counts.copy()
        counts[used[np.argmin(without)]] -= 1
    return counts


def _asked(analysis: Analysis, want: Want, family: str | None) -> tuple[str, ...]:
    """The families that the question is about."""
    if want == "verdict":
        if len(analysis.families) != 2:
            raise InputError(f"a verdict is between two families, saw {', '.join(analysis.families)}")
        return analysis.families
    if family is None and len(analysis.families) == 1:
        return analysis.families
    if family not in analysis.families:
        saw = "none was named" if family is None else f"saw {family!r}"
        raise InputError(f"the {want} of which family? {saw}; there are {', '.join(analysis.families)}")
    return (family,)


def _edges(analysis: Analysis, families: Sequence[str]) -> Iterator[Reason]:
    """What stands before a verdict however many seeds there are."""
    for family in families:
        bounds = [winner.edges for winner in analysis.winners if winner.family == family and winner.edges]
        if bounds:
            names = tuple(sorted({edge for edges in bounds for edge in edges}))
            yield EdgesBeforeSeeds(family=family, edges=names, num_rungs=len(bounds))


def _chosen_law(analysis: Analysis, family: str) -> LawFit:
    for law in analysis.laws:
        if law.family == family and law.currency == "flops" and law.chosen:
            return law
    asked = LawOf(family=family, currency="flops")
    why = next((refusal.why for refusal in analysis.refusals if refusal.what == asked), ())
    raise RefusedError(NoLawToPlan(family=family, why=why))


def _seeds(analysis: Analysis, family: str) -> float:
    """How many runs stand behind a rung: the median over winners, 1 on a frontier of single runs."""
    seeds = [winner.num_seeds for winner in analysis.winners if winner.family == family]
    return float(np.median(seeds)) if seeds else 1.0
