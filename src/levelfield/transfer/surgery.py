"""Putting pre-trained weights into a network for other classes and another resolution.

A family's parameters are known by their roles alone, so this is the same for all of them. Statistics are taken over
like all below the classifier: a probe is judged by them, and a trial estimates its own at its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.families.base import FamilySpec, ParameterRole
from levelfield.families.registry import build, parameter_role
from levelfield.families.tensors import is_statistic, tensors_of
from levelfield.records.errors import SpecError
from levelfield.records.head import Head
from levelfield.transfer.backbone import PretrainedBackbone

_CLASSIFIER = frozenset({"classifier_kernel", "classifier_bias"})


@torch.no_grad()
def graft(model: nn.Module, family: FamilySpec, backbone: PretrainedBackbone) -> None:
    """Overwrite ``model`` by the weights of ``backbone``, and its classifier by zeros; the rest of its head stays.

    Learned positions are resampled to the grid of ``model``. Everything else must have its shape. A zero head makes
    every class as likely as any other, whatever the features' scale (big_vision configs/transfer.py).

    Raises:
        SpecError: the architectures differ, or a tensor does not fit; the message names it.
    """
    if family.text != backbone.facts.architecture:
        raise SpecError(f"cannot start {family.text} from the weights of {backbone.facts.architecture}")
    for name, tensor in tensors_of(model).items():
        role = _role(family, name)
        if role in _CLASSIFIER:
            tensor.zero_()
        elif not name.startswith("head."):
            tensor.copy_(_fitted(name, role, backbone.state.get(name), tensor))


@torch.no_grad()
def assembled(
    family: FamilySpec, state: Mapping[str, Tensor], *, head: Head, resolution: int, in_channels: int
) -> nn.Module:
    """The network of ``state``, ``head`` and all, for images of ``resolution`` pixels, in evaluation mode on the CPU.

    Raises:
        SpecError: the family cannot take such images, or a tensor does not fit.
    """
    model = build(family, head=head, resolution=resolution, in_channels=in_channels)
    for name, tensor in tensors_of(model).items():
        tensor.copy_(_fitted(name, _role(family, name), state.get(name), tensor))
    return model.eval()


def resampled_positions(positions: Tensor, num_positions: int) -> Tensor:
    """Learned ``positions`` [grid * grid, width], bilinear on a grid of ``num_positions``, corners on corners.

    Raises:
        SpecError: either is no square grid.

    Source: big_vision models/vit.py, ``resample_posemb`` (scipy's zoom of order 1).
    """
    old, new = _side(len(positions)), _side(num_positions)
    grid = positions.T.reshape(1, -1, old, old)
    return F.interpolate(grid, (new, new), mode="bilinear", align_corners=True)[0].flatten(1).T


def _role(family: FamilySpec, name: str) -> ParameterRole | None:
    return None if is_statistic(name) else parameter_role(family, name)


def _fitted(name: str, role: ParameterRole | None, tensor: Tensor | None, wanted: Tensor) -> Tensor:
    if tensor is None:
        raise SpecError(f"the weights to start from lack {name}")
    if role == "position" and len(tensor) != len(wanted):
        tensor = resampled_positions(tensor, len(wanted))
    if tensor.shape != wanted.shape:
        raise SpecError(
            f"{name} is {tuple(wanted.shape)} in the new network and {tuple(tensor.shape)} in the weights to start "
            "from; are the images of as many channels?"
        )
    return tensor


def _side(count: int) -> int:
    side = math.isqrt(count)
    if side * side != count:
        raise SpecError(f"{count} positions are no square grid, so they cannot be resampled")
    return side
