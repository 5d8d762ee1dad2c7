"""Every layer of a Vision Transformer, counted by hand from its shape: the torch-free side of the bill."""

from __future__ import annotations

from collections.abc import Iterator

from levelfield.families.base import Layer
from levelfield.families.vit.spec import ViTSpec
from levelfield.records.errors import SpecError


def list_layers(spec: ViTSpec, *, resolution: int, num_classes: int, in_channels: int) -> tuple[Layer, ...]:
    """See :meth:`levelfield.families.base.FamilySpec.layers`."""
    if num_classes < 1 or in_channels < 1:
        raise SpecError(f"{spec.text}: expected positive sizes, saw {num_classes=}, {in_channels=}")
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
    if spec.pooling == "map":
        layers.extend(_map_head("map_head", width, spec.mlp_width, tokens))
    layers.append(_linear("head", width, num_classes, rows=1))
    return tuple(layers)


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
