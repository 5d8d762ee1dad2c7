"""Evaluation with folded weights against timm's unfolded networks in fp32: on the CPU, interleaved, ratios.

    python -m benchmarks.folded_evaluation [ROUNDS]          # a folded copy, fp32
    python -m benchmarks.folded_evaluation --trial [ROUNDS]  # inside a trial: bfloat16, weights standardised anew

F0 against timm's own dm_nfnet_f0 at 64 px; a net of a million parameters at 32 px against timm's NormFreeNet of the
same widths, depths and groups, whose stem is timm's (3x3, stride 2) and whose parameters are printed beside ours.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import timm
import torch
from torch import nn

from levelfield.families import registry
from levelfield.families.judged import weights_held
from levelfield.families.nfnet.folded import FoldedNFNet

F0_TEXT = "nfnet:F0,ws=timm,gelu=erf"
SMALL_TEXT = "nfnet:w64-d1x2x3,ws=timm,gelu=erf"


def opened(model: nn.Module) -> nn.Module:
    """Residual branches with gains that are not zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("skip_gain", "skipinit_gain")):
                parameter.fill_(0.5)
    return model.eval()


class InTrial(nn.Module):
    """The forward passes of :func:`levelfield.train.evaluate.evaluate` in bfloat16, over ``batches``; as it was
    before weights were ``held``, every pass standardises its own."""

    def __init__(self, text: str, resolution: int, batches: int, *, held: bool = True) -> None:
        super().__init__()
        self.network = opened(registry.build(text, num_outputs=1000, resolution=resolution))
        self.batches, self.held = batches, held

    def forward(self, images: torch.Tensor) -> None:
        with weights_held(self.network, half=True) if self.held else nullcontext():
            for _ in range(self.batches):
                with torch.autocast("cpu", torch.bfloat16):
                    self.network(images)


class Batches(nn.Module):
    """timm's network over as many."""

    def __init__(self, network: nn.Module, batches: int, *, half: bool = False) -> None:
        super().__init__()
        self.network, self.batches, self.halved = network, batches, half

    def forward(self, images: torch.Tensor) -> None:
        for _ in range(self.batches):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.halved):
                self.network(images)


def ours(text: str, resolution: int) -> nn.Module:
    return FoldedNFNet(opened(registry.build(text, num_outputs=1000, resolution=resolution)))  # pyright: ignore[reportArgumentType]


def their_small() -> nn.Module:
    spec: Any = registry.parse(SMALL_TEXT)
    theirs = timm.create_model(
        "dm_nfnet_f0",
        depths=spec.depths,
        channels=spec.widths,
        group_size=spec.group_width,
        stem_type="3x3",
        stem_chs=spec.stem_channels[-1],
        num_features=spec.num_features,
    )
    stages: Any = theirs.stages
    first: Any = stages[0][0]  # timm halves there once more; without that the two compute the same
    first.conv2.stride, first.downsample.pool = (1, 1), nn.Identity()
    return opened(theirs)


def ratios(mine: nn.Module, theirs: nn.Module, *, resolution: int, batch: int, rounds: int) -> list[float]:
    """timm's seconds over ours, a round each, in alternating order."""
    images = torch.randn(batch, 3, resolution, resolution)
    seconds: dict[str, list[float]] = {"mine": [], "theirs": []}
    pairs = [("mine", mine), ("theirs", theirs)]
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, model in pairs if number % 2 else reversed(pairs):
                begun = time.process_time()
                model(images)
                seconds[name].append(time.process_time() - begun)
    return [their / my for my, their in zip(seconds["mine"][1:], seconds["theirs"][1:], strict=True)]


def folded_copies() -> Iterator[tuple[str, nn.Module, nn.Module, int, int]]:
    """Titles, both networks, resolution and batch."""
    yield "F0, 64 px, batch 32", ours(F0_TEXT, 64), opened(timm.create_model("dm_nfnet_f0")), 64, 32
    yield f"{SMALL_TEXT}, 32 px, batch 256", ours(SMALL_TEXT, 32), their_small(), 32, 256


def in_trials() -> Iterator[tuple[str, nn.Module, nn.Module, int, int]]:
    """The same inside a trial: as it is, as it was, and timm's own in bfloat16."""
    nets = (
        ("small", SMALL_TEXT, their_small(), 32, 256, 4),
        ("F0", F0_TEXT, opened(timm.create_model("dm_nfnet_f0")), 64, 32, 16),
    )
    for name, text, network, *shape in nets:
        resolution, batch, batches = shape
        theirs = Batches(network, batches)
        for title, mine in (
            ("weights held", InTrial(text, resolution, batches)),
            ("standardised in every pass, as before", InTrial(text, resolution, batches, held=False)),
            ("timm in bfloat16", Batches(network, batches, half=True)),
        ):
            yield f"{name}, {resolution} px, batch {batch}: {title}", mine, theirs, resolution, batch


def main() -> None:
    """Print a row a pair as soon as it is known."""
    arguments = [each for each in sys.argv[1:] if each != "--trial"]
    rounds = int(arguments[0]) if arguments else 20
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for title, mine, theirs, resolution, batch in in_trials() if "--trial" in sys.argv else folded_copies():
        found = sorted(ratios(mine, theirs, resolution=resolution, batch=batch, rounds=rounds))
        print(
            f"{title}: median {statistics.median(found):.2f}, "
            f"quartiles {found[len(found) // 4]:.2f} to {found[3 * len(found) // 4]:.2f}, {rounds} rounds",
            flush=True,
        )


if __name__ == "__main__":
    main()
