"""What every family offers: a torch-free spec that knows its text, its layers and its parameters, and a backbone.

The training loop, the counter and the studies see families through these protocols only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from levelfield.records.codec import record
from levelfield.records.head import LinearHead

if TYPE_CHECKING:
    import torch

ParameterRole: TypeAlias = Literal[
    "kernel",  # of a convolution or a linear map, the patch embedding included
    "gain",  # per output channel of a standardised convolution
    "bias",
    "skip_gain",  # scalar at the end of a residual branch
    "norm",  # scale and bias of a LayerNorm or BatchNorm
    "position",
    "token",  # class token, pooling probe
    "classifier_kernel",
    "classifier_bias",
]

LayerKind: TypeAlias = Literal["conv", "linear", "attention", "norm", "batch_norm", "skip_gain", "position", "token"]


@record
class Layer:
    """One layer for one example: its parameters, and the multiply-accumulates of a forward pass.

    Only convolutions, linear maps and attention products have ``forward_macs``; ``takes_image`` marks the layers whose
    input is the image, which need no gradient with respect to it. A "batch_norm" ties the examples of a batch together
    while it trains.
    """

    name: str
    kind: LayerKind
    params: int
    forward_macs: int = 0
    takes_image: bool = False


@record
class Body:
    """A backbone without a head: its layers, and how many pooled features it hands to one."""

    layers: tuple[Layer, ...]
    num_features: int


def head_layers(head: LinearHead, body: Body) -> tuple[Layer, ...]:
    """What ``head`` adds to the layers of ``body``."""
    weights = body.num_features * head.num_outputs
    return (Layer(name="head", kind="linear", params=weights + head.num_outputs, forward_macs=weights),)


class FamilySpec(Protocol):
    """A frozen, hashable, torch-free description of one architecture.

    ``text`` is canonical: ``parse(spec.text) == spec``, and equal architectures have equal text.
    """

    @property
    def family(self) -> str: ...

    @property
    def text(self) -> str: ...


class Backbone(Protocol):
    """What a family's ``model.build`` returns, beside being an ``nn.Module``: images in, outputs out, and a
    linear ``head`` over ``features``."""

    @property
    def spec(self) -> Any: ...

    @property
    def num_features(self) -> int: ...

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) to pooled (batch, num_features), as the head sees them."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) to outputs (batch, num_outputs)."""
        ...
