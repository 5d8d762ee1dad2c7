"""The head that answers every pixel, and how a map of features is brought to another grid."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.records.head import PixelHead

PIXEL_CLASSIFIER_STD = 0.01
"""As OpenMMLab's segmentation heads begin (mmseg decode_head.py, ``init_cfg``), the same for every family."""


class PixelClassifier(nn.Module):
    """A feature map (batch, num_features, side, side) to logits (batch, num_outputs, resolution, resolution).

    Resampling is two products with a fixed matrix, rows and columns apart: that adds up in one order on every device,
    which the backward pass of interpolation on GPUs does not.
    """

    def __init__(self, head: PixelHead, *, num_features: int, map_side: int, resolution: int) -> None:
        super().__init__()
        grid = grid_side(resolution, head.output_stride)
        self.register_buffer("to_grid", resampling(map_side, grid), persistent=False)
        self.register_buffer("to_pixels", resampling(grid, resolution), persistent=False)
        self.norm = nn.BatchNorm2d(num_features)
        self.conv = nn.Conv2d(num_features, head.num_outputs, 1)
        nn.init.normal_(self.conv.weight, std=PIXEL_CLASSIFIER_STD)
        nn.init.zeros_(self.conv.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, features: Tensor) -> Tensor:
        cells = resampled(features, self.get_buffer("to_grid"))
        return resampled(self.conv(self.norm(cells)), self.get_buffer("to_pixels"))


def handed(network: Any, images: Tensor) -> Tensor:
    """What a :class:`levelfield.families.base.Backbone` hands to its head: pooled features, or the map of them."""
    return network.feature_map(images) if isinstance(network.head, PixelClassifier) else network.features(images)


def grid_side(resolution: int, output_stride: int) -> int:
    """Cells along a side of an image of ``resolution`` pixels; what is left over has a cell of its own."""
    return -(-resolution // output_stride)


def resampling(old: int, new: int) -> Tensor:
    """The matrix [new, old] that brings a line of ``old`` cells to ``new``: a mean of the cells that a coarser one
    covers, or linear between the centres of cells where it is finer.

    Equal to torch's ``interpolate`` with mode "area" and with mode "linear", ``align_corners=False``.
    """
    eye = torch.eye(old)[:, None]
    how: dict[str, Any] = {"mode": "area"} if new <= old else {"mode": "linear", "align_corners": False}
    return F.interpolate(eye, size=new, **how)[:, 0].T.contiguous()


def resampled(x: Tensor, matrix: Tensor) -> Tensor:
    """``x`` [..., side, side] with either axis multiplied by ``matrix`` [new, side]; itself where the side stays."""
    if matrix.shape[0] == matrix.shape[1]:
        return x
    return F.linear(F.linear(x, matrix).transpose(-1, -2), matrix).transpose(-1, -2)
