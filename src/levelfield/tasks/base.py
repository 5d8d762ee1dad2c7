"""What is learnt: the seam between a backbone and the loop."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class Task(Protocol):
    """Turns a batch into a loss to minimise and, held out, into per-example losses to report."""

    def training_loss(self, model: nn.Module, images: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """The scalar to minimise. ``images`` [B, C, H, W] float, ``labels`` [B] int64, ``valid`` [B] bool."""
        ...

    def held_out(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Plain loss in nats [B] float32 and whether the first answer is right [B] bool, one per example."""
        ...


def mean_over_valid(losses: Tensor, valid: Tensor) -> Tensor:
    """The mean of ``losses`` [B] where ``valid`` [B]; masked examples keep their place and weigh nothing."""
    return torch.where(valid, losses, 0.0).sum() / valid.sum().clamp(min=1)
