"""Weights from and to timm's ``dm_nfnet_f*`` and ``nfnet_f*``: the same numbers under other names and in other shapes.

timm is not needed: a state dict is a dictionary of tensors.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from levelfield.families.nfnet import released as released
from levelfield.families.nfnet.folded import FoldedNFNet
from levelfield.families.nfnet.model import GELU_GAMMA, NFNet
from levelfield.families.nfnet.spec import NFNetSpec
from levelfield.families.nfnet.standardise import CLAMP_FLOOR, TIMM_EPS
from levelfield.records.errors import SpecError

# A block's parts by our name and by timm's (timm/models/nfnet.py, NormFreeBlock); the others have one name.
_BLOCK_PARTS = {
    "shortcut": "downsample.conv",
    "conv3": "conv2b",
    "conv4": "conv3",
    "squeeze": "attn_last.fc1",
    "excite": "attn_last.fc2",
    "skip_gain": "skipinit_gain",
}


def from_timm(state: Mapping[str, Tensor], model: NFNet) -> dict[str, Tensor]:
    """What ``model.load_state_dict`` takes, from the ``state`` of timm's network of the same shape.

    Logits are equal where the rules are: ``ws=timm,gelu=erf`` for weights that timm trained. Weights that the released
    code trained want its own rules, the defaults, even when timm hands them out. The tensors share memory with
    ``state``.

    Raises:
        SpecError: a tensor is missing, left over or of another shape; the message names it.
    """
    rest = dict(state) if any(name.endswith(".skipinit_gain") for name in state) else _with_skip_gains(state)
    weights: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        theirs, shape = _timm_name(name), _timm_shape(name, parameter)
        tensor = rest.pop(theirs, None)
        if tensor is None or tensor.shape != shape:
            seen = "no such tensor" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise SpecError(f"{model.spec.text}: {name} wants timm's {theirs!r} of shape {shape}, saw {seen}")
        weights[name] = tensor.reshape(parameter.shape)
    if rest:
        raise SpecError(f"{model.spec.text} has no place for timm's {', '.join(map(repr, rest))}")
    return weights


def sizes_in_timm(state: Mapping[str, Tensor]) -> dict[str, int | None]:
    """Number of classes and of image channels; None for the resolution, which the weights do not tell.

    Raises:
        KeyError: the state is of no such network.
    """
    channels = state["stem.conv1.weight"].shape[1]
    return {"num_outputs": len(state["head.fc.weight"]), "in_channels": channels, "resolution": None}


def _with_skip_gains(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an ``nfnet_f*`` as a ``dm_nfnet_f*`` would have it.

    There every convolution multiplies by gamma instead of every activation, so the first and the last have one too
    many and the classifier one too few; and a branch without a skip gain is one whose gain is 1.
    """
    changed = dict(state)
    for name, factor in (("stem.conv1.gain", GELU_GAMMA), ("final_conv.gain", GELU_GAMMA)):
        if name in state:
            changed[name] = state[name] * factor
    if "head.fc.weight" in state:
        changed["head.fc.weight"] = state["head.fc.weight"] / GELU_GAMMA
    blocks = sorted({name[: match.end()] for name in state if (match := re.match(r"stages\.\d+\.\d+\.", name))})
    return changed | {f"{block}skipinit_gain": torch.ones(()) for block in blocks}


def timm_call(model: NFNet) -> tuple[NFNetSpec, str, dict[str, Any]]:
    """The network that timm can build for ``model``: as our spec, and as its name and arguments.

    timm has one rule of standardisation; :func:`to_timm` rewrites the gains of the other's weights, so that the network
    computes the same, though it would train otherwise.

    Raises:
        SpecError: timm cannot express the network; the message says why.
    """
    spec = model.spec
    why = None
    if "-" in spec.body:
        why = "timm has no stem like its own"
    elif spec.body.endswith("+"):
        why = "timm would make the stem of a '+' variant 24, 48 and 96 channels wide, not 16, 32 and 64"
    elif spec.gelu != "erf":
        why = "timm's NFNets have the erf gelu alone, which gives logits 2e-4 away"
    if why:
        raise SpecError(f"timm cannot express {spec.text}: {why}")
    name = f"dm_nfnet_{spec.body.lower()}"
    arguments: dict[str, Any] = {}
    if spec.body == "F7":
        name = "dm_nfnet_f0"
        arguments["depths"] = list(spec.depths)
    if spec.padding == "symmetric":
        arguments["same_padding"] = False
    return dataclasses.replace(spec, ws_rule="timm"), name, arguments


def to_timm(model: NFNet) -> dict[str, Tensor]:
    """The state dict with which timm's network of the same shape computes the same; see :func:`timm_call`."""
    state = under_timms_names(model)
    if model.spec.ws_rule == "clamp":
        for name in [name for name in state if name.endswith(".gain")]:
            state[name] = state[name] * _clamp_over_timm(state[name.replace(".gain", ".weight")])
    return state


def under_timms_names(model: NFNet) -> dict[str, Tensor]:
    """The very same numbers by timm's names and in its shapes; the tensors share memory with the model."""
    return {
        _timm_name(name): parameter.detach().reshape(_timm_shape(name, parameter))
        for name, parameter in model.named_parameters()
    }


def _clamp_over_timm(weight: Tensor) -> Tensor:
    """What a gain must be multiplied by, for timm's rule to give the weights that the released rule gave."""
    variance, fan_in = weight.var((1, 2, 3), keepdim=True, correction=0), weight[0].numel()
    return ((variance + TIMM_EPS) * fan_in / (variance * fan_in).clamp(min=CLAMP_FLOOR)).sqrt()


def folded(model: NFNet) -> FoldedNFNet:
    """An evaluation-only network that computes the same by plain convolutions."""
    return FoldedNFNet(model)


def _timm_name(name: str) -> str:
    if match := re.fullmatch(r"(stages\.\d+\.\d+)\.(\w+)(\.\w+)?", name):
        block, part, leaf = match.groups(default="")
        return f"{block}.{_BLOCK_PARTS.get(part, part)}{leaf}"
    return re.sub(r"^head\.", "head.fc.", name)


def _timm_shape(name: str, parameter: Tensor) -> tuple[int, ...]:
    """Gains are shaped to multiply a kernel, and squeeze-excite is made of 1x1 convolutions."""
    shape = tuple(parameter.shape)
    if name.endswith(".gain"):
        return (*shape, 1, 1, 1)
    return (*shape, 1, 1) if name.endswith((".squeeze.weight", ".excite.weight")) else shape
