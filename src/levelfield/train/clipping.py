"""Gradient clipping: adaptive (AGC) for normaliser-free networks, global for transformers.

Source of AGC: 2102.06171 section 4 and its released optimiser. Per output unit i, if |G_i| / max(|W_i|, eps) > lambda,
scale G_i to lambda * max(|W_i|, eps).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# 2102.06171's code guards the gradient norm against division by zero by this floor.
_GRADIENT_NORM_FLOOR = 1e-6


def unit_axis(tensor: Tensor) -> int | None:
    """The axis along which AGC's units lie: outputs, or positions, come first; a vector or scalar is one unit.

    Source: 2102.06171 section 4.1 and the released ``unitwise_norm``.
    """
    return 0 if tensor.ndim > 1 else None


def unit_norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The L2 norm of every unit, shaped to broadcast."""
    return [
        torch.linalg.vector_norm(tensor)
        if unit_axis(tensor) is None
        else torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)
        for tensor in tensors
    ]


@torch.no_grad()
def clip_adaptively(parameters: Sequence[Tensor], *, clip_lambda: float, eps: float = 1e-3) -> list[Tensor]:
    """Scale the gradients of ``parameters`` in place by AGC; a zero-initialised tensor still moves, by lambda * eps.

    Gives what units were multiplied by, tensor by tensor: less than 1 where they were clipped.

    Raises:
        ValueError: a parameter has no gradient.
    """
    gradients = gradients_of(parameters)
    largest = torch._foreach_clamp_min(unit_norms(parameters), eps)
    torch._foreach_mul_(largest, clip_lambda)
    scales = torch._foreach_div(largest, torch._foreach_clamp_min(unit_norms(gradients), _GRADIENT_NORM_FLOOR))
    torch._foreach_clamp_max_(scales, 1.0)
    torch._foreach_mul_(gradients, scales)
    return list(scales)


@torch.no_grad()
def global_norm(parameters: Sequence[Tensor]) -> Tensor:
    """The L2 norm of all gradients together, a scalar; not finite where any gradient is not."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients_of(parameters))))


@torch.no_grad()
def clip_globally(parameters: Sequence[Tensor], *, norm: Tensor, max_norm: float) -> None:
    """Scale all gradients in place so that their joint ``norm`` is at most ``max_norm``."""
    scale = torch.clamp(max_norm / norm.clamp(min=_GRADIENT_NORM_FLOOR), max=1.0)
    torch._foreach_mul_(gradients_of(parameters), scale)


def gradients_of(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of every parameter.

    Raises:
        ValueError: a parameter has none.
    """
    gradients = [parameter.grad for parameter in parameters]
    if any(gradient is None for gradient in gradients):
        raise ValueError("every clipped parameter needs a gradient; a frozen one must not be listed")
    return gradients  # pyright: ignore[reportReturnType]
