"""The NFNet itself, readable next to appendix C of arXiv 2102.06171."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.families.base import StandardisedWeight
from levelfield.families.gelu import gelu
from levelfield.families.nfnet.spec import ALPHA, SQUEEZE_RATIO, BlockShape, Gelu, NFNetSpec, Padding
from levelfield.families.nfnet.standardise import CLAMP_FLOOR, TIMM_EPS, Standardisation, StandardisedConv2d
from levelfield.families.noise import DropSite, KeyedNoise
from levelfield.families.pixels import handed

# Makes the output of gelu have unit variance for unit normal input (nfnets/base.py, a sample estimate).
GELU_GAMMA = 1.7015043497085571
SQUEEZE_GAIN = 2.0
CLASSIFIER_STD = 0.01
APPROXIMATE: dict[Gelu, str] = {"tanh": "tanh", "erf": "none"}


class NFBlock(nn.Module):
    """Pre-activation bottleneck with two grouped 3x3 convolutions and squeeze-excite.

    (batch, height, width, in) to (batch, height / stride, width / stride, out).
    """

    def __init__(
        self, shape: BlockShape, *, gelu: Gelu, padding: Padding, stochastic_depth: float, noise: KeyedNoise
    ) -> None:
        super().__init__()
        mid, out, groups = shape.mid_channels, shape.out_channels, shape.groups
        entry = GELU_GAMMA * shape.input_scale
        self.approximate, self.stride = APPROXIMATE[gelu], shape.stride
        self.skip = DropSite(noise, stochastic_depth * shape.drop_fraction, whole=True, rescaled=False)
        self.shortcut = StandardisedConv2d(shape.in_channels, out, 1, input_scale=entry) if shape.projects else None
        self.conv1 = StandardisedConv2d(shape.in_channels, mid, 1, input_scale=entry)
        self.conv2 = StandardisedConv2d(
            mid, mid, 3, stride=shape.stride, groups=groups, input_scale=GELU_GAMMA, padding=padding
        )
        self.conv3 = StandardisedConv2d(mid, mid, 3, groups=groups, input_scale=GELU_GAMMA)
        self.conv4 = StandardisedConv2d(mid, out, 1, input_scale=GELU_GAMMA)
        self.squeeze = _linear(out, int(out * SQUEEZE_RATIO))
        self.excite = _linear(int(out * SQUEEZE_RATIO), out)
        self.skip_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        shortcut, active = x, gelu(x, approximate=self.approximate)
        if self.shortcut is not None:
            shortcut = self.shortcut(pool(active) if self.stride == 2 else active, weights)
        residual = self.conv1(active, weights)
        for conv in (self.conv2, self.conv3, self.conv4):
            residual = conv(gelu(residual, approximate=self.approximate), weights)
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(residual.mean((1, 2))))))
        # One number an image and channel carries squeeze-excite, its gain of 2, the skip gain and alpha.
        gate = gate * (SQUEEZE_GAIN * ALPHA * self.skip_gain)
        gate = self.skip(gate, self.training)
        return torch.addcmul(shortcut, residual, gate[:, None, None, :])


class NFNet(nn.Module):
    """Images (batch, channels, height, width) to logits (batch, num_outputs).

    ``dropout`` comes before the head. ``stochastic_depth`` is the rate that grows over the blocks as index /
    number of blocks; a dropped branch is not made up for by rescaling the kept ones (as released, unlike timm).
    """

    def __init__(
        self,
        spec: NFNetSpec,
        *,
        num_outputs: int,
        in_channels: int = 3,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec, self.num_features, self.noise = spec, spec.num_features, KeyedNoise()
        self.stem = nn.ModuleDict()
        channels = in_channels
        for index, (out, stride) in enumerate(zip(spec.stem_channels, spec.stem_strides, strict=True)):
            scale = GELU_GAMMA if index else 1.0
            self.stem[f"conv{index + 1}"] = StandardisedConv2d(
                channels, out, 3, stride=stride, input_scale=scale, padding=spec.padding
            )
            channels = out
        shapes = iter(spec.blocks)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                NFBlock(
                    next(shapes),
                    gelu=spec.gelu,
                    padding=spec.padding,
                    stochastic_depth=stochastic_depth,
                    noise=self.noise,
                )
                for _ in range(depth)
            )
            for depth in spec.depths
        )
        self.drop_features = DropSite(self.noise, dropout)
        self.final_conv = StandardisedConv2d(spec.widths[-1], self.num_features, 1)
        self.head = nn.Linear(self.num_features, num_outputs)
        nn.init.normal_(self.head.weight, std=CLASSIFIER_STD)
        nn.init.zeros_(self.head.bias)

        self._convs = tuple(module for module in self.modules() if isinstance(module, StandardisedConv2d))
        self.standardisation = Standardisation(self._convs, ws_rule=spec.ws_rule)
        self._folded: tuple[Tensor, ...] | None = None

    def standardised_weights(self) -> tuple[Tensor, ...]:
        """The weights that the activations meet, in the order of the modules: all that a forward pass needs of them."""
        return self.standardisation([conv.weight for conv in self._convs], [conv.gain for conv in self._convs])

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (batch, num_features)."""
        return self._last_map(images).mean((1, 2)) * GELU_GAMMA

    def feature_map(self, images: Tensor) -> Tensor:
        """The same before pooling (batch, num_features, height, width)."""
        return (self._last_map(images) * GELU_GAMMA).permute(0, 3, 1, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.drop_features(handed(self, images), self.head.training))

    def _last_map(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, height, width, num_features)."""
        weights = self.standardised_weights() if self._folded is None else self._folded
        approximate = APPROXIMATE[self.spec.gelu]
        x = images.permute(0, 2, 3, 1)
        for index, conv in enumerate(self.stem.values()):
            x = conv(gelu(x, approximate=approximate) if index else x, weights)
        for stage in self.stages:
            for block in stage:  # pyright: ignore[reportGeneralTypeIssues]
                x = block(x, weights)
        return gelu(self.final_conv(x, weights), approximate=approximate)

    @contextmanager
    def folded(self, dtype: torch.dtype | None = None) -> Iterator[None]:
        """See :class:`levelfield.families.base.Standardising`."""
        with torch.no_grad():
            weights = tuple(weight.to(dtype or weight.dtype) for weight in self.standardised_weights())
        with self.meeting(weights):
            yield

    @contextmanager
    def meeting(self, weights: tuple[Tensor, ...]) -> Iterator[None]:
        """See :class:`levelfield.families.base.Standardising`."""
        self._folded = weights
        try:
            yield
        finally:
            self._folded = None

    def standardised_parameters(self) -> tuple[StandardisedWeight, ...]:
        """See :class:`levelfield.families.base.Standardising`."""
        timm = self.spec.ws_rule == "timm"
        return tuple(
            StandardisedWeight(
                conv.weight,
                conv.gain,
                input_scale=conv.input_scale,
                floor=0.0 if timm else CLAMP_FLOOR,
                added=TIMM_EPS * conv.fan_in if timm else 0.0,
            )
            for conv in self._convs
        )


def build(
    spec: NFNetSpec,
    *,
    num_outputs: int,
    resolution: int,
    in_channels: int = 3,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> NFNet:
    """The network of ``spec``; any resolution will do, so ``resolution`` is ignored."""
    return NFNet(
        spec, num_outputs=num_outputs, in_channels=in_channels, dropout=dropout, stochastic_depth=stochastic_depth
    )


def _linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear map initialised as haiku does: normal with variance 1 / fan-in, cut at two deviations; zero bias."""
    linear = nn.Linear(in_features, out_features)
    std = in_features**-0.5
    nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(linear.bias)
    return linear


def pool(x: Tensor) -> Tensor:
    """2x2 average pooling of (batch, height, width, channels), SAME padding, which the averages leave out."""
    pooled = F.avg_pool2d(x.permute(0, 3, 1, 2), 2, ceil_mode=True, count_include_pad=False)
    return pooled.permute(0, 2, 3, 1)
