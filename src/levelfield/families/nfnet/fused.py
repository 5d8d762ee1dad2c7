"""Convolution and gelu by one call of oneDNN, for evaluation in float32 on a CPU.

It is the operator that torch's own compiler puts there (torch/_inductor/fx_passes/mkldnn_fusion.py), with weights
reordered once for the images' shape. Where it cannot be used, the caller computes the same in two calls.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.families.nfnet.spec import Padding


def can_fuse(x: Tensor) -> bool:
    """Whether :class:`FusedConvolution` may take ``x``: a plain evaluation, neither differentiated nor exported."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not (torch.is_grad_enabled() and x.requires_grad)
    if not plain or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    if torch.is_autocast_enabled("cpu"):  # which casts what torch's own convolution is given, and not this
        return False
    return torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled and _OPERATOR is not None


def _operator() -> torch._ops.OpOverloadPacket | None:
    try:
        return torch.ops.mkldnn._convolution_pointwise
    except AttributeError:
        return None


_OPERATOR = _operator()


class FusedConvolution:
    """(batch, height, width, in) to (batch, height, width, out), gelu of it where ``approximate`` names one."""

    def __init__(
        self, weight: Tensor, bias: Tensor, *, stride: int, groups: int, padding: Padding, approximate: str | None
    ) -> None:
        self._kernel, self._bias = weight, bias
        self._stride, self._groups, self._padding = stride, groups, padding
        self._gelu = ("none", None) if approximate is None else ("gelu", approximate)
        self._shape: tuple[int, ...] = ()
        self._weight, self._border = weight, 0

    def __call__(self, x: Tensor) -> Tensor:
        """Of an ``x`` that :func:`can_fuse`."""
        odd = [side % 2 for side in x.shape[1:3]]
        uneven = self._stride == 2 and self._padding == "same"
        if uneven and any(odd):
            x = F.pad(x, (0, 0, odd[1], 1, odd[0], 1))
        x = x.permute(0, 3, 1, 2)
        if x.shape != self._shape:
            self._prepare(x, padded=uneven and any(odd), uneven=uneven)
        geometry = ([self._border] * 2, [self._stride] * 2, [1, 1], self._groups)
        attribute, algorithm = self._gelu
        assert _OPERATOR is not None
        y = _OPERATOR(x, self._weight, self._bias, *geometry, attribute, [], algorithm)
        return y.permute(0, 2, 3, 1)

    def _prepare(self, x: Tensor, *, padded: bool, uneven: bool) -> None:
        """Lay the weight out for images of the shape of ``x``."""
        kernel, self._border = self._kernel, 0 if padded else self._kernel.shape[-1] // 2
        if uneven and not padded:
            # SAME pads an even side at its far end alone. A row and a column of zero weights make symmetric padding
            # mean the same, and writing a padded copy of the images takes longer than multiplying by those zeros.
            kernel = F.pad(kernel, (1, 0, 1, 0)).contiguous(memory_format=torch.channels_last)
        geometry = ([self._border] * 2, [self._stride] * 2, [1, 1], self._groups, list(x.shape))
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(kernel, *geometry)
        self._shape = tuple(x.shape)
