"""A training step on a CPU: ours, plain and lean, against timm's in float32 and in bfloat16, eager and compiled.

    python -m benchmarks.training_step            # small and middle NFNet, F0 at 64 px, two ViTs
    python -m benchmarks.training_step --compiled # timm by Inductor, too: minutes of compiling for each
    python -m benchmarks.training_step --only ViT # networks with that in their title

CPU seconds of one thread, in turn, in one process and so with one allocator; round by round the ratio to timm's eager
step in float32, median and quartiles. "shipped" is our own form of gelu, by its tanh; "like" is timm's, by erf.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.gpu.clock import quotient
from benchmarks.gpu.nets import F0, TINY, Net, OurStep, TimmStep, of_timm, plain_nfnet
from levelfield.native.library import kernels
from levelfield.records.trial import Dtype
from levelfield.train.device import compute_as_recorded
from levelfield.train.engine.lean import LeanForward, LeanSide, can_update
from levelfield.train.step import TrainingStep

CPU = torch.device("cpu")
ROUNDS = 7

MIDDLE = dataclasses.replace(
    TINY,
    title="NFNet of 4 M, 32 px, batch 64",
    architecture="nfnet:w96-d1x2x6x3-g32-s1",
    theirs=functools.partial(plain_nfnet, (1, 2, 6, 3), (96, 192, 384, 384), group_size=32, num_classes=100),
    batch=64,
)
_F0 = dataclasses.replace(F0, title="NFNet-F0, 64 px, batch 32", resolution=64, batch=32)
W192 = Net(
    title="ViT of width 192, 12 blocks, patches of 4, 32 px, batch 64",
    architecture="vit:w192-d12-p4",
    theirs=functools.partial(of_timm, "vit_tiny_patch16_224", 100, img_size=32, patch_size=4),
    recipe="vit-short",
    resolution=32,
    batch=64,
    num_outputs=100,
)
S16 = Net(
    title="ViT-S/16, 224 px, batch 8",
    architecture="vit:S/16",
    theirs=functools.partial(of_timm, "vit_small_patch16_224", 1000),
    recipe="vit-big-vision",
    resolution=224,
    batch=8,
)


class LeanOrPlain(OurStep):
    """Our step as a trial takes it on this CPU: images lie in memory, uint8."""

    def __init__(self, net: Net, *, dtype: Dtype, lean: bool, erf: bool = False) -> None:
        like = dataclasses.replace(net, architecture=f"{net.architecture},gelu=erf") if erf else net
        super().__init__(like, CPU, dtype=dtype)
        if lean:
            found = kernels()
            assert found is not None, "the lean engine needs a C compiler"
            assert isinstance(self.step, TrainingStep)
            spec = self.step.spec
            self.step.side = LeanSide(spec, found) if can_update(spec) else LeanForward(spec, found)


class Timms(TimmStep):
    """timm's step, in float32 where ``half`` is not said; ``fused`` attention as timm begins, or its products."""

    def __init__(self, net: Net, *, half: bool, fused: bool = True, compiled: str | None = None) -> None:
        super().__init__(net, CPU, compiled=compiled, half=half)
        for module in self.model.modules():
            if hasattr(module, "fused_attn"):
                setattr(module, "fused_attn", fused)  # noqa: B010 - no field that torch declares


def _variants(net: Net, *, compiled: bool) -> Iterator[tuple[str, Callable[[], Callable[[], None]]]]:
    transformer = net.architecture.startswith("vit")
    yield "timm fp32", lambda: Timms(net, half=False)
    yield "timm bf16", lambda: Timms(net, half=True)
    if transformer:
        yield "timm bf16, products", lambda: Timms(net, half=True, fused=False)
    if compiled:
        yield "timm bf16 + Inductor", lambda: Timms(net, half=True, fused=not transformer, compiled="inductor")
    for dtype in ("float32", "bfloat16"):
        for lean in (False, True):
            name = f"ours {'lean' if lean else 'plain'} {dtype.replace('float', 'fp').replace('bfp', 'bf')}"
            yield f"{name}, shipped", lambda dtype=dtype, lean=lean: LeanOrPlain(net, dtype=dtype, lean=lean)
            if lean:
                yield f"{name}, like", lambda dtype=dtype, lean=lean: LeanOrPlain(net, dtype=dtype, lean=lean, erf=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--compiled", action="store_true")
    asked.add_argument("--only", default="")
    asked.add_argument("--rounds", type=int, default=ROUNDS)
    said = asked.parse_args()
    torch.set_num_threads(1)
    compute_as_recorded()
    for net in (net for net in (TINY, MIDDLE, _F0, W192, S16) if said.only in net.title):
        print(f"\n### {net.title}\n\n| step | timm fp32 over it | timm bf16 over it |\n|---|---|---|", flush=True)
        steps = {name: build() for name, build in _variants(net, compiled=said.compiled)}
        seconds = _interleaved(steps, rounds=said.rounds)
        for name, spent in seconds.items():
            ratios = (quotient(seconds[base], spent) for base in ("timm fp32", "timm bf16"))
            print(f"| {name} | {' | '.join(ratios)} |", flush=True)


def _interleaved(steps: dict[str, Callable[[], None]], *, rounds: int) -> dict[str, list[float]]:
    for step in steps.values():
        step()
        step()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name in list(steps) if number % 2 else reversed(list(steps)):
            begun = time.process_time()
            steps[name]()
            found[name].append(time.process_time() - begun)
    return found


if __name__ == "__main__":
    main()
