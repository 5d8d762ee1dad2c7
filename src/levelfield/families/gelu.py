"""gelu, by torch's operator or by one of equal value that an engine brings: the same function, to rounding.

torch's gelu by tanh takes twice as long on a CPU as that by erf, forward and backward, in float32 and in bfloat16;
x sigmoid(2u) is the same function (benchmarks/results/gelu_cpu_202611.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.native.library import Kernels

_KERNELS: ContextVar[Kernels | None] = ContextVar("gelu_by", default=None)


@contextmanager
def gelu_by(kernels: Kernels | None) -> Iterator[None]:
    """Let :func:`gelu` call ``kernels`` where it can; None is torch's own operator."""
    token = _KERNELS.set(kernels)
    try:
        yield
    finally:
        _KERNELS.reset(token)


def gelu(x: Tensor, *, approximate: str) -> Tensor:
    """gelu of ``x``, "none" by erf or "tanh" by its approximation."""
    kernels = _KERNELS.get()
    if kernels is None or approximate != "tanh" or not _is_plain(x):
        return F.gelu(x, approximate=approximate)
    return _Gelu.apply(x, kernels)  # pyright: ignore[reportReturnType]


def _is_plain(x: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or x.device.type != "cpu":
        return False
    return x.dtype in (torch.float32, torch.bfloat16) and x.is_contiguous()


class _Gelu(torch.autograd.Function):
    """The kernels' gelu, differentiable once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Kernels) -> Tensor:
        ctx.kernels = kernels
        ctx.save_for_backward(x)
        return kernels.gelu(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        if gradient.stride() != x.stride():
            gradient = torch.empty_like(x).copy_(gradient)
        return ctx.kernels.gelu_backward(x, gradient), None
