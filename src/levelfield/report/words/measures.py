"""How the value of a measure is written, whatever it is of: what is customary where there is a custom."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.measure import Measure
from levelfield.records.trial import HeldOutMeans
from levelfield.report.words import numbers

_ERROR = "error"
"""Shown as its complement, top-1 accuracy, where single trials are listed."""


def title(measure: Measure) -> str:
    """The head of a column."""
    return "Top-1" if measure.name == _ERROR else measure.name[:1].upper() + measure.name[1:]


def shown(measure: Measure, value: float | None) -> str:
    """``value`` in such a column."""
    if value is None:
        return numbers.loss(None)
    if measure.name == _ERROR:
        return numbers.percent(1 - value)
    return numbers.percent(value) if measure.unit == "share" else numbers.loss(value)


def in_words(measures: Sequence[Measure], held_out: HeldOutMeans) -> str:
    """Everything that was measured: "top-1 93.1 %, loss 0.2210", and what is said of the split as a whole."""
    listed = sorted(measures, key=lambda measure: measure.name != _ERROR)
    said = [f"{title(each)[:1].lower()}{title(each)[1:]} {shown(each, held_out.values[each.name])}" for each in listed]
    said += [f"{name} of all together {numbers.loss(value)}" for name, value in (held_out.whole or {}).items()]
    return ", ".join(said)


def named(measure: Measure) -> str:
    """The measure with its unit: "loss in nats", "error"."""
    unit = after(measure)
    return f"{measure.name} in{unit}" if unit else measure.name


def after(measure: Measure) -> str:
    """What is written after a value of it: " nats", or nothing."""
    return f" {measure.unit}" if measure.unit and measure.unit != "share" else ""


def learning_rate(batch: int | None) -> str:
    """What learning rates are that were scaled to ``batch``, or, without one, are as a table gives them."""
    return "learning rate" if batch is None else f"learning rate at a batch of {batch}"


def rate_title(batch: int | None) -> str:
    """The head of their column."""
    return "Rate" if batch is None else f"Rate at {batch}"


def axis(measure: Measure) -> str:
    """What the axis of a figure is of."""
    return f"held-out {named(measure)}"
