"""Recipe presets: what a source prescribes, as a record; every study names the one it used."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from levelfield.records.errors import SpecError, did_you_mean
from levelfield.records.trial import RecipeSpec, RecipeValue
from levelfield.transfer.recipes import RECIPES, transfer_preset

# Averaging horizon of every preset, as a fraction of the run; the average changes nothing about the raw weights.
_EMA_FRACTION = 0.05

_PRESETS: dict[str, dict[str, Any]] = {
    # 2102.06171 section 6.2 and App. A.5: SGD, AGC 0.01 with eps 1e-3 on all but the classifier's kernel, decay 1e-6
    # at JFT scale, a short warm-up. The clipped zero-initialised skip gain keeps residual branches shut for thousands
    # of steps, so this preset wants runs of 1e5 steps.
    "nfnet-faithful": {
        "optimizer": "sgd",
        "agc_lambda": 0.01,
        "weight_decay": 1e-6,
        "warmup_fraction": 0.0139,
    },
    # For runs of 500 to 1e5 steps: the skip gain is left unclipped and lambda follows 2102.06171's ablation for small
    # batches (section 4.1, grid to 0.16).
    "nfnet-short": {
        "optimizer": "sgd",
        "agc_lambda": 0.16,
        "clip_skip_gain": False,
        "weight_decay": 1e-6,
    },
    # big_vision vit_i21k: Adam, global clip 1.0, decay 1e-4 on kernels whatever the learning rate, no drop-path.
    "vit-big-vision": {
        "optimizer": "adamw",
        "beta2": 0.999,
        "global_clip_norm": 1.0,
        "weight_decay": 1e-4,
    },
    # The same with a second moment that forgets within a short run.
    "vit-short": {
        "optimizer": "adamw",
        "beta2": 0.95,
        "global_clip_norm": 1.0,
        "weight_decay": 1e-4,
    },
    # The optimiser swap (protocol 8): what is architecture, what is optimiser.
    "nfnet-adamw": {"optimizer": "adamw", "beta2": 0.95, "global_clip_norm": 1.0, "weight_decay": 1e-4},
    "vit-sgd-agc": {"optimizer": "sgd", "agc_lambda": 0.16, "weight_decay": 1e-6},
}


_FINE_TUNING = frozenset(recipe.name for recipe in RECIPES)


def preset_names() -> tuple[str, ...]:
    """The presets, by name."""
    return tuple(_PRESETS)


def preset(name: str, *, peak_lr: float, override: Mapping[str, RecipeValue] | None = None) -> RecipeSpec:
    """The recipe ``name`` at ``peak_lr``, with single fields replaced by ``override``.

    Raises:
        SpecError: no such preset or field.
    """
    if name in _FINE_TUNING:
        return transfer_preset(name, peak_lr=peak_lr, override=override)
    if name not in _PRESETS:
        raise SpecError(f"unknown recipe {name!r}{did_you_mean(name, {*_PRESETS, *_FINE_TUNING})}")
    return _made(name, peak_lr, tuple((field, type(value), value) for field, value in (override or {}).items()))


# A plan asks for the same recipes again after every finished trial. True and 1 are one key of a table: hence the types.
@functools.lru_cache(maxsize=4096)
def _made(name: str, peak_lr: float, override: tuple[tuple[str, type, RecipeValue], ...]) -> RecipeSpec:
    fields = {"ema_fraction": _EMA_FRACTION, **_PRESETS[name]}
    return RecipeSpec.of(name, fields, peak_lr=peak_lr, override={field: value for field, _, value in override})
