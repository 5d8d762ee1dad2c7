"""Which form of law to believe, chosen for all families of a table at once by their pooled backtests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.records.errors import InputError, did_you_mean
from levelfield.records.reason import Reason
from levelfield.scaling.ladder.backtest import ChosenForm, LawForm, LossCurve, challenged, choose, worthwhile
from levelfield.scaling.ladder.conformal import spread_of
from levelfield.scaling.ladder.forms import LINE, RUNG_FORMS, Belief, Points
from levelfield.scaling.laws import OF_COMPUTE
from levelfield.scaling.results.reasons.laws import (
    BacktestedForm,
    ChallengerChosen,
    ChosenByBacktests,
    FormAskedFor,
    FormsUntested,
)

OF_RUNGS = tuple(map(LawForm, RUNG_FORMS))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user decides instead of the backtests: a form, a recency, the Huber scale in ln loss; None leaves it.

    Raises:
        InputError: no law of compute has this form, or a number that cannot be meant.
    """

    form: str | None = None
    recency: float | None = None
    delta: float | None = None

    def __post_init__(self) -> None:
        if self.form is not None and self.form not in OF_COMPUTE:
            raise InputError(f"no law of compute has the form {self.form!r}{did_you_mean(self.form, OF_COMPUTE)}")
        if self.recency is not None and not 0 <= self.recency < math.inf:
            raise InputError(f"recency must be a power of compute of at least 0, saw {self.recency!r}")
        if self.delta is not None and not 0 < self.delta < math.inf:
            raise InputError(f"delta must be a positive Huber scale in ln loss, saw {self.delta!r}")

    def of(self, candidates: Sequence[LawForm]) -> tuple[LawForm, ...]:
        """The ``candidates`` as far as the user leaves them open."""
        decided = {name: value for name in ("form", "recency") if (value := getattr(self, name)) is not None}
        return tuple(dict.fromkeys(candidate._replace(**decided) for candidate in candidates))


NOTHING_ASKED = Asked()


def beliefs(tables: Sequence[Points], *, level: float, asked: Asked = NOTHING_ASKED) -> tuple[Belief, ...]:
    """What to believe of each family: ladders are pooled with ladders, learning curves with learning curves."""
    pooled = {
        is_curve: _believed([points for points in tables if points.is_curve == is_curve], asked, level=level)
        for is_curve in {points.is_curve for points in tables}
    }
    return tuple(pooled[points.is_curve] for points in tables)


def _believed(tables: Sequence[Points], asked: Asked, *, level: float) -> Belief:
    known = [(points, curve) for points in tables if (curve := points.curve) is not None]
    curves = [curve for _, curve in known]
    candidates = asked.of(worthwhile(curves) if curves and tables[0].is_curve else OF_RUNGS)
    noise_sd = math.sqrt(np.mean([_held_out_sd(*pair) ** 2 for pair in known])) if known else 0.0
    choice = choose(curves, candidates, noise_sd=noise_sd) if curves else None
    asked_for = (FormAskedFor(),) if asked.form else ()
    if choice is None:
        why = asked_for or (FormsUntested(),)
        return Belief(candidate=asked.of([LawForm(LINE)])[0], why=why, delta=asked.delta, asked=asked.form is not None)
    is_open = asked.form is None and asked.recency is None
    if is_open and tables[0].is_curve:  # a ladder has too few rungs for five parameters
        choice = challenged(choice, curves)
    return Belief(
        candidate=choice.chosen,
        why=asked_for or (_why(choice, len(curves)),),
        spread=spread_of(choice.extrapolations, level=level) if tables[0].is_curve else None,
        delta=asked.delta,
        asked=asked.form is not None,
    )


def _held_out_sd(points: Points, curve: LossCurve) -> float:
    """The sd of what was held out: of a rung about the line prolonged to it, of a learning curve's row alone.

    A backtest of a learning curve is judged by many rows, which the error of a prolonged line moves all alike.
    """
    x, y = np.log(curve.compute), np.log(curve.loss)
    before = x[:-1] - x[:-1].mean()
    spread = 1 + 1 / len(before) + (x[-1] - x[:-1].mean()) ** 2 / max(float(before @ before), 1e-12)
    spread, sd = (1.0 if points.is_curve else spread), points.run_sd
    if sd is None:  # a cubic follows any of the forms, so what it leaves over is noise
        degree = min(3, len(x) - 2)
        left = y - np.polyval(np.polyfit(x - x.mean(), y, degree), x - x.mean())
        sd = math.sqrt(float(left @ left) / (len(x) - degree - 1))
    return sd * math.sqrt(spread)


def _why(choice: ChosenForm, num_curves: int) -> Reason:
    if choice.chosen in choice.challenges:
        won, lost = choice.challenges[choice.chosen]
        return ChallengerChosen(num_curves=num_curves, error=won, simpler_error=lost)
    others = [candidate for candidate in choice.scores if candidate.form != choice.chosen.form]
    if not others:
        return FormsUntested()
    other = min(others, key=lambda candidate: choice.scores[candidate])
    return ChosenByBacktests(
        num_curves=num_curves,
        error=choice.scores[choice.chosen],
        other=BacktestedForm(form=other.form, error=choice.scores[other]),
        beaten=tuple(BacktestedForm(form=who.form, error=their) for who, (their, _) in choice.challenges.items()),
    )
