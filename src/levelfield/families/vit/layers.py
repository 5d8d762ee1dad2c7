"""Every layer of a ViT, counted by hand from its shape, and what its parameters are for: the bill without torch."""

from __future__ import annotations

import re
from collections.abc import Iterator

from levelfield.families.base import Body, Layer, ParameterRole
from levelfield.families.vit.spec import ViTSpec
from levelfield.records.errors import SpecError

_LINEAR_MAPS = r"(patch_embed|blocks\.\d+\.(qkv|proj|fc1|fc2)|map_head\.(query|key_value|proj|fc1|fc2))"
_NORMS = r"(blocks\.\d+\.norm[12]|norm|map_head\.norm)"
_ROLES: tuple[tuple[str, ParameterRole], ...] = (
    (rf"{_LINEAR_MAPS}\.weight", "kernel"),
    (rf"{_LINEAR_MAPS}\.bias", "bias"),
    (rf"{_NORMS}\.(weight|bias)", "norm"),
    (r"position", "position"),
    (r"class_token|map_head\.probe", "token"),
)


def list_body(spec: ViTSpec, *, resolution: int, in_channels: int = 3) -> Body:
    """See :func:`levelfield.families.registry.list_body`."""
    if in_channels < 1:
        raise SpecError(f"{spec.text}: expected positive sizes, saw {in_channels=}")
    patches, width = spec.grid(resolution) ** 2, spec.width
    tokens = patches + (spec.pooling == "token")
    pixels = in_channels * spec.patch_size**2
    layers = [_linear("patch_embed", pixels, width, rows=patches, takes_image=True)]
    if spec.position == "learned":
        layers.append(Layer(name="position", kind="position", params=patches * width))
    if spec.pooling == "token":
        layers.append(Layer(name="class_token", kind="token", params=width))
    for index in range(spec.depth):
        layers.extend(_block(f"blocks.{index}", width, spec.mlp_width, tokens))
    layers.append(_norm("norm", width))
    pooling = tuple(_map_head("map_head", width, spec.mlp_width, tokens)) if spec.pooling == "map" else ()
    return Body(layers=tuple(layers), num_features=width, pooling=pooling, map_side=spec.grid(resolution))


def parameter_role(spec: ViTSpec, name: str) -> ParameterRole:
    """See :func:`levelfield.families.registry.parameter_role`."""
    for pattern, role in _ROLES:
        if re.fullmatch(pattern, name):
            return role
    raise SpecError(f"no parameter of a vit is called {name!r}")


def parameter_depth(spec: ViTSpec, name: str) -> int:
    """See :func:`levelfield.families.registry.parameter_depth`."""
    block = re.match(r"blocks\.(\d+)\.", name)
    if block:
        return 1 + int(block[1])
    return 0 if re.match("patch_embed|position|class_token", name) else 1 + spec.depth


def _block(name: str, width: int, mlp_width: int, tokens: int) -> Iterator[Layer]:
    yield _norm(f"{name}.norm1", width)
    yield _linear(f"{name}.qkv", width, 3 * width, rows=tokens)
    yield _attention(f"{name}.attention", width, queries=tokens, keys=tokens)
    yield _linear(f"{name}.proj", width, width, rows=tokens)
    yield _norm(f"{name}.norm2", width)
    yield _linear(f"{name}.fc1", width, mlp_width, rows=tokens)
    yield _linear(f"{name}.fc2", mlp_width, width, rows=tokens)


def _map_head(name: str, width: int, mlp_width: int, tokens: int) -> Iterator[Layer]:
    """One learned query attends to all tokens, then an MLP block on what it found."""
    yield Layer(name=f"{name}.probe", kind="token", params=width)
    yield _linear(f"{name}.query", width, width, rows=1)
    yield _linear(f"{name}.key_value", width, 2 * width, rows=tokens)
    yield _attention(f"{name}.attention", width, queries=1, keys=tokens)
    yield _linear(f"{name}.proj", width, width, rows=1)
    yield _norm(f"{name}.norm", width)
    yield _linear(f"{name}.fc1", width, mlp_width, rows=1)
    yield _linear(f"{name}.fc2", mlp_width, width, rows=1)


def _attention(name: str, width: int, *, queries: int, keys: int) -> Layer:
    """Scores and mixture, over all heads."""
    return Layer(name=name, kind="attention", params=0, forward_macs=2 * queries * keys * width)


def _linear(name: str, in_features: int, out_features: int, *, rows: int, takes_image: bool = False) -> Layer:
    weights = in_features * out_features
    params = weights + out_features
    return Layer(name=name, kind="linear", params=params, forward_macs=rows * weights, takes_image=takes_image)


def _norm(name: str, width: int) -> Layer:
    return Layer(name=name, kind="norm", params=2 * width)
