"""``levelfield convert``: weights in, weights out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from levelfield.cli.data import Arch, Key, Start

EXAMPLES = "Example:  levelfield convert dm_nfnet_f0.pth f0.safetensors --arch dm_nfnet_f0"


def convert(
    start: Start,
    out: Annotated[Path, typer.Argument(help="The file to write; for hub, a folder.")],
    to: Annotated[
        Literal["safetensors", "timm", "hub", "onnx", "torch-export"], typer.Option(help="For whom.")
    ] = "safetensors",
    arch: Arch = None,
    key: Key = None,
    resolution: Annotated[int | None, typer.Option(help="Image side, where the weights do not tell.", min=1)] = None,
) -> None:
    """Read a trial's or another's weights, running nothing in them, and write them for Levelfield or another."""
    from levelfield.cli.console import say
    from levelfield.study.execute.backbones import model_at
    from levelfield.train.device import resolve_device
    from levelfield.weights import export, write

    loaded = model_at(start, device=resolve_device("auto"), arch=arch, key=key, resolution=resolution)
    card, call = loaded.card, None
    say(f"{card.architecture}, {card.num_outputs} classes, {card.resolution} px, from {card.source}")
    if to == "safetensors":
        write.save_safetensors(loaded, out)
    elif to == "timm":
        call = write.save_timm(loaded, out)
    elif to == "hub":
        call = write.save_hub(loaded, out)
    elif to == "onnx":
        export.save_onnx(loaded, out)
    else:
        export.save_torch_export(loaded, out)
    say(f"written: {out}")
    if to == "timm":
        say(f"timm builds the network by {call}")
    elif to == "hub":
        where = f"timm.create_model('local-dir:{out}', pretrained=True)" if call else "Levelfield alone"
        say(f"read by {where}")
