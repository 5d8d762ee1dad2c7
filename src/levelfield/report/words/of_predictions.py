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


def _because(template: str) -> Callable[[Any], str]:
    return lambda found: f"{template}: {'{why:all_told}' if found.why else 'no rungs'}"


PREDICTION_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    predictions.NoLaw: "no law, so no loss",
    predictions.BeyondTheData: "beyond {reach:g}x the data: the top fitted rung is {times:.3g} times cheaper",
    predictions.HoldsAnotherForm: "the interval holds that of another form of law",
    predictions.AsWideAsBacktests: _backtests,
    predictions.SizeUnknown: "size and examples unknown: too few rungs have a vertex",
    predictions.GrownFromWinner: "too few rungs have a vertex: size and examples are those of the winner at "
    "{budget_flops:power} FLOPs, grown at the same rate; they have no interval",
    predictions.SizeByClosedForm: "too few rungs have a vertex: size and examples by the closed form of {equation}, "
    "which gives a loss of {loss:.4g} there",
    predictions.RateUnknown: "learning rate unknown: no tuned cell with known size and examples",
    predictions.RateFromSurface: "learning rate from a surface {surface:told}; its flat range costs at most "
    "{tolerance:.2%} of loss",
    predictions.RateOutside: "that rate lies outside those tried, {low:.3g} to {high:.3g}",
    predictions.RateOfNearestCell: _nearest,
    predictions.NoLawToPredict: _because("no family has a law to predict from"),
    predictions.NoLawToPlan: _because("{family:family} has no law to plan from"),
    predictions.NothingPredicted: "{notes:all_told}",
    predictions.NoDeclaredSize: "no declared size is allowed there ({architecture}: {why:told})",
    predictions.SizeFollowsPower: "optimal size is taken to follow a power of compute",
    predictions.OneRunASize: "one run a size: a search of rates costs more",
    predictions.FormsTakenAsTrue: "the forms of the laws are taken as true",
    predictions.SearchNotPriced: "a new rung's search is not in the price",
    predictions.TargetBeyondData: "the target is beyond {reach:g}x the data",
}
