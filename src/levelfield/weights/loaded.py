"""A network with its weights, and all that must be known to use it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from levelfield.families.base import FamilySpec
from levelfield.families.registry import build, list_layers, parse
from levelfield.families.tensors import tensors_of
from levelfield.records.errors import WeightsError
from levelfield.weights.card import Card
from levelfield.weights.preprocessing import Preprocessing

_SHOWN = 5

_SMALL = 10**6
"""Parameters that may be lacking from a file before its tensors are compared by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """``model`` is in evaluation mode on the CPU: float32 images [batch, channels, resolution, resolution], as
    ``preprocessing`` makes them, to logits [batch, num_outputs]."""

    model: nn.Module
    card: Card

    @property
    def spec(self) -> FamilySpec:
        return parse(self.card.architecture)

    @property
    def preprocessing(self) -> Preprocessing:
        return self.card.preprocessing

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The name of each output; None where nobody knows."""
        return self.card.classes

    @property
    def source(self) -> str:
        """Where the numbers come from, in words."""
        return self.card.source

    def digest(self) -> str:
        """What these weights are, whatever file they lie in: equal for equal numbers of equal networks."""
        return weights_digest(self.card.architecture, tensors_of(self.model))


def weights_digest(architecture: str, state: Mapping[str, Tensor]) -> str:
    """What the weights ``state`` of the network ``architecture`` (its canonical text) are, in 32 hexadecimal digits."""
    digest = hashlib.blake2b(architecture.encode(), digest_size=16)
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def assemble(card: Card, state: Mapping[str, Tensor], *, where: str) -> LoadedModel:
    """The network of ``card`` with the weights ``state``, by our own names.

    Raises:
        WeightsError: a tensor is missing, left over or of another shape; the message names it.
    """
    _refuse_larger(card, state, where)
    with _Undrawn():
        model = build(card.architecture, head=card.head, resolution=card.resolution, in_channels=card.in_channels)
    tensors = tensors_of(model)
    for problem, names in (
        ("lacks", tensors.keys() - state.keys()),
        ("has no place for", state.keys() - tensors.keys()),
    ):
        if names:
            raise WeightsError(f"{where}: {card.architecture} {problem} {', '.join(sorted(names)[:_SHOWN])}")
    for name, tensor in tensors.items():
        if state[name].shape != tensor.shape:
            seen, expected = tuple(state[name].shape), tuple(tensor.shape)
            raise WeightsError(f"{where}: {name} of {card.architecture} has shape {expected}, saw {seen}")
        tensor.copy_(state[name])
    return LoadedModel(model=model.eval(), card=card)


def _refuse_larger(card: Card, state: Mapping[str, Tensor], where: str) -> None:
    """Refuse a network far larger than its weights, before it takes memory: its header may name one of any size."""
    layers = list_layers(card.architecture, resolution=card.resolution, head=card.head, in_channels=card.in_channels)
    wanted = sum(layer.params for layer in layers)
    stored = sum(tensor.numel() for tensor in state.values())
    if wanted > 2 * stored + _SMALL:
        raise WeightsError(f"{where} holds {stored:,} numbers, and {card.architecture} has {wanted:,} parameters")


class _Undrawn(TorchFunctionMode):
    """Zeros instead of random numbers, which take seconds to draw and are about to be overwritten."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0].zero_()
        return func(*args, **(kwargs or {}))
