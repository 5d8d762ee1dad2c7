"""What every family offers: a torch-free spec that knows its text, its layers and its parameters, and a backbone.

The training loop, the counter and the studies see families through these protocols only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from levelfield.records.codec import record

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
    "paired_kernel",  # kernels of what pairs images with texts: decayed, and never clipped unit by unit
    "paired",  # all else of it
    "actor_kernel",  # kernels of what acts: decayed, and never clipped unit by unit
    "actor",  # its biases
]

LayerKind: TypeAlias = Literal[
    "conv",
    "linear",
    "attention",
    "norm",
    "batch_norm",
    "skip_gain",
    "position",
    "token",
    "resample",
    "embedding",
    "scale",
]


@record
class Layer:
    """One layer for one example: its parameters, and the multiply-accumulates of a forward pass.

    Only convolutions, linear maps, resampling and attention products have ``forward_macs``; ``takes_image`` marks the
    layers whose input is the image or another field, which need no gradient with respect to it. A "batch_norm" ties the
    examples of a batch together while it trains. A "resample" is a fixed linear map between grids, which learns
    nothing. An "embedding" is looked up.
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
