"""What one trial is, and what came of it. Identity is content, never placement."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from levelfield.records.codec import later, record, to_plain
from levelfield.records.data import DataSpec, Split, at_resolution, check_content, data_identity
from levelfield.records.data_bounds import LARGEST_SIDE
from levelfield.records.errors import SpecError, did_you_mean, expect, shown
from levelfield.records.execution import Execution
from levelfield.records.fingerprint import fingerprint
from levelfield.records.head import Head
from levelfield.records.measure import Measure, measure_named
from levelfield.records.stated import LARGEST_WHOLE_NUMBER, stated

Weights: TypeAlias = Literal["raw", "ema"]
Dtype: TypeAlias = Literal["float32", "bfloat16"]
RecipeValue: TypeAlias = float | int | str | bool | None
TrialStatus: TypeAlias = Literal["finished", "diverged"]

LEAST, MOST = 1e-30, 1e30
"""What a positive number of a recipe lies between: beyond, single precision turns it into 0 or infinity."""
MADE_BY = ("levelfield_version", "executions")
"""The fields of a result that say what made it, and not what came of it."""
CLASSIFICATION = "classification"
"""The task of a study that names none, of what is fine-tuned, and of probes."""
MOST_VIEWS = 1024
MOST_FLOPS = 1e30
_TASK = r"[a-z][a-z0-9_]*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
_WITHIN = f"from {LEAST:g} to {MOST:g}"
LARGEST_BATCH = 2**24
MIX_BLOCK, LARGEST_MIX_BLOCK = 8, 64
"""Positions that are mixed with one another, and drawn for together."""
LEAST_GHOST_BATCH = 2
"""Examples: of one alone, a feature that has shrunk to one pixel has no variance."""
MOST_STEPS = 10**12
NOISE_VERSION = 2
"""Of the random numbers that drop units and branches: part of what a trial is that has any
(:mod:`levelfield.families.noise`)."""


@stated
class RecipeSpec:
    """How a network is trained. Learning rates are the peak of a linear warm-up followed by a cosine to zero.

    ``weight_decay`` follows the optimiser's own custom: coupled L2 added after clipping for ``sgd`` (NFNet), and
    independent of the learning rate, scaled by the schedule alone, for ``adamw`` (big_vision).
    ``ema_fraction`` is the averaging horizon as a fraction of the run; 0 keeps no average.
    ``clip_skip_gain`` False is the short-run preset of protocol 9.
    ``sam_rho`` asks for sharpness-aware steps, whose ascent takes the first ``sam_fraction`` of the global batch.
    ``layer_decay`` multiplies the learning rate once for every block between a tensor and the head.
    ``multiplicity`` augmented views of an example stand side by side, so that a batch holds as many examples fewer.
    ``ghost_batch_size`` examples, one after another in the global batch, share the statistics of BatchNorm while
    training; None stands for the whole global batch. No execution may cut what shares a statistic.
    ``mixup_alpha`` and ``cutmix_alpha`` mix the examples of every ``mix_block`` positions with one another, by shares
    from Beta(alpha, alpha); where both are said, each has half the blocks.
    ``frozen`` keeps the backbone as it was started from, in evaluation mode, so that the head alone learns.
    ``head_fit`` fits the head to the features that the backbone starts with, by logistic regression, before the first
    step (arXiv 2202.10054); without it a fine-tune's head starts from zero.
    """

    preset: str
    optimizer: Literal["sgd", "adamw"]
    peak_lr: float
    warmup_fraction: float = 0.1
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    agc_lambda: float | None = None
    agc_eps: float = 1e-3
    clip_skip_gain: bool = True
    global_clip_norm: float | None = None
    ema_fraction: float = 0.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    nesterov: bool = later(default=True)
    sam_rho: float | None = later(default=None)
    sam_fraction: float = later(default=1.0)
    layer_decay: float = later(default=1.0)
    multiplicity: int = later(default=1)
    ghost_batch_size: int | None = later(default=None)
    frozen: bool = later(default=False)
    mixup_alpha: float = later(default=0.0)
    cutmix_alpha: float = later(default=0.0)
    mix_block: int = later(default=MIX_BLOCK)
    head_fit: bool = later(default=False)

    def __post_init__(self) -> None:
        for name in ("peak_lr", "agc_eps"):
            expect(LEAST <= getattr(self, name) <= MOST, name, f"positive, {_WITHIN}", getattr(self, name))
        for name in ("warmup_fraction", "momentum", "beta1", "beta2", "dropout", "stochastic_depth", "label_smoothing"):
            expect(0 <= getattr(self, name) < 1, name, "in [0, 1)", getattr(self, name))
        expect(0 <= self.ema_fraction <= 1, "ema_fraction", "in [0, 1]", self.ema_fraction)
        expect(0 <= self.weight_decay <= MOST, "weight_decay", f"from 0 to {MOST:g}", self.weight_decay)
        for name in ("agc_lambda", "global_clip_norm", "sam_rho"):
            value = getattr(self, name)
            held = value is None or LEAST <= value <= MOST
            expect(held, name, f"positive, {_WITHIN}, or absent for none", value)
        for name in ("sam_fraction", "layer_decay"):
            expect(0 < getattr(self, name) <= 1, name, "in (0, 1]", getattr(self, name))
        views = self.multiplicity
        expect(1 <= views <= MOST_VIEWS, "multiplicity", f"from 1 to {MOST_VIEWS} views of an example", views)
        ghost = self.ghost_batch_size
        held = ghost is None or LEAST_GHOST_BATCH <= ghost <= LARGEST_BATCH
        expect(
            held, "ghost_batch_size", f"from {LEAST_GHOST_BATCH} to {LARGEST_BATCH}, or absent for whole batches", ghost
        )

        for name in ("mixup_alpha", "cutmix_alpha"):
            value = getattr(self, name)
            expect(value == 0 or 0.01 <= value <= 100, name, "from 0.01 to 100, or 0 for none", value)
        block, sizes = self.mix_block, [1 << power for power in range(1, LARGEST_MIX_BLOCK.bit_length())]
        held = block in sizes and (not self.mixes or block >= 2 * views)
        expect(held, "mix_block", f"a power of two to {LARGEST_MIX_BLOCK}, at least twice the multiplicity", block)

    @property
    def draws_noise(self) -> bool:
        """Whether units or branches are dropped while training."""
        return self.dropout > 0 or self.stochastic_depth > 0

    @property
    def mixes(self) -> bool:
        """Whether examples are mixed with one another."""
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    @classmethod
    def searchable(cls) -> frozenset[str]:
        """The fields that a study may override or search along; the rest is decided elsewhere."""
        return frozenset(field.name for field in dataclasses.fields(cls)) - {"preset", "peak_lr"}

    def without_effect(self, field: str) -> str:
        """Why ``field`` changes nothing here; empty where it does."""
        if field in ("momentum", "nesterov") and self.optimizer != "sgd":
            return "the optimizer is adamw"
        if field in ("beta1", "beta2") and self.optimizer != "adamw":
            return "the optimizer is sgd"
        if field in ("agc_eps", "clip_skip_gain") and self.agc_lambda is None:
            return "nothing is clipped adaptively without agc_lambda"
        if field in ("stochastic_depth", "layer_decay") and self.frozen:
            return "the backbone is frozen"
        if field == "mix_block" and not self.mixes:
            return "nothing is mixed without mixup_alpha or cutmix_alpha"
        if field == "sam_fraction" and self.sam_rho is None:
            return "nothing climbs without sam_rho"
        return ""

    @classmethod
    def of(
        cls,
        preset: str,
        fields: Mapping[str, Any],
        *,
        peak_lr: float,
        override: Mapping[str, RecipeValue] | None = None,
    ) -> RecipeSpec:
        """The recipe called ``preset``, made of ``fields``, with single ones replaced by ``override``.

        Raises:
            SpecError: a recipe has no field that ``override`` names, cannot take its value, or ignores it.
        """
        override = override or {}
        for field in override.keys() - cls.searchable():
            raise SpecError(
                f"recipe {preset!r} has no field {field!r} to override{did_you_mean(field, cls.searchable())}"
            )
        made: dict[str, Any] = {**fields, **override}
        recipe = cls(preset=preset, peak_lr=peak_lr, **made)
        for field, value in override.items():
            if why := recipe.without_effect(field):
                raise SpecError(f"recipe {preset!r}: {field} = {shown(value)} would change nothing: {why}")
        return recipe

    @property
    def ascent_share(self) -> float:
        """The share of a batch on which sharpness-aware steps climb first; 0 without them."""
        return 0.0 if self.sam_rho is None else self.sam_fraction

    def ascent_examples(self, global_batch_size: int) -> int:
        """The same in whole examples, one at least."""
        return max(1, round(self.ascent_share * global_batch_size)) if self.ascent_share else 0

    def expect_whole_ghost_batches(self, global_batch_size: int) -> None:
        """Refuse to cut a ghost batch.

        Raises:
            SpecError: the batch, or the ascent of a sharpness-aware step on it, holds no whole number of them.
        """
        size, ascent = self.ghost_batch_size, self.ascent_examples(global_batch_size)
        if size is not None:
            whole = global_batch_size % size == 0
            expect(whole, "ghost_batch_size", f"a divisor of the global batch ({global_batch_size})", size)
            expect(ascent % size == 0, "ghost_batch_size", f"a divisor of the {ascent} examples of a SAM ascent", size)

    def expect_whole_mix_blocks(self, global_batch_size: int) -> None:
        """Refuse to cut a block of examples that are mixed with one another.

        Raises:
            SpecError: the batch holds no whole number of them.
        """
        held = not self.mixes or global_batch_size % self.mix_block == 0
        expect(held, "mix_block", f"a divisor of the global batch ({global_batch_size})", self.mix_block)


@stated
class TrialSpec:
    """One training run, complete: two equal specs are the same trial and it is never trained twice.

    ``architecture`` is the canonical text of a family's spec ("nfnet:w16-d1x2x2"). ``budget_flops`` is the rung that
    the run belongs to; ``steps`` is the largest whole number of global batches it buys. ``held_out`` is the split it is
    judged on: ``select`` while searching, ``report`` for the fresh seeds of a winner, and never both.

    ``task`` is the name of one of ours, or where somebody's is imported from ("package.module:Name"); ``head`` is what
    it puts on the backbone. A fine-tuning trial has a ``start``: the weights that it begins with, named by what made
    them ("trial:" and that trial's fingerprint, or "weights:" and a digest of theirs), with a new classifier.
    ``test_resolution`` is the side of the images that it is judged on, where that is another.
    """

    architecture: str
    data: DataSpec
    recipe: RecipeSpec
    head: Head
    budget_flops: float
    global_batch_size: int
    steps: int
    seed: int = 0
    task: str = CLASSIFICATION
    held_out: Literal["select", "report"] = "select"
    weights: Weights = "ema"
    dtype: Dtype = "float32"
    start: str | None = later(default=None)
    test_resolution: int | None = later(default=None)
    data_content: str | None = later(default=None)

    def __post_init__(self) -> None:
        for name, most in _LIMITS.items():
            expect(1 <= getattr(self, name) <= most, name, f"from 1 to {most:g}", getattr(self, name))
        expect(self.examples <= LARGEST_WHOLE_NUMBER, "steps", "fewer: no whole number counts the examples", self.steps)
        expect(0 <= self.seed <= LARGEST_WHOLE_NUMBER, "seed", f"from 0 to {LARGEST_WHOLE_NUMBER}", self.seed)
        expect_task(self.task)
        self.recipe.expect_whole_ghost_batches(self.global_batch_size)
        self.recipe.expect_whole_mix_blocks(self.global_batch_size)
        if self.weights == "ema" and self.recipe.ema_fraction == 0:
            raise SpecError("weights = 'ema' asks for averaged weights, but ema_fraction is 0: set it, or use 'raw'")
        if self.start is not None and self.start.partition(":")[0] not in ("trial", "weights"):
            raise SpecError(f"start must be 'trial:<fingerprint>' or 'weights:<digest>', saw {self.start!r}")
        if self.recipe.frozen and self.start is None:
            raise SpecError("frozen keeps a backbone as it was started from, but the trial starts from random weights")
        if self.recipe.head_fit and (self.start is None or self.task != CLASSIFICATION):
            what = "this one starts from random weights" if self.start is None else f"the task is {self.task!r}"
            raise SpecError(f"head_fit fits a classifier to the features of a trained backbone, but {what}")
        check_content(self.data, self.data_content)
        side = self.test_resolution
        expect(side is None or 1 <= side <= LARGEST_SIDE, "test_resolution", f"from 1 to {LARGEST_SIDE} pixels", side)

    @property
    def examples(self) -> int:
        """Training examples seen, each view of one counted."""
        return self.steps * self.global_batch_size

    @property
    def gradient_examples_per_step(self) -> int:
        """Examples that a step runs forward and backward: those of the batch, and those of the ascent again."""
        return self.global_batch_size + self.recipe.ascent_examples(self.global_batch_size)

    @property
    def held_out_data(self) -> DataSpec:
        """The data as it is judged: at the test resolution."""
        if self.test_resolution is None:
            return self.data
        return at_resolution(self.data, self.test_resolution)

    @property
    def family(self) -> str:
        return self.architecture.partition(":")[0]

    @functools.cached_property  # a plan asks for the same ones again after every finished trial
    def fingerprint(self) -> str:
        """The trial's identity: everything but where its data lies. How it is executed is no part of its spec."""
        return _fingerprint_of(self)

    @functools.cached_property
    def name(self) -> str:
        """A readable directory name, made unique by the head of the fingerprint."""
        model = in_file_names(self.architecture)
        batch, seed = self.global_batch_size, self.seed
        if self.start is not None:
            model += f"_from-{self.start.partition(':')[2][:8]}"
        return f"{model}_n{self.examples}_b{batch}_lr{self.recipe.peak_lr:.3g}_s{seed}_{self.fingerprint[:8]}"


@functools.lru_cache(maxsize=1 << 16)
def _fingerprint_of(spec: TrialSpec) -> str:
    """The fingerprint of ``spec``: equal specs, as one that was read and one that was planned, are the same trial."""
    plain = {**to_plain(spec), "data": data_identity(spec.data)}
    if spec.recipe.draws_noise:
        plain["noise"] = NOISE_VERSION
    return fingerprint("trial", plain)


def expect_task(name: str) -> None:
    """Refuse what names no task, ours or anybody's; whether there is one is known where it is needed.

    Raises:
        SpecError: it has neither form.
    """
    expect(bool(re.fullmatch(_TASK, name)), "task", "a name, or 'package.module:Name'", name)


def in_file_names(architecture: str) -> str:
    """``architecture`` with the signs of its grammar that file systems take amiss replaced."""
    return architecture.replace(":", "-").replace("/", "_").replace(",", "_").replace("=", "")


_LIMITS = {
    "budget_flops": MOST_FLOPS,
    "global_batch_size": LARGEST_BATCH,
    "steps": MOST_STEPS,
}


@record
class HeldOutMeans:
    """The mean of every measure over ``num_examples`` held-out examples, by the measure's name.

    ``whole`` are numbers that are no means over examples, since they are made of counts added up over all of them.
    """

    values: dict[str, float]
    num_examples: int
    whole: dict[str, float] | None = later(default=None)


@record
class TrialResult:
    """What came of a trial; equal on every rerun under one execution, bit for bit, so timings live in
    :class:`TrialTiming`.

    A diverged trial carries its ``reason`` and no losses: a missing number is absent. ``held_out`` is keyed by split,
    and ``measures`` say what is in it: the first selects. ``evaluate_flops`` is charged apart from ``train_flops``.
    ``seen_digest`` proves which examples were seen, each how often and how augmented. ``start_flops`` is what training
    the weights that it started from had cost, where that is known; ``train_flops`` does not hold it. ``executions`` are
    those that trained it, in order: one, unless it was resumed elsewhere. ``weights_digest`` names the weights that
    were judged, ``start_weights`` those that it started from, ``kept`` the content of the files beside the record, by
    name.
    """

    fingerprint: str
    status: TrialStatus
    reason: str = ""
    params: int
    steps: int
    examples_seen: int
    epochs: float
    train_flops: float
    evaluate_flops: float
    train_loss: float | None = None
    held_out: dict[Split, HeldOutMeans]
    measures: tuple[Measure, ...]
    masked_examples: int = 0
    seen_digest: str
    data_fingerprint: str
    executions: tuple[Execution, ...]
    levelfield_version: str
    start_flops: float | None = later(default=None)
    weights_digest: str | None = later(default=None)
    start_weights: str | None = later(default=None)
    kept: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        expect(len(self.executions) > 0, "executions", "at least one", self.executions)

    @property
    def execution(self) -> Execution:
        """The one that ended it."""
        return self.executions[-1]

    def measure(self, name: str | None = None) -> Measure:
        """The measure called ``name``, else the one that selects.

        Raises:
            InputError: the trial's task has none of that name.
        """
        return measure_named(self.measures, name)

    def loss(self, split: Split, measure: str | None = None) -> float:
        """What was measured on ``split`` under that name, else of the first, as statistics take it: better lower.

        Raises:
            InputError: the trial's task has no such measure.
        """
        asked = self.measure(measure)
        return asked.shortfall(self.held_out[split].values[asked.name])


@record
class TrialTiming:
    """What the trial of that fingerprint cost here, on the named device.

    ``device_seconds`` is the time of the training steps alone: on a CPU, process CPU seconds over all its threads
    (robust on a shared machine); on a GPU, synchronised wall seconds. Data rendering, evaluation and the whole attempt
    are kept apart. ``attempts`` counts starts; ``lost_steps`` were trained again after crashes and are charged apart.
    ``code_version`` is the code that trained it, with the commit where there is one: "A then B" where it changed.
    ``waited`` is the share of the time from the first step to the last that passed waiting for data, on the wall;
    ``readers`` threads rendered it ahead. ``memory_bytes`` is the most that the process held meanwhile, on a GPU its
    tensors; None where it had held more before. ``clipped`` is, by stage of the network, the share of its units that
    adaptive clipping scaled down, the mean over the logged steps; None where the recipe has none.
    """

    fingerprint: str
    device: str
    device_seconds: float
    data_seconds: float
    evaluate_seconds: float
    wall_seconds: float
    attempts: int = 1
    lost_steps: int = 0
    code_version: str = ""
    waited: float | None = later(default=None)
    readers: int | None = later(default=None)
    memory_bytes: int | None = later(default=None)
    clipped: dict[str, float] | None = later(default=None)
