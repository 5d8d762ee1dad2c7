"""Would choosing by measurement beat the fixed choices on a CPU? A step as shipped, and with one choice turned round.

    python -m benchmarks.fixed_choices
    python -m benchmarks.fixed_choices --only ViT

Turned round are the form of attention (fused or products), whose gelu it is (torch's or the kernels'), and the engine
(lean or plain). CPU seconds of one thread, in turn, in one process; a ratio says how many times as long the step takes
when that is turned round, median and quartiles of the rounds: below 1 a tuner would gain. "-" does not apply.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmarks.gpu.clock import quotient
from benchmarks.gpu.nets import TINY, Net
from benchmarks.training_step import S16, W192, LeanOrPlain
from levelfield.families.gelu import gelu_by
from levelfield.families.vit import attention
from levelfield.records.trial import Dtype
from levelfield.train.device import compute_as_recorded
from levelfield.train.update import PlainSide

ROUNDS = 7
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")
NETS = (
    dataclasses.replace(TINY, title="NFNet w16-d1x2, 32 px, batch 64", architecture="nfnet:w16-d1x2-g8-s4", batch=64),
    dataclasses.replace(TINY, title="NFNet w48-d1x2x6x3, 32 px, batch 64", batch=64),
    dataclasses.replace(W192, title="ViT w64-d4-p8, 32 px, batch 128", architecture="vit:w64-d4-p8", batch=128),
    dataclasses.replace(W192, title="ViT w192-d4-p4, 32 px, batch 32", architecture="vit:w192-d4-p4", batch=32),
    dataclasses.replace(W192, title="ViT w128-d4-p2, 32 px, batch 8", architecture="vit:w128-d4-p2", batch=8),
    dataclasses.replace(S16, title="ViT-S/16, 224 px, batch 4", batch=4),
)


@contextmanager
def _attention_turned() -> Iterator[None]:
    rule = attention._in_products
    attention._in_products = lambda query: not rule(query)
    try:
        yield
    finally:
        attention._in_products = rule


class _TorchsGelu(LeanOrPlain):
    """The shipped step, but for its gelu."""

    def __call__(self) -> None:
        side = self.step.side
        meeting = side.weights_met

        @contextmanager
        def without(state: object) -> Iterator[None]:
            with meeting(self.state), gelu_by(None):
                yield

        side.weights_met = without
        super().__call__()
        side.weights_met = meeting


def turned(net: Net, dtype: Dtype) -> dict[str, Callable[[], None]]:
    """The step as shipped, and with each choice that applies turned round."""
    shipped = LeanOrPlain(net, dtype=dtype, lean=True)
    found: dict[str, Callable[[], None]] = {"shipped": shipped}
    if net.architecture.startswith("vit"):

        def other_attention() -> None:
            with _attention_turned():
                shipped()

        found["attention"] = other_attention
    found["gelu"] = _TorchsGelu(net, dtype=dtype, lean=True)
    found["engine"] = LeanOrPlain(net, dtype=dtype, lean=False)
    assert isinstance(found["engine"].step.side, PlainSide)  # pyright: ignore[reportFunctionMemberAccess]
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--only", default="")
    asked.add_argument("--rounds", type=int, default=ROUNDS)
    said = asked.parse_args()
    torch.set_num_threads(1)
    compute_as_recorded()
    print("| step | dtype | attention | gelu | engine |\n|---|---|---|---|---|", flush=True)
    for net in (net for net in NETS if said.only in net.title):
        for dtype in DTYPES:
            seconds = _in_turn(turned(net, dtype), rounds=said.rounds)
            ratios = [
                quotient(seconds[name], seconds["shipped"]) if name in seconds else "-"
                for name in ("attention", "gelu", "engine")
            ]
            print(f"| {net.title} | {dtype} | {' | '.join(ratios)} |", flush=True)


def _in_turn(steps: dict[str, Callable[[], None]], *, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(-1, rounds):
        for name in list(steps) if number % 2 else reversed(list(steps)):
            begun = time.process_time()
            steps[name]()
            if number >= 0:
                found[name].append(time.process_time() - begun)
    return found


if __name__ == "__main__":
    main()
