"""What a network is judged in: weights that are made for activations, made once and not for every batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from levelfield.families.base import Standardising


def weights_held(network: nn.Module, *, half: bool) -> AbstractContextManager[None]:
    """What forward passes of ``network`` run in where nothing changes its weights: they are standardised once, with
    all that is folded into them, and rounded to bfloat16 where the network computes in it (``half``, under autocast).

    Not one bit of what it computes changes, so no result depends on whether this was used.
    """
    if not isinstance(network, Standardising):
        return nullcontext()
    return network.folded(torch.bfloat16 if half else None)
