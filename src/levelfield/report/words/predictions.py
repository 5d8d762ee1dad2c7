"""A prediction in one sentence, to be quoted, and whom it makes one train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from levelfield.records.reason import Reason
from levelfield.report.words import numbers
from levelfield.report.words.told import all_told, told
from levelfield.scaling.next.predict import Prediction
from levelfield.scaling.results.intervals import Interval


class ForetoldRecipe(Protocol):
    """What a family is foretold to reach."""

    @property
    def family(self) -> str: ...

    @property
    def loss(self) -> Interval: ...


def prediction_sentence(found: Prediction) -> str:
    """What a family's budget should give, and in brackets how each number was found."""
    loss, written = found.loss, numbers.loss_interval
    parts = [
        f"loss {written(loss)} ({loss.level:.0%})" if loss else "",
        f"{found.params:.3g} parameters" if found.params else "",
        f"{found.examples:.3g} examples" if found.examples else "",
        f"{found.epochs:.3g} epochs" if found.epochs else "",
        f"base learning rate {found.base_lr:.3g}" if found.base_lr else "",
    ]
    where = f"{numbers.family_name(found.family)} at {numbers.power(found.budget_flops)} training FLOPs"
    notes = f" ({all_told(found.notes)})" if found.notes else ""
    return f"{where}: {', '.join(part for part in parts if part) or 'nothing'}{notes}"


def choice_sentences(
    recipes: Sequence[ForetoldRecipe], refused: Mapping[str, Reason], chosen: ForetoldRecipe, *, measure: str
) -> Iterator[str]:
    """What every family is foretold to reach, and whether that tells the ``chosen`` one from the others."""
    for each in sorted(recipes, key=lambda each: each.loss.estimate):
        taken = ", which is trained" if each.family == chosen.family else ""
        level = numbers.percent(each.loss.level, 0)
        said = f"held-out {measure} {numbers.loss_interval(each.loss)} ({level})"
        yield f"{numbers.family_name(each.family)} is foretold {said}{taken}"
    for family, why in refused.items():
        yield f"of {numbers.family_name(family)} nothing is foretold: {told(why)}"
    others = [each for each in recipes if each.family != chosen.family]
    if any(each.loss.low < chosen.loss.high and chosen.loss.low < each.loss.high for each in others):
        yield "these intervals overlap, so the numbers do not tell which is better there: --family takes the other"
