"""Single-label classification by softmax cross-entropy."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.tasks.base import mean_over_valid


class Classification:
    """Cross-entropy, smoothed by the recipe in training and plain when held out."""

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def training_loss(self, model: nn.Module, images: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        logits = model(images).float()
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        return mean_over_valid(losses, valid)

    def held_out(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(images).float()
        return F.cross_entropy(logits, labels, reduction="none"), logits.argmax(dim=1) == labels
