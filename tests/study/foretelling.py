"""A study on a real stream whose results are planted: it foretells as one that was run does, and costs nothing."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

from levelfield.records.store import StudyDirectory
from levelfield.study.planned import PlannedTrial
from levelfield.study.run import data_facts, opened
from tests.study.simulated import run_to_the_end, study, written_down

SIZES = (4, 6, 8, 12)
TOP = 6e9
FORETOLD = 2e9
"""A budget that is trained in some seconds."""


def planted(path: Path, *, best_width: float = 7.0) -> StudyDirectory:
    """A finished study of four rungs, whose best network is ``best_width`` wide at all of them."""
    spec = study(
        data={
            "source": "digit-pairs",
            "resolution": 16,
            "noise_contrast": 0.05,
            "select_examples": 256,
            "report_examples": 512,
        },
        ladder={"budgets": [2e8, 6e8, 2e9, TOP], "batch_coefficient": 0.05},
        families=[
            {
                "name": "nfnet",
                "recipe": "nfnet-short",
                "sizes": [f"nfnet:w{width}-d1-s4" for width in SIZES],
                "base_lr": {"low": 0.1, "start": 0.8, "high": 12.8},
                "lr_batch_exponent": 1.0,
            },
            {
                "name": "vit",
                "recipe": "vit-short",
                "sizes": [f"vit:w{width}-d1-p8" for width in SIZES],
                "base_lr": {"low": 1e-3, "start": 8e-3, "high": 0.128},
                "lr_batch_exponent": 0.5,
            },
        ],
    )
    facts = data_facts(opened(spec.data), spec.task)

    def loss(trial: PlannedTrial) -> float:
        width = int(trial.spec.architecture.split("w")[1].split("-")[0])
        rate = math.log2(trial.base_lr / {"nfnet": 1.6, "vit": 0.016}[trial.family])
        off = 0.02 * rate**2 + 0.1 * math.log2(width / best_width) ** 2
        noise = random.Random(trial.spec.fingerprint).gauss(0, 0.005)
        falling = 3.0 * (trial.budget_flops / 1e8) ** -0.1 * math.exp(off + noise)
        return (falling + 0.5) * {"nfnet": 1.0, "vit": 1.1}[trial.family]

    planned, results = run_to_the_end(spec, loss=loss, facts=facts)
    known = {key: dataclasses.replace(each, data_fingerprint=facts.fingerprint) for key, each in results.items()}
    return written_down(path, spec, planned, known, facts=facts)
