"""An NFNet for evaluation alone: its weights standardised once, so that plain convolutions are left."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.families.nfnet.fused import FusedConvolution, can_fuse
from levelfield.families.nfnet.model import APPROXIMATE, GELU_GAMMA, SQUEEZE_GAIN, NFBlock, NFNet, pool
from levelfield.families.nfnet.spec import ALPHA, Padding
from levelfield.families.nfnet.standardise import StandardisedConv2d, convolve
from levelfield.families.pixels import handed


class FoldedConv2d(nn.Module):
    """A convolution by a weight that holds gain and input scale already, (batch, height, width, channels).

    ``approximate`` names the gelu that follows, if one does. Kernels of one pixel are convolutions too: without a
    backward pass that is the faster way (benchmarks/results).
    """

    def __init__(self, conv: StandardisedConv2d, weight: Tensor, approximate: str | None = None) -> None:
        super().__init__()
        self.stride, self.groups, self.approximate = conv.stride, conv.groups, approximate
        self.padding: Padding = conv.padding
        self.register_buffer("weight", weight.detach().clone(memory_format=torch.channels_last))
        self.register_buffer("bias", conv.bias.detach().clone())
        self._fused: FusedConvolution | None = None

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.get_buffer("weight"), self.get_buffer("bias")
        geometry: dict[str, Any] = {"stride": self.stride, "groups": self.groups, "padding": self.padding}
        if can_fuse(x) and weight.dtype == x.dtype:
            if self._fused is None:
                self._fused = FusedConvolution(weight, bias, approximate=self.approximate, **geometry)
            return self._fused(x)
        x = convolve(x, weight, bias, **geometry)
        return x if self.approximate is None else F.gelu(x, approximate=self.approximate)

    def _apply(self, *arguments: Any, **options: Any) -> nn.Module:
        self._fused = None  # it holds the tensors that are about to move
        return super()._apply(*arguments, **options)


class FoldedBlock(nn.Module):
    """What :class:`levelfield.families.nfnet.model.NFBlock` computes in evaluation."""

    def __init__(self, block: NFBlock, weights: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.approximate, self.stride = block.approximate, block.stride
        self.shortcut = FoldedConv2d(block.shortcut, weights[block.shortcut.index]) if block.shortcut else None
        active = (block.conv1, block.conv2, block.conv3)
        self.branch = nn.Sequential(
            *(FoldedConv2d(conv, weights[conv.index], self.approximate) for conv in active),
            FoldedConv2d(block.conv4, weights[block.conv4.index]),
        )
        self.squeeze, self.excite = _frozen(block.squeeze), _frozen(block.excite)
        self.scale = SQUEEZE_GAIN * ALPHA * block.skip_gain.item()

    def forward(self, x: Tensor) -> Tensor:
        shortcut, active = x, F.gelu(x, approximate=self.approximate)
        if self.shortcut is not None:
            shortcut = self.shortcut(pool(active) if self.stride == 2 else active)
        residual = self.branch(active)
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(residual.mean((1, 2))))))
        return torch.addcmul(shortcut, residual, (gate * self.scale)[:, None, None, :])


class FoldedNFNet(nn.Module):
    """Images (batch, channels, height, width) to the logits of ``model`` in evaluation."""

    def __init__(self, model: NFNet) -> None:
        super().__init__()
        with torch.no_grad():
            weights = model.standardised_weights()
        self.spec, self.num_features = model.spec, model.num_features
        approximate = APPROXIMATE[model.spec.gelu]
        stem = [conv for conv in model.stem.values() if isinstance(conv, StandardisedConv2d)]
        between = [approximate] * (len(stem) - 1) + [None]
        self.stem = nn.Sequential(
            *(FoldedConv2d(conv, weights[conv.index], a) for conv, a in zip(stem, between, strict=True))
        )
        blocks = [module for module in model.modules() if isinstance(module, NFBlock)]
        self.blocks = nn.Sequential(*(FoldedBlock(block, weights) for block in blocks))
        self.final_conv = FoldedConv2d(model.final_conv, weights[model.final_conv.index], approximate)
        self.head = _frozen(model.head)
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (batch, num_features)."""
        return self._last_map(images).mean((1, 2)) * GELU_GAMMA

    def feature_map(self, images: Tensor) -> Tensor:
        """The same before pooling (batch, num_features, height, width)."""
        return (self._last_map(images) * GELU_GAMMA).permute(0, 3, 1, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(handed(self, images))

    def _last_map(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, height, width, num_features)."""
        return self.final_conv(self.blocks(self.stem(images.permute(0, 2, 3, 1))))


def _frozen(module: Any) -> Any:
    """A copy that learns nothing."""
    return copy.deepcopy(module).requires_grad_(False)
