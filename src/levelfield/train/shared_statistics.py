"""BatchNorm over ranks: the statistics of the whole global batch where each rank runs a share of it.

torch's SyncBatchNorm runs on GPUs alone and would be another module in the network; here the one function that
normalises is taken over while a share runs, so that every BatchNorm layer of any network takes part.

Source: docs/decisions/0018-batch-statistics.md; the sums are merged as in Chan, Golub and LeVeque, "Updating formulae
and a pairwise algorithm for computing sample variances" (1979), in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from levelfield.families.tensors import batch_norms
from levelfield.records.errors import SpecError
from levelfield.train.ranks import Ranks


@contextmanager
def statistics_over(ranks: Ranks, network: nn.Module, valid: Tensor) -> Iterator[None]:
    """Inside, ``network`` runs this rank's share of a batch with the statistics of the ``valid`` [B] of all shares.

    Raises:
        SpecError: one of its BatchNorm layers has taken its statistics in another way.
    """
    layers = sum(layer.training for layer in batch_norms(network).values())
    mode = _OverRanks(ranks, valid)
    with mode:
        yield
    if mode.calls < layers:
        raise SpecError(
            f"{layers - mode.calls} of {layers} BatchNorm layers normalise by a way of their own, which cannot be "
            "shared by several devices: run this trial on one"
        )


class _OverRanks(TorchFunctionMode):
    def __init__(self, ranks: Ranks, valid: Tensor) -> None:
        super().__init__()
        self.calls = 0
        self._ranks, self._valid = ranks, valid

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm:
            return self._normalised(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _normalised(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        self.calls += 1
        y: Any = _Standardise.apply(x, self._valid, self._ranks, eps)
        wide = (1, -1, *(1,) * (x.ndim - 2))
        if weight is not None:
            y = y * weight.view(wide)
        if bias is not None:
            y = y + bias.view(wide)
        return y.to(x.dtype)


class _Standardise(torch.autograd.Function):
    """``x`` [B, C, ...] less its mean, over its deviation, both of all ``valid`` [B] examples of all ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, valid: Tensor, ranks: Ranks, eps: float) -> Tensor:
        x = x.to(torch.promote_types(torch.float32, x.dtype))
        axes, wide = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
        counts = valid.view(-1, *(1,) * (x.ndim - 1)).to(x.dtype)
        number = counts.sum().double() * (x[0, 0].numel())
        mean = (x * counts).sum(axes).double() / number.clamp(min=1)
        spread = ((x - mean.to(x.dtype).view(wide)).square() * counts).sum(axes).double()
        sums = ranks.total(torch.cat([number.reshape(1), number * mean, spread + number * mean.square()]))
        total, first, second = sums[0].clamp(min=1), *sums[1:].chunk(2)
        centre = first / total
        deviation = (second / total - centre.square()).clamp(min=0)
        inverse = (deviation + eps).rsqrt().to(x.dtype).view(wide)
        y = (x - centre.to(x.dtype).view(wide)) * inverse
        ctx.save_for_backward(y, inverse, counts, total)
        ctx.ranks = ranks
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        y, inverse, counts, total = ctx.saved_tensors
        gradient = gradients[0] * counts
        axes, wide = (0, *range(2, y.ndim)), (1, -1, *(1,) * (y.ndim - 2))
        sums = torch.cat([gradient.sum(axes).double(), (gradient * y).sum(axes).double()])
        mean, slope = (each.to(y.dtype).view(wide) for each in (ctx.ranks.total(sums) / total).chunk(2))
        return (gradient - mean - y * slope) * counts * inverse, None, None, None
