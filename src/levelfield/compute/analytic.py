"""Compute counted by hand, layer by layer, without torch: the currency that every plan is made in.

Convention: convolutions, linear maps (resampling between grids is one) and attention products count, one
multiply-accumulate as 2 operations; what is elementwise does not (normalisation, activations, softmax, pooling,
standardisation, the optimiser). Training is one forward and one backward pass; the backward is twice the forward, less
the gradients that nobody needs: the image's, of all that is frozen, and of fixed maps.
"""

from __future__ import annotations

from levelfield.families.base import Layer
from levelfield.families.registry import Architecture, list_layers, parse
from levelfield.records.codec import record
from levelfield.records.head import Head, head_of
from levelfield.units import Flops

FLOPS_PER_MAC = 2
STATISTICS_EXAMPLES = 1024
"""Training examples that the statistics of BatchNorm are estimated on, once, before a network is judged.

Source: Wu and Johnson, arXiv 2105.07576, section 3: 1,000 to 10,000 do; docs/decisions/0018-batch-statistics.md.
"""


@record
class ComputeCount:
    """What one example costs ``architecture`` (canonical text) at ``resolution``; every number is exact."""

    architecture: str
    resolution: int
    num_outputs: int
    in_channels: int
    layers: tuple[Layer, ...]
    frozen: bool = False

    @property
    def params(self) -> int:
        return sum(layer.params for layer in self.layers)

    @property
    def forward_macs(self) -> int:
        return sum(layer.forward_macs for layer in self.layers)

    @property
    def forward_flops(self) -> int:
        return FLOPS_PER_MAC * self.forward_macs

    @property
    def backward_flops(self) -> int:
        """Gradients of weights and inputs, each as costly as the forward: no inputs of what comes before all that
        learns (what is given, and the backbone where it is ``frozen``), no weights of what learns nothing."""
        macs, learns_before = 0, False
        for layer in self.layers:
            frozen = self.frozen and not layer.name.startswith("head")
            learns = not frozen and layer.kind != "resample"
            needs_input = not (frozen or layer.takes_image) and (learns_before or not self.frozen)
            macs += layer.forward_macs * (learns + needs_input)
            learns_before |= learns
        return FLOPS_PER_MAC * macs

    @property
    def train_flops_per_example(self) -> int:
        return self.forward_flops + self.backward_flops

    @property
    def has_batch_norm(self) -> bool:
        """Whether the examples of a batch share statistics while training."""
        learning = (layer for layer in self.layers if layer.name.startswith("head") or not self.frozen)
        return any(layer.kind == "batch_norm" for layer in learning)

    @property
    def statistics_flops(self) -> int:
        """What estimating the statistics of BatchNorm costs a training run, once: forward alone; 0 without them."""
        return STATISTICS_EXAMPLES * self.forward_flops if self.has_batch_norm else 0

    def train_flops(self, examples: float) -> Flops:
        """Forward and backward over ``examples`` training examples."""
        return Flops(float(self.train_flops_per_example) * examples)

    def evaluate_flops(self, examples: float) -> Flops:
        """Forward alone over ``examples`` examples."""
        return Flops(float(self.forward_flops) * examples)


def count(
    architecture: Architecture,
    *,
    resolution: int,
    num_outputs: int | None = None,
    head: Head | None = None,
    in_channels: int = 3,
    frozen: bool = False,
) -> ComputeCount:
    """Parameters and compute of ``architecture`` (a text or a spec) on square images of ``resolution`` pixels, under
    ``head`` or a linear one of ``num_outputs``; ``frozen`` where that alone learns.

    Raises:
        SpecError: the text names no architecture, or it cannot take such images.

    Source: reproduces every published size of arXiv 2102.06171 and the ViT tables of arXiv 2106.04560 (tests/compute).
    """
    spec, head = parse(architecture), head_of(num_outputs, head)
    return ComputeCount(
        architecture=spec.text,
        resolution=resolution,
        num_outputs=head.num_outputs,
        in_channels=in_channels,
        layers=list_layers(spec, resolution=resolution, head=head, in_channels=in_channels),
        frozen=frozen,
    )


def train_flops(
    architecture: Architecture, *, examples: float, resolution: int, num_outputs: int, in_channels: int = 3
) -> Flops:
    """Training compute of ``examples`` examples; see :func:`count`."""
    counted = count(architecture, resolution=resolution, num_outputs=num_outputs, in_channels=in_channels)
    return counted.train_flops(examples)
