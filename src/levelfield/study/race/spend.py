"""The largest budget of a run that a race reaches within the hours, or the FLOPs, that it may take in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from levelfield.records.errors import InputError, SpecError
from levelfield.records.study import StudySpec
from levelfield.study.bill.calibrate import calibrate
from levelfield.study.bill.expected import Spend, few_courses, left_of
from levelfield.study.bill.foretold import Speeds
from levelfield.study.facts import DataFacts
from levelfield.study.plan.plan import plan
from levelfield.study.race.design import AXES, is_full

_TRIALS_OF_ONE_RUN = 60.0
"""All trials of a race in runs of its largest budget, about: where the search for that budget starts."""
FLOPS_A_SECOND = 1e10
"""Of a core, about: a guess that speeds measured here replace."""
_STEPS, _NEAR = 8, 0.05


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A race that fits: its study, what it is expected to take, and the speeds it was sized by, if any."""

    spec: StudySpec
    spend: Spend
    speeds: Speeds | None


class Design(Protocol):
    """A race by its largest budget and the axes that it searches beside rate and size."""

    def __call__(self, top: float, axes: Sequence[str]) -> StudySpec:
        """Raises InputError: no such race tells anything."""
        ...


def sized_by_flops(design: Design, facts: DataFacts, flops: float) -> Sized:
    """The race that is expected to take ``flops`` of training in all.

    Raises:
        InputError: that is too little for a race.
    """
    spec = _sized(design, flops, lambda spec: left_of(spec, facts, {}, None).train_flops, flops / _TRIALS_OF_ONE_RUN)
    return Sized(spec=spec, spend=left_of(spec, facts, {}, None), speeds=None)


def sized_by_seconds(design: Design, facts: DataFacts, seconds: float, *, device: str) -> Sized:
    """The race that is expected to take so many core- or device-``seconds`` in all, by speeds measured here.

    Raises:
        InputError: that is too little for a race.
    """
    guess = seconds * FLOPS_A_SECOND / _TRIALS_OF_ONE_RUN
    first = _designed(lambda top: design(top, AXES), guess)
    speeds = calibrate(first, facts, plan(first, facts, {}), few_courses(first, facts, {}), device=device)
    spec = _sized(design, seconds, lambda spec: left_of(spec, facts, {}, speeds).seconds or 0.0, guess)
    return Sized(spec=spec, spend=left_of(spec, facts, {}, speeds), speeds=speeds)


def _sized(design: Design, wanted: float, takes: Callable[[StudySpec], float], guess: float) -> StudySpec:
    """The race of most axes that still has its rungs at their full distance; of none where there is no such race.

    Raises:
        InputError: even that takes more than is ``wanted``.
    """
    shortest = _designed(lambda top: design(top, ()), 1.0)
    if (least := takes(shortest)) > wanted:
        raise InputError(
            f"the shortest race that tells anything takes about {least / wanted:.2g} times what it may take here; give "
            "it more (--for, --spend)"
        )
    for num in range(len(AXES), 0, -1):
        spec = _solved(lambda top, num=num: design(top, AXES[:num]), wanted, takes, guess)
        if spec is not None and is_full(spec.ladder.budgets):
            return spec
    return _solved(lambda top: design(top, ()), wanted, takes, guess) or shortest


def _designed(design: Callable[[float], StudySpec], top: float) -> StudySpec:
    """The design of ``top``, or of the smallest budget above it that is one: seconds say whether it fits."""
    while True:
        try:
            return design(top)
        except SpecError:  # which no budget mends
            raise
        except InputError:
            top *= 2


def _solved(
    design: Callable[[float], StudySpec], wanted: float, takes: Callable[[StudySpec], float], guess: float
) -> StudySpec | None:
    """The design that takes what is ``wanted``, nearly and not more: what it takes grows with its largest budget.

    None where the smallest takes more.
    """
    top, best = guess, None
    for _ in range(_STEPS):
        spec = _designed(design, top)
        top, taken = spec.ladder.budgets[-1], takes(spec)
        if taken <= wanted:
            best = spec if best is None or spec.ladder.budgets[-1] > best.ladder.budgets[-1] else best
            if taken >= wanted * (1 - _NEAR):
                break
        top *= max(1e-3, min(1e3, wanted * (1 - _NEAR / 2) / taken))
    return best
