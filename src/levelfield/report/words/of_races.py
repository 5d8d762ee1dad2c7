"""In words: how a race goes on that has not decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records import growth
from levelfield.records.reason import Coded
from levelfield.report.words import numbers

RACE_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    growth.WiderRates: "learning rates {factor:g} times lower and higher, since the best of {families:families} lies "
    "at the end of those that were tried",
    growth.LongerWalks: "up to {cap} values along an axis, since the best of {families:families} is not enclosed "
    "({axes:list})",
    growth.MoreSeeds: lambda step: _more_seeds(step),
    growth.RungAbove: lambda step: _rung_above(step),
}


def _more_seeds(step: growth.MoreSeeds) -> str:
    checks = "" if step.check_seeds is None else f", and {step.check_seeds} of what the lowest rung decides for all"
    return (
        f"{step.seeds} seeds of every winner{checks}, which would decide with a probability of about {step.chance:.0%}"
    )


def _rung_above(step: growth.RungAbove) -> str:
    above = (
        f"a rung above, at {numbers.flops(step.budget_flops)} of training a run: a new question, whose answer is not "
        "foretold"
    )
    if step.chance is None:
        return above
    return (
        f"{above}; if the families differ there as below, all rungs together would decide with a probability of about "
        f"{step.chance:.0%}"
    )
