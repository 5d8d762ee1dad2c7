"""Evaluation with folded weights against timm's unfolded networks: fp32 on the CPU, interleaved, ratios.

    python -m benchmarks.folded_evaluation [ROUNDS]

F0 against timm's own dm_nfnet_f0 at 64 px; a net of a million parameters at 32 px against timm's NormFreeNet of the
same widths, depths and groups, whose stem is timm's (3x3, stride 2) and whose parameters are printed beside ours.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import timm
import torch
from torch import nn

from levelfield.families import registry
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


def ours(text: str, resolution: int) -> nn.Module:
    return FoldedNFNet(opened(registry.build(text, num_outputs=1000, resolution=resolution)))  # pyright: ignore[reportArgumentType]


def small_pair() -> tuple[nn.Module, nn.Module]:
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
    return ours(SMALL_TEXT, 32), opened(theirs)


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


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pairs = {
        "F0, 64 px, batch 32": (
            ours("nfnet:F0,ws=timm,gelu=erf", 64),
            opened(timm.create_model("dm_nfnet_f0")),
            64,
            32,
        ),
        f"{SMALL_TEXT}, 32 px, batch 256": (*small_pair(), 32, 256),
    }
    for title, (mine, theirs, resolution, batch) in pairs.items():
        found = sorted(ratios(mine, theirs, resolution=resolution, batch=batch, rounds=rounds))
        params = sum(parameter.numel() for parameter in theirs.parameters()) / 1e6
        print(
            f"{title} (timm's: {params:.2f} M parameters): median {statistics.median(found):.2f}, "
            f"quartiles {found[len(found) // 4]:.2f} to {found[3 * len(found) // 4]:.2f}, {rounds} rounds",
            flush=True,
        )


if __name__ == "__main__":
    main()
