"""In words: how a race goes on that has not decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records import growth
from levelfield.records.reason import Coded

RACE_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    growth.WiderRates: "learning rates {factor:g} times lower and higher, since the best of {families:families} lies "
    "at the end of those that were tried",
    growth.LongerWalks: "up to {cap} values along an axis, since the best of {families:families} is not enclosed "
    "({axes:list})",
    growth.MoreSeeds: "{seeds} seeds of every winner, which would decide by a margin of {margin:.3g} with a "
    "probability of 80 % if the families are equal, and sooner if they are not",
    growth.SomeSeeds: "{seeds} seeds of every winner, though seeds alone are not foreseen to decide by a margin of "
    "{margin:.3g}",
    growth.RungAbove: "a rung above, at {budget_flops:power} training FLOPs a run: a new question, whose answer is not "
    "foretold",
}
