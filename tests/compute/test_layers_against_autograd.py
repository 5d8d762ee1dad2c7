"""What training costs, layer by layer, against what autograd is seen to compute."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from levelfield.compute.analytic import ComputeCount, count
from levelfield.families.base import Layer
from levelfield.families.nfnet.standardise import StandardisedConv2d
from levelfield.families.registry import build
from tests.compute.sizes import Sizes
from tests.undrawn import Undrawn

SIZES: Sizes = {"resolution": 64, "num_outputs": 10}


def traced(function: Callable[..., Tensor], *inputs: Tensor) -> int:
    """Operations of one forward and the backward to every input and parameter that asks for a gradient."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        function(*inputs).sum().backward()
    return counter.get_total_flops()


def recorded_inputs(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """What every module is called with, by its name, when ``model`` sees one image."""
    names = {module: name for name, module in model.named_modules()}
    inputs: dict[str, tuple[Any, ...]] = {}
    for module in names:
        module.register_forward_pre_hook(lambda module, given: inputs.update({names[module]: given}))
    with torch.no_grad():
        model(torch.empty(1, 3, SIZES["resolution"], SIZES["resolution"]))
    return inputs


def leaf(x: Tensor, *, needs_gradient: bool = True) -> Tensor:
    return torch.empty(x.shape).requires_grad_(needs_gradient)


def analytic(counted: ComputeCount, *layers: Layer) -> int:
    """What the bill charges for training with ``layers`` alone."""
    return ComputeCount(
        architecture=counted.architecture, resolution=64, num_outputs=10, in_channels=3, layers=layers
    ).train_flops_per_example


def traced_convolution(conv: StandardisedConv2d, x: Tensor, *, takes_image: bool) -> int:
    """A convolution in groups is as many convolutions of one group: torch's counter is right for those alone."""
    out, channels, kernel, _ = conv.weight.shape
    part = StandardisedConv2d(channels, out // conv.groups, kernel, stride=conv.stride)
    part.index = 0
    pieces = x.split(channels, dim=3)
    assert len(pieces) == conv.groups
    return sum(
        traced(lambda piece: part(piece, [part.weight]), leaf(piece, needs_gradient=not takes_image))
        for piece in pieces
    )


@pytest.mark.parametrize("text", ["nfnet:F0+", "nfnet:w48-d1x2x1-s4-g12"])
def test_every_layer_of_an_nfnet_is_charged_what_its_autograd_computes(text: str) -> None:
    counted = count(text, **SIZES)
    groups: set[int] = set()
    with torch.device("meta"), Undrawn():
        model = build(text, **SIZES)
        inputs = recorded_inputs(model)
        for layer in counted.layers:
            if not layer.forward_macs:
                continue
            module, x = model.get_submodule(layer.name), inputs.get(layer.name, ())
            if isinstance(module, StandardisedConv2d):
                flops = traced_convolution(module, x[0], takes_image=layer.takes_image)
                groups.add(module.groups)
            else:
                flops = traced(module, leaf(x[0]))
            assert analytic(counted, layer) == flops, layer.name
    assert max(groups) > 1 in groups


@pytest.mark.parametrize("text", ["vit:B/16,pool=token", "vit:w48-d2-p8-h4-m2,pool=map"])
def test_every_layer_of_a_vit_is_charged_what_its_autograd_computes(text: str) -> None:
    counted = count(text, **SIZES)
    layers = {layer.name: layer for layer in counted.layers if layer.forward_macs}
    with torch.device("meta"), Undrawn():
        model = build(text, **SIZES)
        inputs = recorded_inputs(model)
        for name in [name for name, layer in layers.items() if layer.kind == "linear" and name in inputs]:
            assert analytic(counted, layers[name]) == traced(model.get_submodule(name), leaf(inputs[name][0])), name
        for name in [name for name, layer in layers.items() if layer.kind == "attention"]:
            whole = name.removesuffix(".attention")  # attention is what a block computes beside its linear maps
            parts = [layer for part, layer in layers.items() if part.startswith(f"{whole}.")]
            assert analytic(counted, *parts) == traced(model.get_submodule(whole), leaf(inputs[whole][0])), name
        embedding = model.patch_embed
        assert isinstance(embedding, nn.Conv2d)
        pixels = leaf(torch.empty(1, 3, 64, 64), needs_gradient=False)
        convolve = lambda x: F.conv2d(x, embedding.weight, embedding.bias, embedding.stride)  # noqa: E731
        assert analytic(counted, layers["patch_embed"]) == traced(convolve, pixels)
