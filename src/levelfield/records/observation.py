"""One training run as the statistics see it: ours, or a row of anybody's CSV."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import later, record

Role: TypeAlias = Literal["search", "winner", "control", "audit", "swap-search", "swap", "prediction", "imported"]


@record
class Observation:
    """A finished run.

    ``loss`` is the value of the measure that the table is about, better lower; ``chance`` and ``floor`` are the ends of
    that measure where they are known (:class:`levelfield.records.measure.Measure`), ``values`` all that was measured of
    the run, by name, as it was measured.

    ``role``: ``search`` chose hyper-parameters (its loss is the select split's); ``winner`` is a fresh seed of the best
    cell of its rung (its loss is the report split's); ``control`` is the other half of the A/A control, report split;
    ``audit`` tested the learning-rate rule; ``swap`` is a winner's network under another optimiser, report split, and
    ``swap-search`` chose its learning rate; ``prediction`` is the recipe predicted for a locked rung, report split;
    ``imported`` is somebody else's result: shown, never judged. ``budget_flops`` is the rung, ``train_flops`` what was
    counted.
    ``base_lr`` is the peak learning rate scaled to a batch of 256, so that batches of different size compare; without a
    ``peak_lr`` it is what a table gives, at whatever batch.
    ``variant`` names the searched axes that differ from the recipe ("batch_factor=2"), so that a tuning curve compares
    like with like. ``edges`` names the searched axes whose optimum lies at the edge of what was searched: a bound, not
    an optimum.
    ``axes`` are further settings that a search varied, by name ("weight_decay", "0.1"): like the rate they make another
    setting of the same cell, never a seed.
    ``cluster`` names what several rows share (the trunk they branch from, the run they are variants of), so that they
    err together; empty for a run of its own. ``traits`` are further facts of the run by name ("resolution", "320"):
    what differs between families might be taken for the family. "metric" and "report_set" among them say what ``loss``
    is and on which held-out examples it was measured.
    ``images`` are the distinct ones that it was trained on, where that is known. ``capped`` says that its budget was a
    cap, of which a search chose to spend less.
    Absent numbers are None.
    """

    run: str
    family: str
    model: str
    role: Role
    loss: float
    budget_flops: float
    train_flops: float
    params: float | None = None
    examples: float | None = None
    epochs: float | None = None
    global_batch_size: int | None = None
    peak_lr: float | None = None
    base_lr: float | None = None
    seed: int = 0
    device_seconds: float | None = None
    device: str | None = None
    optimizer: str = ""
    values: tuple[tuple[str, float], ...] = ()
    chance: float | None = None
    floor: float | None = None
    variant: str = ""
    edges: tuple[str, ...] = ()
    cluster: str = ""
    traits: tuple[tuple[str, str], ...] = ()
    axes: tuple[tuple[str, str], ...] = later(default=())
    images: float | None = later(default=None)
    capped: bool = later(default=False)

    def value(self, measure: str) -> float | None:
        """What was measured under that name, or None."""
        return dict(self.values).get(measure)
