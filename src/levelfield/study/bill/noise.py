"""The noise of a study that is planned: a guess before anything has run, measured on its lowest rung afterwards."""

from __future__ import annotations

from levelfield.records.study import StudySpec
from levelfield.scaling.verdicts.margins import PlannedNoise

ASSUMED_SEED_SD, ASSUMED_EXAMPLE_SD = 0.02, 1.0
"""Seeds move loss by 1-3 % in small studies (docs/explanation/protocol.md)."""


def supposed_noise(spec: StudySpec, num_report: int, *, seed_sd: float = ASSUMED_SEED_SD) -> PlannedNoise:
    """The noise of ``spec``, judged on ``num_report`` examples, if seeds differ by ``seed_sd`` in ln loss."""
    return PlannedNoise(
        seed_sd=seed_sd,
        num_seeds=spec.verdict.seeds,
        example_sd=ASSUMED_EXAMPLE_SD,
        num_examples=num_report,
        num_rungs=len(spec.ladder.budgets),
        level=spec.verdict.level_at_look(0.9),
    )
