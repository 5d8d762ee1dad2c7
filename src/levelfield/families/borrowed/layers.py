"""What a borrowed network is made of: layers by tracing one forward pass, roles by the shapes of parameters.

The forward pass alone is traced: torch's counter knows grouped and depthwise convolutions there, and overcharges their
backward (see :mod:`levelfield.compute.count`), for which our own rule holds.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from levelfield.families.base import Body, Layer, LayerKind, ParameterRole
from levelfield.families.borrowed.model import BorrowedNetwork, build
from levelfield.families.borrowed.spec import BorrowedSpec
from levelfield.records.codec import record
from levelfield.records.errors import SpecError, first_line, lacks_memory

_ROLE_RESOLUTION = 224
_ANY_OUTPUTS = 2
"""The head of a traced network, which is no part of its body and has the same parameters whatever its width."""
_EMBEDDING = r".*(pos_embed\w*|cls_token|reg_token|dist_token|relative_position_bias\w*|rel_pos\w*|query|latent)"

_RECURRENT = r"\.weight_[ih]h_l\d+(_reverse)?$"
"""How torch calls the kernels of recurrent layers (Sequencer's)."""


@functools.lru_cache(maxsize=256)
def list_body(spec: BorrowedSpec, *, resolution: int, in_channels: int = 3) -> Body:
    """Every part with parameters or multiply-accumulates, in the order of the modules.

    Raises:
        SpecError: timm cannot build the network, or it cannot take such images.
    """
    with torch.device("meta"):
        network = build(spec, num_outputs=_ANY_OUTPUTS, resolution=resolution, in_channels=in_channels).eval()
        network.requires_grad_(False)
        images = torch.empty(1, in_channels, resolution, resolution)
    first: list[str] = []
    names = {module: name for name, module in network.named_modules()}

    def saw(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if _kind(module) in ("conv", "linear") and (given[0] is images or not first):
            first.append(names[module])

    for module in names:
        module.register_forward_pre_hook(saw)  # pyright: ignore[reportArgumentType]
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(images)
    except Exception as error:  # whatever a network of timm's raises of images that it cannot take
        if lacks_memory(error):
            raise
        raise SpecError(
            f"{spec.text} cannot take images of {resolution} px: {type(error).__name__}: {first_line(error)}"
        ) from None
    root = type(network).__name__
    flops = {
        name.removeprefix(root).removeprefix("."): sum(by_operator.values())
        for name, by_operator in counter.get_flop_counts().items()
        if name == root or name.startswith(f"{root}.")
    }
    layers = _layers(network, flops, set(first))
    body = tuple(each for each in layers if each.name != "head")
    return Body(layers=body, num_features=network.num_features, map_side=_map_side(network, images))


def _map_side(network: BorrowedNetwork, images: torch.Tensor) -> int | None:
    """The side of the last map of features, None where there is none: tokens, maps of other channels or other axes, or
    parts between it and the pooled features that would be left over."""
    reached = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, given: reached.add(module))
        for module in network.body.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        found = network.feature_map(images)
    except Exception as error:  # whatever a network of timm's raises that has no such thing
        if lacks_memory(error):
            raise
        return None
    finally:
        for hook in hooks:
            hook.remove()
    learning = {module for module in network.body.modules() if next(module.parameters(recurse=False), None) is not None}
    square = found.ndim == 4 and found.shape[1] == network.num_features and found.shape[2] == found.shape[3]
    return found.shape[2] if square and reached == learning else None


def _layers(network: BorrowedNetwork, flops: dict[str, int], takes_image: set[str]) -> Iterator[Layer]:
    for name, module in network.named_modules():
        children = (f"{name}.{child}" if name else child for child, _ in module.named_children())
        macs = (flops.get(name, 0) - sum(flops.get(child, 0) for child in children)) // 2
        own = dict(module.named_parameters(recurse=False))
        kind = _kind(module)
        if kind is not None:
            params = sum(own.pop(leaf).numel() for leaf in ("weight", "bias", "gain") if own.get(leaf) is not None)
            yield Layer(name=name, kind=kind, params=params, forward_macs=macs, takes_image=name in takes_image)
        elif macs:
            yield Layer(name=name, kind="attention", params=0, forward_macs=macs)
        for leaf, parameter in own.items():
            yield Layer(name=f"{name}.{leaf}", kind="token", params=parameter.numel())


def _kind(module: nn.Module) -> LayerKind | None:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batch_norm"
    weight = getattr(module, "weight", None)
    if not isinstance(weight, nn.Parameter):
        return None
    return "norm" if weight.ndim < 2 else "linear" if weight.ndim == 2 else "conv"


def parameter_role(spec: BorrowedSpec, name: str) -> ParameterRole:
    """See :func:`levelfield.families.registry.parameter_role`."""
    return _place(spec, name).role


def parameter_depth(spec: BorrowedSpec, name: str) -> int:
    """See :func:`levelfield.families.registry.parameter_depth`."""
    return _place(spec, name).depth


@record
class ParameterPlace:
    """What a parameter is for, and how many blocks stand before it."""

    role: ParameterRole
    depth: int


def _place(spec: BorrowedSpec, name: str) -> ParameterPlace:
    known = _places(spec)
    if name not in known:
        raise SpecError(f"no parameter of {spec.text} is called {name!r}")
    return known[name]


@functools.lru_cache(maxsize=64)
def _places(spec: BorrowedSpec) -> dict[str, ParameterPlace]:
    """The role and depth of every parameter by name.

    Kernels are weights of two axes and more; learned embeddings are known by timm's names for them; biases belong to
    kernels; what is left of one axis (norms, layer scales) is treated like a norm: neither decayed nor a kernel.
    """
    with torch.device("meta"):
        network = build(spec, num_outputs=_ANY_OUTPUTS, resolution=_resolution(spec))
    kernels = {name for name, parameter in network.named_parameters() if parameter.ndim >= 2}
    depths = _depths(network)
    return {
        name: ParameterPlace(role=_role(name, parameter, kernels), depth=depths[name])
        for name, parameter in network.named_parameters()
    }


def _resolution(spec: BorrowedSpec) -> int:
    """What the network was made for: names and axes of its parameters do not depend on it."""
    import timm

    size = timm.get_pretrained_cfg_value(spec.name, "input_size") or (3, _ROLE_RESOLUTION, _ROLE_RESOLUTION)
    return int(size[-1])


def _role(name: str, parameter: nn.Parameter, kernels: set[str]) -> ParameterRole:
    if name.startswith("head."):
        return "classifier_kernel" if name == "head.weight" else "classifier_bias"
    if parameter.ndim == 0:
        return "skip_gain"
    if re.fullmatch(_EMBEDDING, name):
        return "token"
    if parameter.ndim >= 2:
        return "kernel" if name.endswith("weight") or re.search(_RECURRENT, name) else "token"
    return "bias" if name.endswith(".bias") and name.removesuffix("bias") + "weight" in kernels else "norm"


def _depths(network: BorrowedNetwork) -> dict[str, int]:
    """Blocks are numbered in timm's order of modules: every path that ends in ``blocks.<n>`` or the like is one.

    A ResNet's stem may be several convolutions, and its shortcuts belong to the block that they lead around.
    """
    blocks: dict[str, int] = {}
    depths, deepest = {}, 0
    for name, _ in network.named_parameters():
        inside = name.removeprefix("body.")
        block = re.match(r"(layer\d\.\d+|.*\.\d+)\.", inside)
        if name.startswith("head."):
            depths[name] = deepest + 1
        elif block is None or re.match(r"(stem|patch_embed|conv1|bn1|conv_stem)\b", inside):
            depths[name] = deepest if blocks else 0
        else:
            depths[name] = deepest = blocks.setdefault(block[1], len(blocks) + 1)
    return depths
