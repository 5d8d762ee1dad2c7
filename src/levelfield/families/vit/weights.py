"""Weights from and to timm's ``VisionTransformer``: the same numbers under other names.

timm is not needed: a state dict is a dictionary of tensors.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from levelfield.families.vit.model import ViT
from levelfield.families.vit.spec import ViTSpec
from levelfield.records.errors import SpecError

# Parts by our name and by timm's (timm/models/vision_transformer.py, layers/attention_pool.py); the others have one.
_PARTS = {"patch_embed": "patch_embed.proj", "class_token": "cls_token", "position": "pos_embed"}
_BLOCK_PARTS = {"qkv": "attn.qkv", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
_MAP_HEAD_PARTS = {"probe": "latent", "query": "q", "key_value": "kv", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}


def from_timm(state: Mapping[str, Tensor], model: ViT) -> dict[str, Tensor]:
    """What ``model.load_state_dict`` takes, from the ``state`` of timm's network of the same shape.

    timm adds a position to the class token too; here that sum is the class token. Logits are equal where the rules
    are: ``gelu=erf`` for weights that timm trained. Most tensors share memory with ``state``.

    Raises:
        SpecError: a tensor is missing, left over or of another shape; the message names it. So are learned positions
            left over where the model's are fixed.
    """
    rest = _without_layer_scales(state)
    if "pos_embed" in rest and len(rest["pos_embed"].shape) == 3 and model.class_token is not None:
        rest["pos_embed"] = _with_class_position(rest["pos_embed"], num_patches=len(model.position))
    weights: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        theirs, shape = _timm_name(name), _timm_shape(name, model, parameter)
        tensor = rest.pop(theirs, None)
        if tensor is None or tensor.shape != shape:
            seen = "no such tensor" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise SpecError(f"{model.spec.text}: {name} wants timm's {theirs!r} of shape {shape}, saw {seen}")
        weights[name] = tensor
    if rest:
        raise SpecError(f"{model.spec.text} has no place for timm's {', '.join(map(repr, rest))}")
    if "position" in weights:
        positions = weights["position"][0]
        weights["position"] = positions[-len(model.position) :]
        if "class_token" in weights:
            weights["class_token"] = weights["class_token"] + positions[0]
    return weights


def sizes_in_timm(state: Mapping[str, Tensor]) -> dict[str, int | None]:
    """Number of classes, of image channels, and the resolution that the learned positions are for.

    Raises:
        KeyError: the state is of no such network.
        SpecError: its positions are those of no square grid.
    """
    patches = state["patch_embed.proj.weight"]
    return {
        "num_outputs": len(state["head.weight"]),
        "in_channels": patches.shape[1],
        "resolution": _grid_side(state) * patches.shape[-1],
    }


def _grid_side(state: Mapping[str, Tensor]) -> int:
    """Patches along a side. The class token has a position of its own, but for DeiT III, which is known by its scales
    of branches: nothing else tells 2 x 4 patches and a token from 3 x 3 patches."""
    positions = state["pos_embed"].shape[1]
    token = "cls_token" in state and not any(name.endswith(".ls1.gamma") for name in state)
    patches = positions - token
    side = math.isqrt(max(patches, 0))
    if side < 1 or side * side != patches:
        of = f"{positions} less the class token's" if token else str(positions)
        raise SpecError(
            f"it has {of} positions, and no square has so many patches: it was trained on pictures that are not "
            "square, or has tokens of another kind; resample its positions to a square grid first"
        )
    return side


def _without_layer_scales(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with the scales of branches (DeiT III) multiplied into the linear maps that they follow."""
    plain = {name: tensor for name, tensor in state.items() if not name.endswith((".ls1.gamma", ".ls2.gamma"))}
    for name in state.keys() - plain.keys():
        block, scale, _ = name.rsplit(".", 2)
        linear = f"{block}.attn.proj" if scale == "ls1" else f"{block}.mlp.fc2"
        if f"{linear}.weight" in plain:
            plain[f"{linear}.weight"] = plain[f"{linear}.weight"] * state[name][:, None]
            plain[f"{linear}.bias"] = plain[f"{linear}.bias"] * state[name]
    return plain


def _with_class_position(positions: Tensor, *, num_patches: int) -> Tensor:
    """A position of zero for the class token, where (DeiT III) it has none."""
    if positions.shape[1] != num_patches:
        return positions
    return torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)


def timm_call(model: ViT) -> tuple[ViTSpec, str, dict[str, Any]]:
    """The network that timm can build for ``model``: as our spec, and as its name and arguments.

    Fixed positions are handed over as learned ones.
    """
    spec = model.spec
    pools = {"gap": "avg", "token": "token", "map": "map"}
    arguments: dict[str, Any] = {
        "img_size": math.isqrt(len(model.position)) * spec.patch_size,
        "patch_size": spec.patch_size,
        "embed_dim": spec.width,
        "depth": spec.depth,
        "num_heads": spec.num_heads,
        "mlp_ratio": spec.mlp_width / spec.width if spec.mlp_width % spec.width == 0 else _ratio(spec),
        "class_token": spec.pooling == "token",
        "global_pool": pools[spec.pooling],
        "fc_norm": False,
    }
    if spec.gelu == "tanh":
        arguments["act_layer"] = "gelu_tanh"
    return dataclasses.replace(spec, position="learned"), "vit_base_patch16_224", arguments


def _ratio(spec: ViTSpec) -> float:
    """A ratio that timm, which cuts the product off, makes the right width of."""
    return (spec.mlp_width + 0.5) / spec.width


def folded(model: ViT) -> ViT:
    """A copy for evaluation: a Vision Transformer has nothing to fold."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def to_timm(model: ViT) -> dict[str, Tensor]:
    """The state dict of ``model`` as timm's network of the same shape takes it; most tensors share memory with it.

    The class token is given the position zero, and fixed positions are handed over as if they were learned.
    """
    state = {_timm_name(name): parameter.detach() for name, parameter in model.named_parameters()}
    positions = model.position.detach()
    if model.class_token is not None:
        positions = torch.cat([torch.zeros_like(positions[:1]), positions])
    return state | {"pos_embed": positions[None]}


def _timm_name(name: str) -> str:
    if match := re.fullmatch(r"(blocks\.\d+)\.(\w+)(\.\w+)", name):
        block, part, leaf = match.groups()
        return f"{block}.{_BLOCK_PARTS.get(part, part)}{leaf}"
    if match := re.fullmatch(r"map_head\.(\w+)(\.\w+)?", name):
        part, leaf = match.groups(default="")
        return f"attn_pool.{_MAP_HEAD_PARTS.get(part, part)}{leaf}"
    part, dot, leaf = name.partition(".")
    return f"{_PARTS.get(part, part)}{dot}{leaf}"


def _timm_shape(name: str, model: ViT, parameter: Tensor) -> tuple[int, ...]:
    if name != "position":
        return tuple(parameter.shape)
    patches, width = parameter.shape
    return (1, patches + (model.class_token is not None), width)
