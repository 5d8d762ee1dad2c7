"""What every family offers: a torch-free spec that knows its text, its layers and its parameters, and a backbone.

The training loop, the counter and the studies see families through these protocols only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from levelfield.records.codec import record
from levelfield.records.errors import SpecError
from levelfield.records.head import Head, LinearHead

if TYPE_CHECKING:
    import torch

    from levelfield.families.noise import KeyedNoise

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

LayerKind: TypeAlias = Literal[
    "conv", "linear", "attention", "norm", "batch_norm", "skip_gain", "position", "token", "resample"
]


@record
class Layer:
    """One layer for one example: its parameters, and the multiply-accumulates of a forward pass.

    Only convolutions, linear maps, resampling and attention products have ``forward_macs``; ``takes_image`` marks the
    layers whose input is the image, which need no gradient with respect to it. A "batch_norm" ties the examples of a
    batch together while it trains. A "resample" is a fixed linear map between grids, which learns nothing.
    """

    name: str
    kind: LayerKind
    params: int
    forward_macs: int = 0
    takes_image: bool = False


@record
class Body:
    """A backbone without a head: its layers, and how many features it hands to one.

    ``pooling`` are those layers that pooled features need and a map of them does not. The last map has ``map_side``
    cells along a side; None where the family hands out pooled features alone.
    """

    layers: tuple[Layer, ...]
    num_features: int
    pooling: tuple[Layer, ...] = ()
    map_side: int | None = None


HEAD_ROLES: dict[str, ParameterRole] = {
    "head.weight": "classifier_kernel",
    "head.bias": "classifier_bias",
    "head.norm.weight": "norm",
    "head.norm.bias": "norm",
    "head.conv.weight": "classifier_kernel",
    "head.conv.bias": "classifier_bias",
}
"""What the parameters of heads are for, whatever they stand on."""


def head_layers(head: Head, body: Body, *, resolution: int) -> tuple[Layer, ...]:
    """What ``head`` adds to the layers of ``body`` at images of ``resolution`` pixels.

    Raises:
        SpecError: it needs a map of features, and there is none.
    """
    weights = body.num_features * head.num_outputs
    if isinstance(head, LinearHead):
        return (Layer(name="head", kind="linear", params=weights + head.num_outputs, forward_macs=weights),)
    if body.map_side is None:
        raise SpecError(
            "a head that answers every pixel needs the last map of features, and this network hands out pooled ones "
            "alone: take an nfnet, a vit, or a ConvNet of timm's that ends in pooling"
        )
    grid = -(-resolution // head.output_stride)
    to_grid = _resample_macs(body.map_side, grid, body.num_features)
    to_pixels = _resample_macs(grid, resolution, head.num_outputs)
    return (
        Layer(name="head.to_grid", kind="resample", params=0, forward_macs=to_grid),
        Layer(name="head.norm", kind="batch_norm", params=2 * body.num_features),
        Layer(name="head.conv", kind="conv", params=weights + head.num_outputs, forward_macs=weights * grid**2),
        Layer(name="head.to_pixels", kind="resample", params=0, forward_macs=to_pixels),
    )


def _resample_macs(old: int, new: int, channels: int) -> int:
    """Multiply-accumulates of bringing ``channels`` maps of ``old`` cells a side to ``new``, columns before rows."""
    return 0 if old == new else channels * (old * old * new + new * old * new)


class FamilySpec(Protocol):
    """A frozen, hashable, torch-free description of one architecture.

    ``text`` is canonical: ``parse(spec.text) == spec``, and equal architectures have equal text.
    """

    @property
    def family(self) -> str: ...

    @property
    def text(self) -> str: ...


class StandardisedWeight(NamedTuple):
    """A weight that activations meet as ``input_scale * gain * (weight - mean) * r``, output by output: r =
    rsqrt(max(energy, floor) + added), and the energy the sum of squared deviations from the mean."""

    weight: torch.nn.Parameter
    gain: torch.nn.Parameter
    input_scale: float
    floor: float
    added: float


@runtime_checkable
class Standardising(Protocol):
    """A network with weights that are standardised before activations meet them."""

    def standardised_parameters(self) -> tuple[StandardisedWeight, ...]:
        """Those weights, in the order in which :meth:`meeting` takes what became of them."""
        ...

    def meeting(self, weights: tuple[torch.Tensor, ...]) -> AbstractContextManager[None]:
        """Let activations meet ``weights`` inside, standardised already; gradients reach them, not the parameters."""
        ...

    def folded(self, dtype: torch.dtype | None = None) -> AbstractContextManager[None]:
        """Standardise the weights once for all forward passes inside, and round them to ``dtype`` where it is said;
        gradients do not reach the parameters. Bits are those of standardising in every pass, under autocast to
        ``dtype``."""
        ...


@runtime_checkable
class Backbone(Protocol):
    """What a family's ``model.build`` returns, beside being an ``nn.Module``: images in, outputs out, and a ``head``
    over ``features`` or over ``feature_map`` (:func:`levelfield.families.pixels.handed`)."""

    @property
    def spec(self) -> Any: ...

    @property
    def num_features(self) -> int: ...

    @property
    def noise(self) -> KeyedNoise:
        """Where all that is dropped while training comes from: nothing in a network draws by torch's generators."""
        ...

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) to pooled (batch, num_features), as the head sees them."""
        ...

    def feature_map(self, images: torch.Tensor) -> torch.Tensor:
        """The same to the last map of features (batch, num_features, side, side), before pooling."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(batch, channels, height, width) to outputs (batch, num_outputs, ...)."""
        ...
