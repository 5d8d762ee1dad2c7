"""The parameter side of an NFNet's step on a CPU: standardised weights and their gradients, clipping, SGD, the average.

    python -m benchmarks.parameter_side

CPU seconds of one thread, in turn, in one process: timm's (standardisation forward and backward, adaptive clipping,
torch's SGD with Nesterov momentum, ModelEmaV3) over ours, plain and lean, each on gradients of a real step. Those of
standardised weights come in bfloat16 where ours computes in it, as they do in a step.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.clock import quotient
from benchmarks.gpu.nets import F0, TINY, Net
from benchmarks.training_step import LeanOrPlain, Timms
from levelfield.families.nfnet.model import NFNet
from levelfield.records.trial import Dtype
from levelfield.train.device import compute_as_recorded

ROUNDS = 9
NETS = (TINY, dataclasses.replace(F0, title="NFNet-F0 (71 M), 64 px, batch 8", resolution=64, batch=8))


class _Theirs(Timms):
    """timm's, with the gradients that a step left at its standardised weights."""

    def __init__(self, net: Net) -> None:
        super().__init__(net, half=False)
        self()
        convolutions: list[Any] = [
            each for each in self.model.modules() if hasattr(each, "gain") and hasattr(each, "scale")
        ]
        self.convolutions = convolutions
        self.met = [torch.randn_like(each.weight) * 1e-3 for each in self.convolutions]

    def parameter_side(self) -> None:
        weights = [_standardised(each) for each in self.convolutions]
        for each in self.convolutions:
            each.weight.grad = each.gain.grad = None
        torch.autograd.backward(weights, self.met)
        self.clip()
        self.optimizer.step()
        self.average.update(self.model)


class _Ours(LeanOrPlain):
    """Ours, with the gradients that a step left."""

    def __init__(self, net: Net, *, dtype: Dtype, lean: bool) -> None:
        super().__init__(net, dtype=dtype, lean=lean)
        self()
        network = self.state.model
        assert isinstance(network, NFNet)
        self.network, self.lean = network, lean
        self.met = [torch.randn_like(each.weight) * 1e-3 for each in network.standardised_parameters()]

    def parameter_side(self) -> None:
        side = self.step.side
        if not self.lean:  # the lean side does this in its update
            for each in self.network.standardised_parameters():
                each.weight.grad = each.gain.grad = None
            torch.autograd.backward(self.network.standardised_weights(), self.met)
        norm = side.gradient_norm(self.state)
        side.update(self.state, norm, 1e-6)


def _standardised(convolution: Any) -> Tensor:
    """As timm's ScaledStdConv2d has it, once a forward pass."""
    weight, gain = convolution.weight, (convolution.gain * convolution.scale).view(-1)
    rows = weight.reshape(1, convolution.out_channels, -1)
    done = F.batch_norm(rows, None, None, weight=gain, training=True, momentum=0.0, eps=convolution.eps)
    return done.reshape_as(weight)


def main() -> None:
    torch.set_num_threads(1)
    compute_as_recorded()
    print("| net | ours | timm's over ours |\n|---|---|---|")
    for net in NETS:
        theirs = _Theirs(net)
        dtypes: tuple[Dtype, ...] = ("float32", "bfloat16")
        ours = {
            f"{'lean' if lean else 'plain'} {dtype}": _Ours(net, dtype=dtype, lean=lean).parameter_side
            for dtype in dtypes
            for lean in (False, True)
        }
        spent = _in_turn({"timm": theirs.parameter_side, **ours})
        for name in ours:
            print(f"| {net.title} | {name} | {quotient(spent['timm'], spent[name])} |", flush=True)


def _in_turn(calls: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    for call in calls.values():
        call()
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS):
        for name in list(calls) if number % 2 else reversed(list(calls)):
            begun = time.process_time()
            calls[name]()
            found[name].append(time.process_time() - begun)
    return found


if __name__ == "__main__":
    main()
