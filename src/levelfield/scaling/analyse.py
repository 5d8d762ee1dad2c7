"""The one seam: a table of observations in, everything that can and cannot be said of it out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

import numpy as np

from levelfield.records.errors import InputError
from levelfield.records.measure import LOSS, Measure
from levelfield.records.observation import Observation, Role
from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MIN_SEEDS
from levelfield.scaling.fitting.fit import NEAR_CHANCE
from levelfield.scaling.ladder.belief import NOTHING_ASKED, Asked, beliefs
from levelfield.scaling.ladder.forms import Points, laws_of
from levelfield.scaling.ladder.points import frontier_points, winner_points, winner_record
from levelfield.scaling.noise.uncertainty import HeldOutLosses, Noise, typical_example_sd
from levelfield.scaling.optimum.by_size import by_size
from levelfield.scaling.optimum.costly import told_cost
from levelfield.scaling.optimum.rates import rate_surfaces
from levelfield.scaling.optimum.tuning import learning_rate_cells
from levelfield.scaling.results.analysis import RATE_BATCH, Analysis, Winner
from levelfield.scaling.results.laws import CURRENCIES, Currency, LawFit
from levelfield.scaling.results.optima import Allocation
from levelfield.scaling.results.reasons.laws import NotMonotone
from levelfield.scaling.results.reasons.optima import SizesDoNotCost
from levelfield.scaling.results.reasons.verdicts import (
    ManyEpochs,
    NoControl,
    NoExampleLosses,
    NoFreshWinners,
    NoTwoSeeds,
    RungNearChance,
    UnequalBatches,
)
from levelfield.scaling.results.refusals import (
    AddSeeds,
    AllocationOf,
    AnyVerdict,
    ControlAsked,
    FittingRung,
    IntervalsOfWinners,
    IntervalsOverExamples,
    KeepExampleLosses,
    LawOf,
    NameActive,
    Refusal,
    RunControl,
    RunFreshSeeds,
    SeedsWouldDecide,
    ShownOnly,
    UseMoreData,
    VerdictOn,
    VerdictOverall,
)
from levelfield.scaling.results.verdicts import Comparison, Control, Optimism
from levelfield.scaling.tables.cost import cost_seen
from levelfield.scaling.tables.remedies import allocation_remedy, law_remedy
from levelfield.scaling.tables.rows import Rows, having
from levelfield.scaling.tables.rungs import Frontier, Rung, checked, frontier
from levelfield.scaling.tables.sized import sized_cells
from levelfield.scaling.verdicts.contest import contest_of
from levelfield.scaling.verdicts.swap import optimizer_swaps

_SHOWN_AND_JUDGED = tuple(role for role in get_args(Role) if role != "imported")


def analyse(
    observations: Iterable[Observation],
    *,
    held_out_losses: HeldOutLosses | None = None,
    measure: Measure = LOSS,
    margin: float = 0.05,
    level: float = 0.9,
    data: str = "not stated",
    recipe: str = "not stated",
    named_confounds: Sequence[str] = (),
    equal_search: bool = False,
    no_verdict_because: Reason | None = None,
    compared: bool = True,
    sizes_counted: bool = True,
    order: Sequence[str] | None = None,
    asked: Asked = NOTHING_ASKED,
    seed: int = 0,
) -> Analysis:
    """Laws, optima, tuning curves, verdicts and controls of ``observations``, and every refusal with its reason.

    ``held_out_losses`` maps ``Observation.run`` to the loss of every report example, the same examples in the same
    order for every winner and control. ``measure`` says what all these losses are. ``margin`` is that of "equivalent"
    in ln loss, fixed in advance. ``level`` is that of the intervals shown; "better" and "worse" are decided at (1 +
    level) / 2. Families are compared pair by pair in their ``order``, alphabetical where unsaid. ``named_confounds``
    are traits listed as confounds even where balanced. ``equal_search`` says that one rule and one cap were declared
    for all families before the run; else far fewer search runs make a family's best loss a bound.
    ``no_verdict_because`` says why losses on this data compare nothing; so does a ``measure`` of one batch size where
    runs have several. Without ``compared`` no families are compared: many families have very many pairs. ``asked`` is
    what the user decides of the laws instead of the backtests. Sizes and examples that are not ``sizes_counted``, but
    somebody's columns, are doubted where compute is not what they cost. The result depends on the rows and ``seed``
    alone, not on the order of the rows.

    Raises:
        InputError: a malformed table, or per-example losses that do not belong to it. Weak data never raises.
    """
    if not 0 < level < 1 or not margin > 0:
        raise InputError(f"level must be in (0, 1) and margin positive, saw {level!r} and {margin!r}")
    rows = having(checked(observations), "role", *_SHOWN_AND_JUDGED)
    families = tuple(sorted(rows.coded("family").present))

    def stream(place: int) -> np.random.Generator:
        return np.random.default_rng([seed, place])

    unequal = _unequal_batches(rows, measure)
    fitted = () if unequal else families
    contest = contest_of(
        rows,
        held_out_losses=held_out_losses,
        margin=margin,
        level=level,
        named_confounds=named_confounds,
        equal_search=equal_search,
        no_verdict_because=unequal or no_verdict_because,
        measure=measure.name,
        compared=(order or families) if compared else (),
        generator=stream(3),
    )
    winners, noise = contest.winners, contest.noise
    optimism = contest.stand_ins.optimism if contest.stand_ins else ()
    laws, unfitted = _laws(rows, winners, fitted, noise, optimism, level, asked, stream)
    sizes = by_size(rows, fitted, noise, level=level, delta=asked.delta, stream=stream)
    doubted = () if sizes_counted else families
    costs = {family: cost for family in doubted if (cost := cost_seen(having(rows, "family", family)))}
    sizes = told_cost(costs, sizes)
    inactive = {family for family, cost in costs.items() if cost.inactive}
    comparisons, controls = contest.held(generator=stream(2), rising=_rising(unfitted))
    rates = learning_rate_cells(rows)
    searched = {own: having(having(rows, "family", own), "role", "search", "audit") for own in families}
    return Analysis(
        families=families,
        winners=_winner_records(winners, noise, level),
        laws=laws,
        isoflop=sizes.profiles,
        learning_rates=rates,
        allocations=sizes.allocations,
        comparisons=comparisons,
        controls=controls,
        swaps=optimizer_swaps(rows, held_out_losses=held_out_losses, level=level),
        refusals=(
            *_weaknesses(rows, winners, noise, held_out_losses, compared),
            *unfitted,
            *(Refusal(what=LawOf(family=own, currency="flops"), why=(unequal,)) for own in families if unequal),
            *_unallocated(rows, sizes.allocations),
            *_undecided(comparisons, winners),
            *_uncontrolled(winners, controls),
        ),
        search_flops={family: sum(own.column("train_flops")) for family, own in searched.items()},
        search_trials={family: len(own) for family, own in searched.items()},
        seed_noise=noise.seed_sd,
        example_noise=typical_example_sd(noise.example_covariance),
        data=data,
        recipe=recipe,
        optimism=optimism,
        size_laws=sizes.laws,
        optima=sizes.optima,
        rate_surfaces=rate_surfaces(rates, families, seed_sd=noise.seed_sd, level=level),
        measure=measure,
        rate_batch=RATE_BATCH if any(rows.column("peak_lr")) else None,
        sized=sized_cells(rows, [family for family in families if family not in inactive]),
    )


def _unequal_batches(rows: Rows, measure: Measure) -> UnequalBatches | None:
    """Why ``rows`` cannot be compared by a measure that is of one batch size; None where they can."""
    if not measure.equal_batch:
        return None
    sizes = {size for size in rows.column("global_batch_size") if size is not None}
    if len(sizes) < 2:
        return None
    return UnequalBatches(measure=measure.name, least=min(sizes), most=max(sizes))


def _winner_records(winners: Sequence[Rung], noise: Noise, level: float) -> tuple[Winner, ...]:
    found = (winner_record(rung, place, noise, level=level) for place, rung in enumerate(winners))
    return tuple(winner for winner in found if winner is not None)


def _points(
    frontiers: Callable[[str], Frontier],
    winners: Sequence[Rung],
    family: str,
    noise: Noise,
    optimism: Sequence[Optimism],
    currency: Currency,
) -> Points | Refusal:
    """What the law of ``family`` is fitted to: its winners, else the best of its search."""
    places = [place for place, rung in enumerate(winners) if rung.family == family]
    if places:
        return winner_points([winners[place] for place in places], places, noise, currency)
    return frontier_points(frontiers(family), family, noise, currency, optimism)


def _laws(
    rows: Sequence[Observation],
    winners: Sequence[Rung],
    families: Sequence[str],
    noise: Noise,
    optimism: Sequence[Optimism],
    level: float,
    asked: Asked,
    stream: Callable[[int], np.random.Generator],
) -> tuple[tuple[LawFit, ...], list[Refusal]]:
    """The laws of all families in both currencies: one belief of form and recency a currency, or why there is none."""
    laws: list[LawFit] = []
    refusals: list[Refusal] = []
    measured = {rung.family for rung in winners}
    frontiers = functools.cache(functools.partial(frontier, rows))
    for currency in CURRENCIES:
        tables = {family: _points(frontiers, winners, family, noise, optimism, currency) for family in families}
        known = {family: points for family, points in tables.items() if isinstance(points, Points)}
        believed = dict(zip(known, beliefs(list(known.values()), level=level, asked=asked), strict=True))
        for place, (family, points) in enumerate(tables.items()):
            if isinstance(points, Refusal):
                # A table without timings is no weakness: only a family with winners owes a law in both currencies.
                refusals.extend([points] if currency == "flops" or family in measured else [])
                continue
            fitted = laws_of(points, believed[family], level=level, generator=stream(10 + place))
            if isinstance(fitted, Reason):
                own = having(rows, "family", family)
                what = LawOf(family=family, currency=currency)
                refusals.append(Refusal(what=what, why=(fitted,), remedy=law_remedy(own, fitted)))
            else:
                laws.extend(fitted)
    return tuple(laws), refusals


def _rising(refusals: Sequence[Refusal]) -> dict[str, Reason]:
    """Why the loss of a family rises again with compute, of each of which it is known."""
    return {
        each.what.family: each.why[0]
        for each in refusals
        if isinstance(each.what, LawOf) and each.what.currency == "flops" and isinstance(each.why[0], NotMonotone)
    }


def _weaknesses(
    rows: Sequence[Observation],
    winners: Sequence[Rung],
    noise: Noise,
    held_out_losses: HeldOutLosses | None,
    compared: bool,
) -> list[Refusal]:
    """What weakens everything that follows, said once."""
    found: list[Refusal] = []
    if not winners and compared:
        found.append(
            Refusal(what=AnyVerdict(), why=(NoFreshWinners(),), remedy=RunFreshSeeds(num_seeds=PROTOCOL_MIN_SEEDS))
        )
    elif winners and noise.seed_sd is None:
        found.append(Refusal(what=IntervalsOfWinners(), why=(NoTwoSeeds(),), remedy=AddSeeds()))
    if winners and noise.example_covariance is None:
        missing = NoExampleLosses(given=bool(held_out_losses))
        found.append(Refusal(what=IntervalsOverExamples(), why=(missing,), remedy=KeepExampleLosses()))
    for rung in winners:
        if rung.near_chance:
            what = FittingRung(family=rung.family, budget_flops=rung.budget_flops)
            found.append(Refusal(what=what, why=(RungNearChance(share=NEAR_CHANCE),), remedy=ShownOnly()))
        if rung.data_limited:
            what = VerdictOverall(family=rung.family, budget_flops=rung.budget_flops)
            why = ManyEpochs(epochs=rung.first.epochs or 0.0)
            found.append(Refusal(what=what, why=(why,), remedy=UseMoreData()))
    return found


def _unallocated(rows: Sequence[Observation], allocations: Sequence[Allocation]) -> list[Refusal]:
    refused = []
    for found in allocations:
        own = having(rows, "family", found.family)
        if found.params_exponent is None and any(params is not None for params in own.coded("params").present):
            what = AllocationOf(family=found.family)
            remedy = NameActive() if isinstance(found.status, SizesDoNotCost) else allocation_remedy(own)
            refused.append(Refusal(what=what, why=(found.status,), remedy=remedy))
    return refused


def _undecided(comparisons: Sequence[Comparison], winners: Sequence[Rung]) -> list[Refusal]:
    found = []
    for comparison in comparisons:
        if comparison.overall.verdict != "cannot tell" or not winners:
            continue
        remedy, seeds = None, comparison.seeds_to_decide
        if seeds is not None:
            remedy = SeedsWouldDecide(num_seeds=seeds, margin=comparison.margin)
        what = VerdictOn(a=comparison.a, b=comparison.b, currency=comparison.currency)
        found.append(Refusal(what=what, why=comparison.overall.reasons, remedy=remedy))
    return found


def _uncontrolled(winners: Sequence[Rung], controls: Sequence[Control]) -> list[Refusal]:
    if not winners or controls:
        return []
    return [Refusal(what=ControlAsked(), why=(NoControl(),), remedy=RunControl())]
