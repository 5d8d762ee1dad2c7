"""Scaled weight standardisation: the convolution that lets an NFNet do without normalisation layers.

A small net has hundreds of tiny operations here if each weight is standardised on its own, and they cost more than its
convolutions. So all weights are standardised together: those of equal fan-in are one matrix, a row for each output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from levelfield.families.nfnet.spec import Padding, WsRule

CLAMP_FLOOR = 1e-4  # of var * fan_in: nfnets/base.py, WSConv2D
TIMM_EPS = 1e-5  # added to the raw variance: timm/layers/std_conv.py, ScaledStdConv2d


class StandardisedConv2d(nn.Module):
    """A convolution of ``input_scale * x`` by its standardised weight, in (batch, height, width, channels).

    ``input_scale`` holds what the activation before it is multiplied by (gamma and beta): a convolution is linear, so
    the constant costs nothing in the weight and a pass over the activations elsewhere. ``gain`` is one vector, which
    makes it one unit for adaptive clipping. ``index`` is the place of its weight among those standardised together.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        input_scale: float = 1.0,
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        weight = torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size)
        self.weight = nn.Parameter(weight.to(memory_format=torch.channels_last))
        self.gain = nn.Parameter(torch.ones(out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.stride, self.groups, self.input_scale = stride, groups, input_scale
        self.padding: Padding = padding
        self.index = -1
        nn.init.normal_(self.weight, std=self.fan_in**-0.5)

    @property
    def fan_in(self) -> int:
        return self.weight[0].numel()

    def forward(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """``weights`` are what a :class:`Standardisation` returned for the whole net."""
        return convolve(x, weights[self.index], self.bias, stride=self.stride, groups=self.groups, padding=self.padding)


def convolve(x: Tensor, weight: Tensor, bias: Tensor, *, stride: int, groups: int, padding: Padding) -> Tensor:
    """(batch, height, width, in) by ``weight`` (out, in / groups, kernel, kernel), a weight as activations meet it."""
    border = weight.shape[-1] // 2
    if stride == 2 and padding == "same":
        # TF's SAME pads an even side at its far end only; symmetric padding would give other features (35 % off).
        near_h, near_w = (side % 2 for side in x.shape[1:3])
        x, border = F.pad(x, (0, 0, near_w, 1, near_h, 1)), 0
    x = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, border, 1, groups)
    return x.permute(0, 2, 3, 1)


class Standardisation(nn.Module):
    """Standardises the weights of all ``convs``, and tells each its place among them.

    A weight becomes ``input_scale * gain * (weight - mean) * r`` with statistics over an output's fan-in, biased
    variance, and r = rsqrt(max(var * fan_in, 1e-4)) for ``clamp``, rsqrt(var + 1e-5) / sqrt(fan_in) for ``timm``.

    Source: arXiv 2102.06171 section 3 and nfnets/base.py; timm/layers/std_conv.py for its rule.
    """

    def __init__(self, convs: Sequence[StandardisedConv2d], *, ws_rule: WsRule) -> None:
        super().__init__()
        self.ws_rule: WsRule = ws_rule
        self.groups: list[list[int]] = []
        by_fan_in: dict[int, list[int]] = {}
        for index, conv in enumerate(convs):
            conv.index = index
            by_fan_in.setdefault(conv.fan_in, []).append(index)
        for members in by_fan_in.values():
            rows = torch.cat([torch.full((len(convs[i].gain), 1), convs[i].input_scale) for i in members])
            self.register_buffer(f"row_scale{len(self.groups)}", rows, persistent=False)
            self.groups.append(members)

    def forward(self, weights: Sequence[Tensor], gains: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The standardised weights, each (out, in / groups, height, width), in the order of the convolutions."""
        return _Standardise.apply(self.ws_rule, self.groups, list(self.buffers()), *weights, *gains)  # pyright: ignore[reportReturnType]


class _Standardise(torch.autograd.Function):
    """All weights at once, forward and backward in closed form over the rows of equal fan-in."""

    @staticmethod
    def forward(
        ctx: Any, ws_rule: WsRule, groups: list[list[int]], row_scales: list[Tensor], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        weights, gains = tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]
        outputs: list[Tensor] = [*weights]
        saved: list[Tensor] = []
        for members, row_scale in zip(groups, row_scales, strict=True):
            matrix = _rows([weights[i] for i in members])
            centred = matrix - matrix.mean(1, keepdim=True)
            energy = (centred * centred).sum(1, keepdim=True)  # var * fan_in
            energy = energy.add_(TIMM_EPS * matrix.shape[1]) if ws_rule == "timm" else energy.clamp_(min=CLAMP_FLOOR)
            inverse = energy.rsqrt_()
            factor = torch.cat([gains[i] for i in members])[:, None] * row_scale * inverse
            _scatter(centred * factor, members, into=outputs)
            saved += [centred, inverse, factor, row_scale]
        ctx.ws_rule, ctx.groups = ws_rule, groups
        ctx.save_for_backward(*saved)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight_grads: list[Tensor] = [*grads]
        gain_grads: list[Tensor] = [*grads]
        for group, members in enumerate(ctx.groups):
            centred, inverse, factor, row_scale = ctx.saved_tensors[4 * group : 4 * group + 4]
            grad = _rows([grads[i] for i in members])
            slope = (grad * centred).sum(1, keepdim=True).mul_(inverse)  # of the loss, in input_scale * gain
            for i, part in zip(members, (slope * row_scale).view(-1).split(_sizes(members, grads)), strict=True):
                gain_grads[i] = part
            spread = slope.mul_(inverse)
            if ctx.ws_rule == "clamp":  # a clamped row's scale does not depend on its weights
                spread.mul_(inverse < CLAMP_FLOOR**-0.5)
            change = (grad - grad.mean(1, keepdim=True)).addcmul_(centred, spread, value=-1).mul_(factor)
            _scatter(change, members, into=weight_grads)
        return None, None, None, *weight_grads, *gain_grads


def _sizes(members: Sequence[int], tensors: Sequence[Tensor]) -> list[int]:
    return [len(tensors[i]) for i in members]


def _rows(weights: Sequence[Tensor]) -> Tensor:
    """(total outputs, fan-in) from weights of one fan-in; a row holds height, width, then channels."""
    rows = [weight.permute(0, 2, 3, 1).flatten(1) for weight in weights]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _scatter(rows: Tensor, members: Sequence[int], *, into: list[Tensor]) -> None:
    """Put each member's rows back into its place and shape, as a channels-last view."""
    for i, part in zip(members, rows.split(_sizes(members, into)), strict=True):
        out, channels, height, width = into[i].shape
        into[i] = part.view(out, height, width, channels).permute(0, 3, 1, 2)
