"""Ways to fine-tune: published ones, each with its source and what that leaves unsaid, and two of our own.

The horizon of an average is a share of the run here: 0.9999, that is 10,000 steps, of 15,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelfield.records.codec import record
from levelfield.records.errors import SpecError, did_you_mean
from levelfield.records.trial import CLASSIFICATION, RecipeSpec, RecipeValue
from levelfield.units import TrainingLength


@record
class TransferRecipe:
    """How a source fine-tunes. ``fields`` are those of :class:`RecipeSpec`; ``unsaid`` names what we had to fill in.

    ``length``, ``global_batch_size`` and the two resolutions belong to the source's own runs: take them over, or say
    others. Epochs are passes over the data: each costs ``multiplicity`` views of every example.
    """

    name: str
    source: str
    fields: dict[str, Any]
    peak_lr: float
    length: str
    global_batch_size: int
    resolution: int
    test_resolution: int
    unsaid: tuple[str, ...] = ()


_NFNET_JFT: dict[str, Any] = {
    "optimizer": "sgd",
    "agc_lambda": 0.01,
    "weight_decay": 1e-5,
    "dropout": 0.25,
    "stochastic_depth": 0.1,
    "sam_rho": 0.05,
    "warmup_fraction": 5_000 / 15_000,
    "ema_fraction": 10_000 / 15_000,
}
_PAPER_UNSAID = (
    "rho of the ascent, and the share of the batch that climbs",
    "learning rate and its warm-up",
    "batch",
    "rates of dropout and stochastic depth",
    "weight decay",
    "clipping",
    "whether weights are averaged",
    "label smoothing",
)

RECIPES = (
    TransferRecipe(
        name="nfnet-jft",
        source="arXiv 2102.06171, appendix A.5: NFNets pre-trained on JFT-300M, fine-tuned on ImageNet",
        fields=_NFNET_JFT,
        peak_lr=0.1,
        length="15000 steps",
        global_batch_size=2048,
        resolution=384,
        test_resolution=512,
        unsaid=("clipping while fine-tuning: that of pre-training is kept", "label smoothing: none"),
    ),
    TransferRecipe(
        name="big-vision",
        source="big_vision configs/transfer.py at 2f3f493: ImageNet; 10,000 steps for CIFAR, 500 for small data sets",
        fields={
            "optimizer": "sgd",
            "nesterov": False,
            "global_clip_norm": 1.0,
            "warmup_fraction": 500 / 20_000,
        },
        peak_lr=0.03,
        length="20000 steps",
        global_batch_size=512,
        resolution=384,
        test_resolution=384,
        unsaid=("its momentum is kept in bfloat16, ours in float32",),
    ),
    TransferRecipe(
        name="paper-50-epochs",
        source="arXiv 2310.16764, section 2: 50 epochs, SAM, stochastic depth and dropout, 384 px, tested at 480 px; "
        "all else from arXiv 2102.06171, appendix A.5",
        fields=_NFNET_JFT,
        peak_lr=0.1,
        length="50 epochs",
        global_batch_size=2048,
        resolution=384,
        test_resolution=480,
        unsaid=_PAPER_UNSAID,
    ),
    TransferRecipe(
        name="paper-50-epochs-repeated",
        source="the same with repeated augmentation of multiplicity 4, as many fewer passes and equal cost",
        fields=_NFNET_JFT | {"multiplicity": 4},
        peak_lr=0.1,
        length="12.5 epochs",
        global_batch_size=2048,
        resolution=384,
        test_resolution=480,
        unsaid=_PAPER_UNSAID,
    ),
    TransferRecipe(
        name="short-sgd",
        source="our own, for some hundred steps on small images: big_vision's with an average and some smoothing",
        fields={
            "optimizer": "sgd",
            "global_clip_norm": 1.0,
            "warmup_fraction": 0.1,
            "ema_fraction": 0.1,
            "label_smoothing": 0.1,
        },
        peak_lr=0.03,
        length="500 steps",
        global_batch_size=64,
        resolution=32,
        test_resolution=32,
    ),
    TransferRecipe(
        name="short-probed",
        source="our own: short-sgd from a head that was fitted first (arXiv 2202.10054), at a rate for small networks",
        fields={
            "optimizer": "sgd",
            "global_clip_norm": 1.0,
            "warmup_fraction": 0.1,
            "ema_fraction": 0.1,
            "label_smoothing": 0.1,
            "head_fit": True,
        },
        peak_lr=0.1,
        length="500 steps",
        global_batch_size=64,
        resolution=32,
        test_resolution=32,
    ),
    TransferRecipe(
        name="short-sam",
        source="our own: short-sgd with adaptive clipping, and an ascent on a fifth of the batch",
        fields={
            "optimizer": "sgd",
            "agc_lambda": 0.16,
            "sam_rho": 0.05,
            "sam_fraction": 0.2,
            "warmup_fraction": 0.1,
            "ema_fraction": 0.1,
            "label_smoothing": 0.1,
        },
        peak_lr=0.03,
        length="500 steps",
        global_batch_size=64,
        resolution=32,
        test_resolution=32,
    ),
)


def default_recipe(task: str) -> str:
    """What a backbone is fine-tuned by where nothing is said: from a fitted head, where the task has one to fit."""
    return "short-probed" if task == CLASSIFICATION else "short-sgd"


def transfer_recipe(name: str) -> TransferRecipe:
    """The published recipe ``name``.

    Raises:
        SpecError: there is none; the message names the nearest.
    """
    known = {recipe.name: recipe for recipe in RECIPES}
    if name not in known:
        raise SpecError(f"unknown fine-tuning recipe {name!r}{did_you_mean(name, known)}")
    return known[name]


def transfer_preset(name: str, *, peak_lr: float, override: Mapping[str, RecipeValue] | None = None) -> RecipeSpec:
    """The optimiser's part of recipe ``name`` at ``peak_lr``, with single fields replaced by ``override``.

    Raises:
        SpecError: no such recipe or field.
    """
    return RecipeSpec.of(name, transfer_recipe(name).fields, peak_lr=peak_lr, override=override)


def steps_of(length: str, recipe: RecipeSpec, *, num_train: int, global_batch_size: int) -> int:
    """The whole updates in ``length`` ("50 epochs", "20000 examples", "500 steps") over ``num_train`` examples.

    Raises:
        SpecError: the text is no length, or less than one update.
    """
    try:
        parsed = TrainingLength.parse(length)
        examples = parsed.examples(num_train=num_train, global_batch_size=global_batch_size)
    except ValueError as error:
        raise SpecError(f"length: {error}") from None
    views = recipe.multiplicity if parsed.unit == "epochs" else 1
    steps = examples * views // global_batch_size
    if steps < 1:
        raise SpecError(f"{length} of {num_train} examples is less than one step of {global_batch_size}")
    return steps
