"""A backbone for pictures of other channels than it was trained on: refused, or its first layer changed if asked."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from levelfield.families.registry import build
from levelfield.records.errors import SpecError
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.weights.loaded import weights_digest


def suited(backbone: PretrainedBackbone, in_channels: int, *, adapt: bool = False) -> PretrainedBackbone:
    """``backbone`` for images of ``in_channels``: itself where it takes such, else, with ``adapt``, with another first
    layer and another identity.

    Weights over the old channels are summed, and spread evenly over the new ones: a grey picture gives what it gave,
    up to the mean and deviation that the channels are fed by.

    Raises:
        SpecError: it takes others, and ``adapt`` is False.

    Source: timm models/_manipulate.py, ``adapt_input_conv``, which sums to one channel likewise.
    """
    facts = backbone.facts
    if facts.in_channels == in_channels:
        return backbone
    if not adapt:
        raise SpecError(
            f"the weights to start from take images of {_told(facts.in_channels)}, the data has {_told(in_channels)}: "
            "--adapt-channels changes their first layer, or take weights that were trained on such images"
        )
    with torch.device("meta"):
        wanted = build(facts.architecture, head=facts.head, resolution=facts.resolution, in_channels=in_channels)
    shapes = {name: tuple(parameter.shape) for name, parameter in wanted.named_parameters()}
    state = {name: _fitted(tensor, shapes.get(name)) for name, tensor in backbone.state.items()}
    return dataclasses.replace(
        backbone,
        identity=f"weights:{weights_digest(facts.architecture, state)}",
        facts=dataclasses.replace(facts, in_channels=in_channels),
        state=state,
    )


def _fitted(tensor: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """A kernel [outputs, channels, height, width] over other channels; any other tensor as it is."""
    if shape is None or tensor.ndim != 4 or tuple(tensor.shape) == shape or tensor.shape[1] == shape[1]:
        return tensor
    return (tensor.sum(dim=1, keepdim=True) / shape[1]).repeat(1, shape[1], 1, 1)


def _told(channels: int) -> str:
    return {1: "1 channel (grey)", 3: "3 channels (colour)"}.get(channels, f"{channels} channels")
