"""How fast things go here: what is measured once of a network's steps and of data, and under which key it is kept."""

from __future__ import annotations

import dataclasses

from levelfield.records.codec import record
from levelfield.records.data import DataSpec, in_fold
from levelfield.records.execution import Engine, ExecutionSpec
from levelfield.records.head import Head
from levelfield.records.trial import Dtype, RecipeSpec, TrialSpec
from levelfield.study.facts import DataFacts

_ANY_RATE = 1.0
"""A step takes as long at any rate."""


@record
class Conditions:
    """What a speed depends on beside what is computed: ``device`` by its hardware's name, and the code that runs."""

    device: str
    torch_version: str
    engine: Engine
    engine_version: str | None
    threads: int
    levelfield_version: str


@record
class Shape:
    """All that decides how long a step takes under given conditions. The rate of ``recipe`` is none of that."""

    architecture: str
    resolution: int
    in_channels: int
    head: Head
    task: str
    dtype: Dtype
    global_batch_size: int
    recipe: RecipeSpec


@record
class Rendering:
    """All that decides how long an example takes to be made: which pictures, and how they are augmented and mixed."""

    data: DataSpec
    content: str | None
    resolution: int
    multiplicity: int
    mixup_alpha: float
    cutmix_alpha: float
    mix_block: int


@record
class NetworkSpeed:
    """Seconds of a step of one shape, and seconds an example of evaluating its network; as results record them."""

    step_seconds: float
    evaluate_seconds: float


@record
class DataSpeed:
    """Seconds an example: one to train on (``train_seconds``), one to judge on (``held_seconds``), made from pictures
    that were decoded before.

    ``train_decode_seconds`` and ``held_decode_seconds`` come on top the first time that a process makes one, and every
    time for pictures that it has no room to keep decoded: ``kept`` is the share that it has room for.
    ``start_seconds`` are what a process takes until it can train, ``around_seconds`` what a trial takes beside its
    steps, data and evaluation.
    """

    train_seconds: float
    train_decode_seconds: float
    held_seconds: float
    held_decode_seconds: float
    kept: float
    start_seconds: float
    around_seconds: float


@record
class AskedSpeeds:
    """``trials`` of which each shape is to be measured, the most important first; with ``anew`` nothing kept counts."""

    trials: tuple[TrialSpec, ...]
    facts: DataFacts
    device: str
    execution: ExecutionSpec
    anew: bool


@record
class FoundSpeeds:
    """What is known now: of each shape and rendering its speed."""

    networks: tuple[tuple[Shape, NetworkSpeed], ...]
    data: tuple[tuple[Rendering, DataSpeed], ...]


def shape_of(trial: TrialSpec, facts: DataFacts) -> Shape:
    """What a step of ``trial`` computes."""
    return Shape(
        architecture=trial.architecture,
        resolution=facts.resolution,
        in_channels=facts.in_channels,
        head=trial.head,
        task=trial.task,
        dtype=trial.dtype,
        global_batch_size=trial.global_batch_size,
        recipe=dataclasses.replace(trial.recipe, peak_lr=_ANY_RATE),
    )


def rendering_of(trial: TrialSpec, facts: DataFacts) -> Rendering:
    """What its examples are made of, whichever fold of them judges."""
    recipe = trial.recipe
    return Rendering(
        data=in_fold(trial.data, 0),
        content=trial.data_content,
        resolution=facts.resolution,
        multiplicity=recipe.multiplicity,
        mixup_alpha=recipe.mixup_alpha,
        cutmix_alpha=recipe.cutmix_alpha,
        mix_block=recipe.mix_block,
    )
