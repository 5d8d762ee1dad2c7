"""A prediction in one sentence, to be quoted."""

from __future__ import annotations

from levelfield.report.words import numbers
from levelfield.report.words.told import all_told
from levelfield.scaling.next.predict import Prediction


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
