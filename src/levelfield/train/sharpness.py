"""Sharpness-aware minimisation: the gradient taken at the worst point near the weights.

Source: Foret et al., "Sharpness-aware minimization for efficiently improving generalization", arXiv 2010.01412,
equation 2 and algorithm 1. Brock et al., 2102.06171, climb on a fifth of the same batch at equal quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from levelfield.train.clipping import global_norm, gradients_of

# Against division by zero where the loss is flat: the step is then zero.
_NORM_FLOOR = 1e-12


@contextmanager
def climbed(parameters: Sequence[Tensor], *, rho: float) -> Iterator[None]:
    """Move ``parameters`` by ``rho`` in joint L2 norm along their gradients, and back when the block is left.

    Both moves are in place, so views and captured pointers stay true; the way back copies, since subtracting what was
    added would leave rounding behind. The gradients are taken off: what the block leaves is its own.

    Raises:
        ValueError: a parameter has no gradient.
    """
    with torch.no_grad():
        scale = rho / global_norm(parameters).clamp(min=_NORM_FLOOR)
        start = [parameter.detach().clone() for parameter in parameters]
        torch._foreach_add_(list(parameters), torch._foreach_mul(gradients_of(parameters), scale))
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(list(parameters), start)
