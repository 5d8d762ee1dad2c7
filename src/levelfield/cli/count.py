"""``levelfield count``: what an architecture costs."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = (
    "Example:  levelfield count nfnet:F7+ --resolution 224 --examples 32e9 --device tpu-v4-core --utilisation 0.39"
)


def count(
    architecture: Annotated[str, typer.Argument(help="Such as nfnet:F3+, vit:B/16, nfnet:w16-d1x1x1, vit:w64-d3-p4.")],
    resolution: Annotated[int, typer.Option(help="Image side in pixels.", min=1)] = 224,
    num_outputs: Annotated[int, typer.Option(help="Classes.", min=1)] = 1000,
    in_channels: Annotated[int, typer.Option(help="Channels of the image.", min=1)] = 3,
    output_stride: Annotated[
        int | None,
        typer.Option(help="Classify every pixel, from a map of one cell for so many pixels.", min=1),
    ] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Train the head alone.")] = False,
    examples: Annotated[float | None, typer.Option(help="Training examples seen, for example 32e9.")] = None,
    device: Annotated[str | None, typer.Option(help="Also give device-hours, such as h100-sxm.")] = None,
    utilisation: Annotated[float, typer.Option(help="Share of the device's peak that is reached.")] = 0.4,
    layers: Annotated[bool, typer.Option("--layers", help="Layer by layer.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Count parameters, forward MACs and training FLOPs, layer by layer, without building the model."""
    from levelfield.cli.console import say, say_json, say_table
    from levelfield.compute import analytic
    from levelfield.compute.devices import device_hours
    from levelfield.records.errors import SpecError
    from levelfield.records.head import LinearHead, PixelHead
    from levelfield.report.words import numbers
    from levelfield.units import LARGEST, SMALLEST

    if examples is not None and not SMALLEST <= examples <= LARGEST:
        raise SpecError(f"--examples must be positive and at most {LARGEST:g}, saw {examples}")
    if device is not None and examples is None:
        raise SpecError("--device needs --examples: hours belong to a whole run")
    head = LinearHead(num_outputs=num_outputs)
    if output_stride is not None:
        head = PixelHead(num_outputs=num_outputs, output_stride=output_stride)
    counted = analytic.count(architecture, resolution=resolution, head=head, in_channels=in_channels, frozen=frozen)
    train_flops = None if examples is None else counted.train_flops_per_example * examples
    hours = None
    if device is not None and train_flops is not None:
        hours = device_hours(train_flops, device, utilisation=utilisation)
    if json:
        answer = {
            "architecture": counted.architecture,
            "resolution": resolution,
            "num_outputs": num_outputs,
            "output_stride": output_stride,
            "params": counted.params,
            "forward_macs": counted.forward_macs,
            "train_flops_per_example": counted.train_flops_per_example,
            "examples": examples,
            "train_flops": train_flops,
            "device": device,
            "utilisation": utilisation if device else None,
            "device_hours": hours,
        }
        say_json({key: value for key, value in answer.items() if value is not None})
        return
    each = "" if output_stride is None else f" a pixel, on a map of one cell for {output_stride} pixels"
    say(f"{counted.architecture} at {resolution} px, {num_outputs} classes{each}", "strong")
    learns = "forward, and backward in the head alone" if frozen else "forward and backward"
    lines = [
        ("parameters", _scaled(counted.params)),
        ("forward", f"{_scaled(counted.forward_macs)}MACs an image (1 MAC = 2 FLOPs)"),
        ("training", f"{_scaled(counted.train_flops_per_example)}FLOPs an image, {learns}"),
    ]
    if train_flops is not None:
        lines.append((f"on {numbers.count(examples)} images", f"{train_flops / 1e18:,.6g} exaFLOPs of training"))
    if hours is not None:
        lines.append((f"on {device}", f"{hours:,.0f} device-hours at {utilisation:.0%} of peak"))
    longest = max(len(what) for what, _ in lines)
    for what, value in lines:
        say(f"  {what:<{longest}}  {value}")
    if layers:
        rows = [(layer.name, layer.kind, f"{layer.params:,}", f"{layer.forward_macs:,}") for layer in counted.layers]
        say_table("Layers", ("layer", "kind", "parameters", "forward MACs"), rows)


def _scaled(value: float) -> str:
    """``value`` with three decimals in the customary prefix: parameters of a named variant in M, its MACs in G."""
    size, prefix = next(
        ((size, prefix) for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= size), (1, "")
    )
    return f"{value / size:,.3f} {prefix}"
