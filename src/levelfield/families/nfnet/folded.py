"""An NFNet for evaluation alone: its weights standardised once, so that plain convolutions are left."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.families.nfnet.model import APPROXIMATE, GELU_GAMMA, SQUEEZE_GAIN, Block, NFNet, pool
from levelfield.families.nfnet.spec import ALPHA, Padding
from levelfield.families.nfnet.standardise import StandardisedConv2d, convolve


class FoldedConv2d(nn.Module):
    """A convolution by a weight that holds gain and input scale already, (batch, height, width, channels).

    Kernels of one pixel too: without a backward pass the convolution is the faster one (benchmarks/results).
    """

    def __init__(self, conv: StandardisedConv2d, weight: Tensor) -> None:
        super().__init__()
        self.stride, self.groups = conv.stride, conv.groups
        self.padding: Padding = conv.padding
        self.register_buffer("weight", weight.detach().clone(memory_format=torch.channels_last))
        self.register_buffer("bias", conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.get_buffer("weight"), self.get_buffer("bias")
        return convolve(x, weight, bias, stride=self.stride, groups=self.groups, padding=self.padding)


class FoldedBlock(nn.Module):
    """What :class:`levelfield.families.nfnet.model.Block` computes in evaluation."""

    def __init__(self, block: Block, weights: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.approximate, self.stride = block.approximate, block.stride
        convs = (block.conv1, block.conv2, block.conv3, block.conv4)
        self.shortcut = FoldedConv2d(block.shortcut, weights[block.shortcut.index]) if block.shortcut else None
        self.conv1, self.conv2, self.conv3, self.conv4 = (FoldedConv2d(conv, weights[conv.index]) for conv in convs)
        self.squeeze, self.excite = _frozen(block.squeeze), _frozen(block.excite)
        self.scale = SQUEEZE_GAIN * ALPHA * block.skip_gain.item()

    def forward(self, x: Tensor) -> Tensor:
        shortcut, active = x, F.gelu(x, approximate=self.approximate)
        if self.shortcut is not None:
            shortcut = self.shortcut(pool(active) if self.stride == 2 else active)
        residual = self.conv1(active)
        for conv in (self.conv2, self.conv3, self.conv4):
            residual = conv(F.gelu(residual, approximate=self.approximate))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(residual.mean((1, 2))))))
        return torch.addcmul(shortcut, residual, (gate * self.scale)[:, None, None, :])


class FoldedNFNet(nn.Module):
    """Images (batch, channels, height, width) to the logits of ``model`` in evaluation."""

    def __init__(self, model: NFNet) -> None:
        super().__init__()
        with torch.no_grad():
            weights = model.standardised_weights()
        self.spec, self.num_features = model.spec, model.num_features
        self.approximate = APPROXIMATE[model.spec.gelu]
        stem = [conv for conv in model.stem.values() if isinstance(conv, StandardisedConv2d)]
        self.stem = nn.ModuleList(FoldedConv2d(conv, weights[conv.index]) for conv in stem)
        blocks = [module for module in model.modules() if isinstance(module, Block)]
        self.blocks = nn.ModuleList(FoldedBlock(block, weights) for block in blocks)
        self.final_conv = FoldedConv2d(model.final_conv, weights[model.final_conv.index])
        self.head = _frozen(model.head)
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (batch, num_features)."""
        x = images.permute(0, 2, 3, 1)
        for index, conv in enumerate(self.stem):
            x = conv(F.gelu(x, approximate=self.approximate) if index else x)
        for block in self.blocks:
            x = block(x)
        return F.gelu(self.final_conv(x), approximate=self.approximate).mean((1, 2)) * GELU_GAMMA

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def _frozen(linear: nn.Linear) -> nn.Linear:
    with torch.device("meta"):
        copy = nn.Linear(linear.in_features, linear.out_features)
    state = {name: tensor.detach().clone() for name, tensor in linear.state_dict().items()}
    copy.load_state_dict(state, assign=True)
    return copy.requires_grad_(False)
