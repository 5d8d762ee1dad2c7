"""What is measured: a number an example, with its unit, its direction, and what is known of its ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeVar

from levelfield.records.codec import later, record
from levelfield.records.errors import InputError, SpecError, did_you_mean

Number = TypeVar("Number")


@record
class Measure:
    """A number that is measured on every held-out example, and whose mean judges a run.

    ``unit`` is empty for plain numbers. ``chance`` is what answers say that ignore the input, ``floor`` the best that
    the data allows any network, ``ceiling`` the best that the scale allows, which a measure that is better higher must
    have; each None where it is not known. With ``equal_batch`` it compares networks that were trained at one batch
    size alone.

    Raises:
        SpecError: a measure that is better higher has no ceiling.
    """

    name: str
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"
    chance: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    equal_batch: bool = later(default=False)

    def __post_init__(self) -> None:
        if self.better == "higher" and self.ceiling is None:
            raise SpecError(f"measure {self.name!r} is better higher: give it a ceiling, from which it falls short")

    def shortfall(self, value: Number) -> Number:
        """``value`` (a number, or an array of them) as laws, noise and verdicts take it, better lower: itself, or how
        far it falls short of the ceiling."""
        return value if self.better == "lower" else self.ceiling - value  # pyright: ignore[reportOperatorIssue]

    @property
    def falling(self) -> Measure:
        """The measure of what :meth:`shortfall` gives: better lower, under a name that says so."""
        if self.better == "lower":
            return self
        ends = (None if end is None else self.shortfall(end) for end in (self.chance, self.floor))
        chance, floor = ends
        name = f"{self.name} shortfall"
        return dataclasses.replace(self, name=name, better="lower", chance=chance, floor=floor, ceiling=None)


LOSS = Measure(name="loss", unit="nats")
"""What a table's numbers are taken for where nothing says otherwise."""


def measure_named(measures: Sequence[Measure], name: str | None) -> Measure:
    """The one of ``measures`` called ``name``; where nothing is said the first, which selects.

    Raises:
        InputError: none has that name.
    """
    for measure in measures:
        if name in (None, measure.name):
            return measure
    known = [measure.name for measure in measures]
    raise InputError(f"{name!r} was not measured{did_you_mean(name or '', known)}; there are {', '.join(known)}")
