"""What a network puts out for a batch, a part at a time, so that no more than one part's activations are in memory.

Parts run forward without a gradient; when the gradient with respect to the outputs is known, each runs again, with one.
The outputs of all of them are there in between, so a loss that is not additive over examples has its exact gradient:
"gradient caching" (Gao et al., arXiv 2101.06983, section 3.2). An extra forward pass is what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Run: TypeAlias = Callable[[slice], Tensor]
"""The outputs of a part of a batch, under whatever it must run in."""


def recomputed(run: Run, parts: Sequence[slice], *, device: torch.device) -> Tensor:
    """The outputs of all ``parts``, one after another. The backward pass leaves gradients in the parameters that
    ``run`` meets, and nowhere else."""
    if len(parts) == 1:
        return run(parts[0])
    return _Recomputed.apply(run, parts, torch.zeros((), device=device, requires_grad=True))  # pyright: ignore[reportReturnType]


def parts_of(whole: int, size: int | None) -> list[slice]:
    """``whole`` examples in parts of ``size``; the last holds what is left."""
    return [slice(start, min(start + (size or whole), whole)) for start in range(0, whole, size or max(1, whole))]


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Run, parts: Sequence[slice], asked: Tensor) -> Tensor:
        ctx.run, ctx.parts = run, parts
        ctx.half = torch.is_autocast_enabled(asked.device.type), torch.get_autocast_dtype(asked.device.type)
        ctx.device_type = asked.device.type
        with torch.no_grad():
            return torch.cat([run(part) for part in parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        enabled, dtype = ctx.half
        for part in ctx.parts:
            with torch.enable_grad(), torch.autocast(ctx.device_type, dtype, enabled=enabled):
                outputs = ctx.run(part)
            torch.autograd.backward(outputs, gradient[part])
        return None, None, None
