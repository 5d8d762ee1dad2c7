"""Next trials: with an allowance left, which runs tell most of a target that is still out of reach, per FLOP.

The variance of ln loss at the target is that of the delta method: c' M^-1 c, with c the law's slope at the target and M
the information of the present rungs, of the trials to come, and of a weak prior. The law is taken as true: a proposal
does not see that the form may be wrong, only caps the seeds on one budget; nor does it price the search of a rung.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.records.errors import InputError, RefusedError
from levelfield.records.study import PROTOCOL_MIN_SEEDS
from levelfield.scaling.analysis import Analysis, LawFit
from levelfield.scaling.fit import recency_weights
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.solver import solve_one

Want: TypeAlias = Literal["loss", "verdict"]
Counts: TypeAlias = NDArray[np.intp]
PRIOR_SD = 3.0
"""Inside a fit every parameter is of order one: so wide a prior only keeps the information from being singular."""
RUNGS_A_DECADE = 4
MOST_SEEDS = 12
"""New runs at one budget: more would resolve how wrong the law's form is there, which no further seed can mend."""
_GAIN = 1e-9


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What is known of one family: ``information`` (p, p) about the law's parameters, and ``target`` (p,), the slope
    of ln loss at the target. ``slope`` gives that of any budget; a run there has ``run_variance`` in ln loss.
    """

    family: str
    information: Floats
    target: Floats
    slope: Callable[[Sequence[float]], Floats]
    run_variance: float
    lowest: float
    highest: float


@record
class ProposedTrial:
    """``num_seeds`` runs of a family's best cell at one budget, ``flops`` in all."""

    family: str
    budget_flops: float
    num_seeds: int
    flops: float


@record
class Proposal:
    """The trials that tell most per FLOP of what was wanted at ``target_flops``, cheapest first.

    ``sd_before`` and ``sd_after`` are those of ln loss at the target (want "loss") or of the families' difference in it
    (want "verdict"), were the laws' forms true.
    """

    want: Want
    families: tuple[str, ...]
    target_flops: float
    allowance_flops: float
    trials: tuple[ProposedTrial, ...]
    flops: float
    sd_before: float
    sd_after: float
    notes: tuple[str, ...]


def propose(
    analysis: Analysis,
    *,
    target: float,
    allowance: float,
    want: Want = "loss",
    family: str | None = None,
    num_seeds: int = PROTOCOL_MIN_SEEDS,
) -> Proposal:
    """The trials of ``num_seeds`` runs, at most ``allowance`` training FLOPs in all, for a ``target`` above the rungs.

    Raises:
        InputError: a target or an allowance that is no positive number, or a family that is not there or not named.
        RefusedError: a family has no law, the target is not above the top rung, or the allowance buys no candidate.
    """
    for name, value in (("target", target), ("allowance", allowance)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} must be positive training FLOPs, saw {value!r}")
    families = _asked(analysis, want, family)
    known = [
        knowledge(_chosen_law(analysis, name), target=target, num_seeds=_seeds(analysis, name)) for name in families
    ]
    for each in known:
        if target <= each.highest:
            raise RefusedError(
                f"the target of {target:.3g} FLOPs is not above the top rung of {each.family} ({each.highest:.3g}): "
                "it needs no extrapolation; add seeds there, or name a larger target"
            )
    choices = candidates(known, target=target, allowance=allowance, num_seeds=num_seeds)
    counts = best_design(known, choices, allowance)
    trials = tuple(
        ProposedTrial(
            family=choice.family,
            budget_flops=choice.budget_flops,
            num_seeds=choice.num_seeds * int(count),
            flops=choice.flops * int(count),
        )
        for choice, count in zip(choices, counts, strict=True)
        if count
    )
    notes = ["the forms of the laws are taken as true", "a new rung's search is not in the price"]
    if target > 10 * max(each.highest for each in known):
        notes.insert(0, "the target is beyond 10x the data")
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


def knowledge(law: LawFit, *, target: float, num_seeds: float) -> Knowledge:
    """What the rungs of ``law`` tell, each the mean of ``num_seeds`` runs: refitted, since the law keeps its rows."""
    kept = [row for row in law.rows if not row.dropped]
    log_compute, log_loss = np.log([row.compute for row in kept]), np.log([row.loss for row in kept])
    unit, form = float(log_compute.mean()), LAWS[law.form]
    x = (log_compute - unit)[:, None]
    weights = recency_weights(x, law.recency)
    theta, _, _ = solve_one(form, x, log_loss - log_loss.mean(), weights=weights, delta=law.delta)

    def slope(budgets: Sequence[float]) -> Floats:
        return form.derivatives(theta, (np.log(budgets) - unit)[:, None])[1]

    covariance = np.array(law.covariance)
    seen = slope([row.compute for row in kept])
    return Knowledge(
        family=law.family,
        information=seen.T @ np.linalg.pinv(covariance) @ seen + np.eye(len(theta)) / PRIOR_SD**2,
        target=slope([target])[0],
        slope=slope,
        run_variance=float(np.mean(np.diag(covariance))) * num_seeds,
        lowest=law.fitted_low,
        highest=law.fitted_high,
    )


def candidates(
    known: Sequence[Knowledge], *, target: float, allowance: float, num_seeds: int
) -> tuple[ProposedTrial, ...]:
    """Trials on a grid of budgets, from each family's lowest rung to the target, that the allowance can buy.

    Raises:
        RefusedError: it buys none.
    """
    found = []
    for each in known:
        steps = math.ceil(RUNGS_A_DECADE * math.log10(target / each.lowest))
        for budget in np.geomspace(each.lowest, target, steps + 1).tolist():
            trial = ProposedTrial(
                family=each.family, budget_flops=budget, num_seeds=num_seeds, flops=budget * num_seeds
            )
            if trial.flops <= allowance:
                found.append(trial)
    if not found:
        cheapest = min(each.lowest for each in known) * num_seeds
        raise RefusedError(
            f"{allowance:.3g} FLOPs are below the cheapest candidate: {num_seeds} seeds of the lowest rung take "
            f"{cheapest:.3g}"
        )
    return tuple(found)


def variance(known: Sequence[Knowledge], choices: Sequence[ProposedTrial], counts: Counts) -> float:
    """The variance of ln loss at the target, summed over families, after ``counts`` of each choice."""
    return sum(float(each.target @ _covariance(each, choices, counts) @ each.target) for each in known)


def best_design(known: Sequence[Knowledge], choices: Sequence[ProposedTrial], allowance: float) -> Counts:
    """How many of each choice: greedy by variance per FLOP and by variance, each improved by exchange; the better."""
    costs = np.array([choice.flops for choice in choices])
    designs = []
    for per_flop in (True, False):
        counts = _filled(known, choices, costs, np.zeros(len(choices), dtype=np.intp), allowance, per_flop)
        designs.append(_exchanged(known, choices, costs, counts, allowance))
    return min(designs, key=lambda counts: (variance(known, choices, counts), float(costs @ counts)))


def _exchanged(
    known: Sequence[Knowledge], choices: Sequence[ProposedTrial], costs: Floats, counts: Counts, allowance: float
) -> Counts:
    """Take one or two trials out and fill up again, while that lowers the variance."""
    lowest = variance(known, choices, counts)
    improved = True
    while improved:
        improved = False
        for fewer in _without(counts):
            for per_flop in (True, False):
                trial = _filled(known, choices, costs, fewer, allowance, per_flop)
                reached = variance(known, choices, trial)
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


def _filled(
    known: Sequence[Knowledge],
    choices: Sequence[ProposedTrial],
    costs: Floats,
    counts: Counts,
    allowance: float,
    per_flop: bool,
) -> Counts:
    """``counts`` with the most telling affordable trial added again and again until nothing more may be bought."""
    counts, left = counts.copy(), allowance - float(costs @ counts)
    most = np.array([max(1, MOST_SEEDS // choice.num_seeds) for choice in choices])
    covariances = {each.family: _covariance(each, choices, counts) for each in known}
    columns = {each.family: _columns(each, choices) for each in known}
    while np.any(open_ := (costs <= left) & (counts < most)):
        gains = np.zeros(len(choices))
        for each in known:
            told = columns[each.family]
            spread = covariances[each.family]
            gains += (told @ spread @ each.target) ** 2 / (1 + np.einsum("cp,pq,cq->c", told, spread, told))
        value = np.where(open_, gains / costs if per_flop else gains, -1.0)
        place = int(np.argmax(value))
        counts[place] += 1
        left -= costs[place]
        for each in known:
            if each.family == choices[place].family:
                covariances[each.family] = _covariance(each, choices, counts)
    return counts


def _columns(each: Knowledge, choices: Sequence[ProposedTrial]) -> Floats:
    """Each choice's slope over its standard error, (choices, p): 0 for those of other families."""
    slopes = each.slope([choice.budget_flops for choice in choices])
    precision = [choice.num_seeds / each.run_variance * (choice.family == each.family) for choice in choices]
    return slopes * np.sqrt(precision)[:, None]


def _covariance(each: Knowledge, choices: Sequence[ProposedTrial], counts: Counts) -> Floats:
    told = _columns(each, choices)
    return np.linalg.inv(each.information + (told.T * counts) @ told).astype(np.float64)


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
        raise InputError(f"the loss of which family? {saw}; there are {', '.join(analysis.families)}")
    return (family,)


def _chosen_law(analysis: Analysis, family: str) -> LawFit:
    for law in analysis.laws:
        if law.family == family and law.currency == "flops" and law.chosen:
            return law
    why = [refusal.why for refusal in analysis.refusals if refusal.what.startswith(f"the law of {family} in flops")]
    raise RefusedError(f"{family} has no law to plan from: {why[0] if why else 'no rungs'}")


def _seeds(analysis: Analysis, family: str) -> float:
    """How many runs stand behind a rung: the median over winners, 1 on a frontier of single runs."""
    seeds = [winner.num_seeds for winner in analysis.winners if winner.family == family]
    return float(np.median(seeds)) if seeds else 1.0
