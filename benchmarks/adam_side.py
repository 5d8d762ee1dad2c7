"""The parameter side of AdamW on a CPU - norm, clipping, optimiser, average -: ours lean against ours plain.

    python -m benchmarks.adam_side

CPU seconds of one thread on drawn gradients, in turn, round by round the ratio of plain to lean, median and quartiles.
"""

from __future__ import annotations

import dataclasses
import time

import torch

from benchmarks.gpu.clock import quotient
from benchmarks.gpu.nets import OurStep
from benchmarks.training_step import CPU, S16, W192
from levelfield.native.library import kernels
from levelfield.train.engine.lean import LeanSide
from levelfield.train.step import TrainingStep

ROUNDS = 25


def main() -> None:
    """Print a row a network as soon as it is known."""
    found = kernels()
    assert found is not None, "the lean engine needs a C compiler"
    torch.set_num_threads(1)
    print("| network | plain over lean | plain, ms | lean, ms |\n|---|---|---|---|", flush=True)
    for net in (W192, S16):
        sides = {name: OurStep(dataclasses.replace(net, batch=2), CPU, dtype="float32") for name in ("plain", "lean")}
        lean = sides["lean"].step
        assert isinstance(lean, TrainingStep)
        lean.side = LeanSide(lean.spec, found)
        for each in sides.values():
            each()
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(ROUNDS):
            for name in list(sides) if number % 2 else reversed(list(sides)):
                seconds[name].append(_spent(sides[name]))
        medians = (f"{1e3 * sorted(spent)[ROUNDS // 2]:.1f}" for spent in seconds.values())
        print(f"| {net.title} | {quotient(seconds['plain'], seconds['lean'])} | {' | '.join(medians)} |", flush=True)


def _spent(ours: OurStep) -> float:
    """CPU seconds from gradients to the next weights."""
    state, side = ours.state, ours.step.side
    side.clear(state)
    graded = side._graded if isinstance(side, LeanSide) else list(state.parameters.values())
    for tensor in graded:
        tensor.grad = torch.randn_like(tensor).mul_(1e-3)
    begun = time.process_time()
    norm = side.gradient_norm(state)
    assert norm.isfinite()
    side.update(state, norm, 1e-4)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
