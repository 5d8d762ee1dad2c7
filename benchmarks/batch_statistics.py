"""Which statistics of BatchNorm judge a network best: kept while training, averaged, or estimated at its end.

    python -m benchmarks.batch_statistics [STEPS] [SEEDS]

A narrow ResNet-10 of timm's on pairs of digits at 32 px, float32 on the CPU. One run a seed; at its end the raw and the
averaged weights are judged on the select split under every rule. Those that keep something are torch's (momentum 0.1)
and, for averaged weights, timm's ModelEmaV2 (buffers averaged like weights) and ModelEmaV3's copy of the raw ones.
"""

from __future__ import annotations

import copy
import sys
from collections import defaultdict

import numpy as np
import torch
from torch import nn

from levelfield.data.arranged import training_order
from levelfield.data.loader import Loader
from levelfield.data.sources import open_source
from levelfield.data.transforms import to_float
from levelfield.families.tensors import batch_norms, statistics_of
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.study.plan.recipes import preset
from levelfield.tasks.classification import Classification
from levelfield.train.averaging import ema_decay
from levelfield.train.evaluate import EVALUATION_BATCH, evaluate
from levelfield.train.statistics import estimate_statistics
from levelfield.train.step import TrainingStep

CPU = torch.device("cpu")
DATA = DigitPairsSpec(resolution=32, select_examples=2048, report_examples=64)
ESTIMATED_ON = (512, 1024, 2048, 8192)


def trained(seed: int, steps: int, source):
    """The state at the end, and torch's statistics averaged like the weights."""
    spec = TrialSpec(
        architecture="timm:resnet10t,channels=16x16x32x32,stem_width=8",
        data=DATA,
        recipe=preset("vit-sgd-agc", peak_lr=0.2, override={"agc_lambda": None, "weight_decay": 1e-4}),
        head=LinearHead(num_outputs=100),
        budget_flops=1e12,
        global_batch_size=32,
        steps=steps,
        seed=seed,
    )
    state, step = build_state(spec, source, device=CPU), TrainingStep(spec, Classification(), device=CPU)
    for layer in batch_norms(state.model).values():
        layer.track_running_stats = True
    averaged = {name: tensor.clone() for name, tensor in statistics_of(state.model).items()}
    batches = iter(training_loader(spec, source, start_step=0))
    while state.step < steps:
        step(state, next(batches))
        decay = ema_decay(state.step, num_steps=steps, fraction=spec.recipe.ema_fraction)
        for name, tensor in statistics_of(state.model).items():
            averaged[name].lerp_(tensor, 1 - decay)
    return spec, state, averaged


def loss_of(model: nn.Module, source) -> float:
    scores = evaluate(model, Classification(), source, "select", device=CPU, dtype="float32")
    return scores.mean.values["loss"]


def estimated(model: nn.Module, spec: TrialSpec, source, number: int) -> nn.Module:
    loader = Loader(source, order=training_order(source, spec.seed), global_batch_size=EVALUATION_BATCH)
    copied = copy.deepcopy(model).train()
    batches = (to_float(next(iterator).fields["image"]) for iterator in [iter(loader)] * (number // EVALUATION_BATCH))
    estimate_statistics(copied, batches)
    return copied


def main(steps: int = 600, seeds: int = 3) -> None:
    torch.set_num_threads(1)
    source = open_source(DATA)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in range(seeds):
        spec, state, averaged = trained(seed, steps, source)
        assert state.average is not None
        raw, smooth = copy.deepcopy(state.model), copy.deepcopy(state.model)
        with torch.no_grad():
            state.average.load_into(list(smooth.parameters()))
        found["raw", "torch's own, momentum 0.1"].append(loss_of(raw, source))
        found["averaged", "a copy of the raw weights' own"].append(loss_of(smooth, source))
        for name, tensor in statistics_of(smooth).items():
            tensor.copy_(averaged[name])
        found["averaged", "averaged like the weights"].append(loss_of(smooth, source))
        for weights, model in (("raw", raw), ("averaged", smooth)):
            for number in ESTIMATED_ON:
                loss = loss_of(estimated(model, spec, source, number), source)
                found[weights, f"estimated on {number:,} examples"].append(loss)
    print(f"{steps} steps of 32, {seeds} seeds: held-out loss, and its ratio to that on {ESTIMATED_ON[-1]:,} examples")
    for (weights, rule), losses in found.items():
        best = found[weights, f"estimated on {ESTIMATED_ON[-1]:,} examples"]
        ratios = ", ".join(f"{loss / least:.4f}" for loss, least in zip(losses, best, strict=True))
        print(f"{weights:9} {rule:32} {np.mean(losses):.4f}  {ratios}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
