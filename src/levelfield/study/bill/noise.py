"""The noise of a study that is planned: a guess before anything has run, measured on its lowest rung afterwards."""

from __future__ import annotations

import math

from levelfield.records.data import num_folds
from levelfield.records.study import PROTOCOL_MAX_EPOCHS, StudySpec
from levelfield.scaling.verdicts.margins import PlannedNoise
from levelfield.study.facts import DataFacts

ASSUMED_SEED_SD, ASSUMED_EXAMPLE_SD = 0.02, 1.0
"""Seeds move loss by 1-3 % in small studies (docs/explanation/protocol.md)."""


def supposed_noise(spec: StudySpec, facts: DataFacts, *, seed_sd: float = ASSUMED_SEED_SD) -> PlannedNoise:
    """The noise of ``spec`` on the data of ``facts``, if seeds differ by ``seed_sd`` in ln loss.

    Where its rungs may repeat images beyond the protocol's epochs, other images to train on would move the loss, too
    (:func:`levelfield.scaling.noise.uncertainty.with_training_sets`).
    """
    judged = num_judged(spec, facts)
    limited = spec.ladder.max_epochs > PROTOCOL_MAX_EPOCHS
    return PlannedNoise(
        seed_sd=seed_sd,
        num_seeds=spec.verdict.seeds,
        example_sd=ASSUMED_EXAMPLE_SD * math.sqrt(1 + judged / facts.num_train if limited else 1),
        num_examples=judged,
        num_rungs=len(spec.ladder.budgets),
        level=spec.verdict.level_at_look(0.9),
    )


def num_judged(spec: StudySpec, facts: DataFacts) -> int:
    """The images that judge a winner: those of every fold."""
    return facts.held(spec.data)["report"] * num_folds(spec.data)
