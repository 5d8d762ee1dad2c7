"""In words: how the parts of a prediction or of a proposal were found, and why some are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records.reason import Coded
from levelfield.scaling.results.reasons import predictions


def _backtests(found: predictions.AsWideAsBacktests) -> str:
    text = "the interval is as wide as backtests of {num_curves} curves were wrong"
    return text if found.reach is None else f"{text}, which reach only {{reach:.3g}}x beyond their data"


def _nearest(found: predictions.RateOfNearestCell) -> str:
    surface = "{no_surface:told}" if found.no_surface else "no tuning curve"
    cell = "{model} at {budget_flops:power} FLOPs, {status}"
    return f"learning rate of the nearest cell ({cell}): no surface ({surface})"


def _mixed(found: predictions.MixedLaws) -> str:
    shares = ", ".join(f"{law.form} {law.weight:.0%}" for law in found.laws)
    return (
        f"drawn from every law that the rows support, each by how well such laws foretold beyond their rows: {shares}"
    )


def _beyond(found: predictions.BeyondBacktests) -> str:
    own = "this table is too short for a backtest" if found.reach is None else "its own backtests reach {reach:.3g}x"
    return (
        f"extrapolated beyond all backtests at {{times:.3g}}x: {own}, those of other people's tables {{shipped:.3g}}x, "
        "and the error that they found is prolonged"
    )


def _because(template: str) -> Callable[[Any], str]:
    return lambda found: f"{template}: {'{why:all_told}' if found.why else 'no rungs'}"


PREDICTION_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    predictions.NoLaw: "no law, so no loss",
    predictions.BeyondTheData: "beyond {reach:g}x the data: the top fitted rung is {times:.3g} times cheaper",
    predictions.BelowTheData: (
        "below the data: the cheapest fitted rung is {times:.3g} times dearer, and no backtest tells how far laws hold "
        "downwards"
    ),
    predictions.MixedLaws: _mixed,
    predictions.BeyondBacktests: _beyond,
    predictions.PassedOver: "{form} has no floor to fall to: it counts in full at the last rows, less beyond them, and "
    "from {reach:.3g}x, as far as backtests of it go, {into} speaks in its place",
    predictions.LawEnds: "no law has a floor, and one without ends where its backtests do, {reach:.3g}x beyond the "
    "data",
    predictions.RepeatsAsPublished: "{epochs:.3g} epochs, and no fitted run saw an example twice: what a repeated one "
    "is worth is taken from language models (none after {repetitions:g} repetitions, Muennighoff et al.)",
    predictions.RepeatsUnseen: "{epochs:.3g} epochs, and the fitted runs saw {most_seen:.3g} at the most: the law of "
    "repeated examples is prolonged",
    predictions.ManyRepeats: "{epochs:.3g} epochs: the loss is that of the law of repeated examples",
    predictions.RepeatsIgnored: "{epochs:.3g} epochs, and no law here knows what a repeated example is worth: expect a "
    "higher loss",
    predictions.UniqueAssumed: "epochs are those of {unique_examples:.3g} distinct examples, the most that a run of "
    "the table drew on; --unique-examples says another number",
    predictions.AsWideAsBacktests: _backtests,
    predictions.SizeUnknown: "size and examples unknown: too few rungs have a vertex",
    predictions.GrownFromWinner: "too few rungs have a vertex: size and examples are those of the winner at "
    "{budget_flops:power} FLOPs, grown at the same rate; they have no interval",
    predictions.SizeByLaw: "size and examples are where {equation} is lowest at that budget",
    predictions.RateUnknown: "learning rate unknown: no tuned cell with known size and examples",
    predictions.RateFromSurface: "learning rate from a surface {surface:told}; its flat range costs at most "
    "{tolerance:.2%} of loss",
    predictions.RateOutside: "that rate lies outside those tried, {low:.3g} to {high:.3g}",
    predictions.RateOfNearestCell: _nearest,
    predictions.NoLawToPredict: _because("no family has a law to predict from"),
    predictions.NoLawToPlan: _because("{family:family} has no law to plan from"),
    predictions.NothingPredicted: "{notes:all_told}",
    predictions.NoDeclaredSize: "no declared size is allowed there ({architecture}: {why:told})",
    predictions.NothingToTrain: "there is nothing to train at {budget_flops:power} FLOPs, since no recipe of "
    "{families:families} is foretold: {why:all_told}; `levelfield race` with more time, or `levelfield next` and a "
    "longer study file, would tell more, and `levelfield predict` says what is known by now",
    predictions.SizeFollowsPower: "optimal size is taken to follow a power of compute",
    predictions.OneRunASize: "one run a size: a search of rates costs more",
    predictions.FormsTakenAsTrue: "the forms of the laws are taken as true",
    predictions.EdgesBeforeSeeds: "{num_rungs} of the winners of {family:family} lie at an edge of their search "
    "({edges:list}): none of these trials moves that, so no verdict comes of them before the search goes further there "
    "- more values, a higher cap (search.cap), or `levelfield race`, which finds its range by itself",
    predictions.SearchNotPriced: "a new rung's search is not in the price",
    predictions.TargetBeyondData: "the target is beyond {reach:g}x the data",
}
