"""What a study says: the records of an analysis, and the one seam through which statistics enter.

Every stage after training (``fit``, ``predict``, ``compare``, ``report``) reads an :class:`Analysis` and nothing else,
so a deeper statistic replaces what is behind :func:`levelfield.scaling.analyse.analyse` without touching a caller.
"""

from __future__ import annotations

from levelfield.records.codec import later, record
from levelfield.records.measure import LOSS, Measure
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import LawFit, SizeLaw
from levelfield.scaling.results.optima import (
    Allocation,
    IsoflopProfile,
    LearningRateCell,
    Optimum,
    RateSurface,
    SizedCells,
)
from levelfield.scaling.results.refusals import Refusal
from levelfield.scaling.results.verdicts import Comparison, Control, Optimism, Swap


@record
class Progress:
    """How far a study is that is not done: ``done`` of the trials that are ``wanted`` so far."""

    done: int
    wanted: int


@record
class Winner:
    """The best-tuned cell of a family at one budget, measured on fresh seeds and the report split.

    ``near_chance`` rungs (loss within 15 % of chance) are shown, not fitted. ``data_limited`` means epochs > 4.
    ``edges`` names the axes whose optimum is a bound. ``device_seconds`` is the mean over seeds.
    """

    family: str
    budget_flops: float
    model: str
    params: float | None
    examples: float | None
    epochs: float | None
    base_lr: float | None
    global_batch_size: int | None
    num_seeds: int
    seed_losses: tuple[float, ...]
    loss: Interval
    device_seconds: float | None
    near_chance: bool
    data_limited: bool
    edges: tuple[str, ...]


RATE_BATCH = 256
"""The batch that a study's base learning rates are scaled to (records/grid.py)."""


@record
class Analysis:
    """Everything the statistics say of one table of observations.

    ``measure`` is what every ``loss`` of them is a value of, better lower.

    ``seed_noise`` is the sd of one run's ln loss between seeds, pooled over the study; ``example_noise`` the sd of the
    ln loss ratio of two winners through the finite report set. ``optimism`` has rows where no winner has fresh seeds.
    ``notices`` say what was left out of somebody's table, or taken for something else. ``data`` and ``recipe``
    name what was seen and how it was trained. ``in_progress`` is set while a study is not done: then every verdict is
    provisional. ``fixed_margin`` is the margin that was fixed in advance, where the verdicts are by another that was
    chosen after results. ``rate_batch`` is the batch that learning rates are scaled to; None where they are as
    somebody's table gives them. ``sized`` are the cells that foretell the best run of a budget.
    """

    families: tuple[str, ...]
    winners: tuple[Winner, ...]
    laws: tuple[LawFit, ...]
    isoflop: tuple[IsoflopProfile, ...]
    learning_rates: tuple[LearningRateCell, ...]
    allocations: tuple[Allocation, ...]
    comparisons: tuple[Comparison, ...]
    controls: tuple[Control, ...]
    swaps: tuple[Swap, ...]
    refusals: tuple[Refusal, ...]
    search_flops: dict[str, float]
    search_trials: dict[str, int]
    seed_noise: float | None
    example_noise: float | None = None
    optimism: tuple[Optimism, ...] = ()
    size_laws: tuple[SizeLaw, ...] = ()
    optima: tuple[Optimum, ...] = ()
    rate_surfaces: tuple[RateSurface, ...] = ()
    notices: tuple[str, ...] = ()
    data: str = ""
    recipe: str = ""
    in_progress: Progress | None = None
    fixed_margin: float | None = None
    measure: Measure = LOSS
    sized: tuple[SizedCells, ...] = later(default=())
    rate_batch: int | None = None
