"""The words of every code: templates over its fields, or functions that give one.

A template holds fields, never their values: a family may be called "{0}".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records.reason import Coded
from levelfield.report.words import (
    of_evaluations,
    of_laws,
    of_optima,
    of_plans,
    of_predictions,
    of_races,
    of_refusals,
    of_verdicts,
)

WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    **of_laws.LAW_WORDS,
    **of_optima.OPTIMUM_WORDS,
    **of_verdicts.VERDICT_WORDS,
    **of_predictions.PREDICTION_WORDS,
    **of_plans.PLAN_WORDS,
    **of_refusals.REFUSAL_WORDS,
    **of_races.RACE_WORDS,
    **of_evaluations.EVALUATION_WORDS,
}
