"""Single-label classification by softmax cross-entropy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from levelfield.records.errors import SpecError
from levelfield.records.fields import OWN_SHARE, PARTNER, FieldFacts
from levelfield.records.head import LinearHead
from levelfield.records.measure import Measure
from levelfield.records.trial import RecipeSpec
from levelfield.tasks.base import Fields

if TYPE_CHECKING:
    from torch import Tensor


class Classification:
    """Cross-entropy, smoothed by the recipe in training and plain when held out; and the share of wrong answers."""

    fields = ("image", "label")
    additive = True

    def head(self, known: FieldFacts) -> LinearHead:
        return LinearHead(num_outputs=_num_classes(known))

    def measures(self, known: FieldFacts) -> tuple[Measure, ...]:
        classes, noise = _num_classes(known), known.label_noise
        entropy, wrong = (None, None) if noise is None else noise_floors(noise, classes)
        return (
            Measure(name="loss", unit="nats", chance=math.log(classes), floor=entropy),
            Measure(name="error", unit="share", chance=1 - 1 / classes, floor=wrong),
        )

    def weight(self, fields: Fields, valid: Tensor) -> Tensor:
        return valid.sum()

    def loss(self, outputs: Tensor, fields: Fields, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        import torch
        import torch.nn.functional as F

        smoothed = recipe.label_smoothing
        losses = F.cross_entropy(outputs.float(), fields["label"], reduction="none", label_smoothing=smoothed)
        return torch.where(valid, losses, 0.0).sum()

    def mixed_loss(self, outputs: Tensor, fields: Fields, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        """The losses of both labels, each weighed by its share: those of the mixed target, since they are linear."""
        import torch
        import torch.nn.functional as F

        own, theirs = (
            F.cross_entropy(outputs.float(), fields[name], reduction="none", label_smoothing=recipe.label_smoothing)
            for name in ("label", PARTNER)
        )
        losses = torch.lerp(theirs, own, fields[OWN_SHARE])
        return torch.where(valid, losses, 0.0).sum()

    def scores(self, outputs: Tensor, fields: Fields) -> dict[str, Tensor]:
        import torch.nn.functional as F

        logits, labels = outputs.float(), fields["label"]
        return {
            "loss": F.cross_entropy(logits, labels, reduction="none"),
            "error": (logits.argmax(dim=1) != labels).float(),
        }


def noise_floors(label_noise: float, num_classes: int) -> tuple[float, float]:
    """The entropy, in nats, of a label that is one of the wrong ones with probability ``label_noise``, and how often
    the likeliest answer to it is wrong."""
    if label_noise == 0:
        return 0.0, 0.0
    kept, other = 1 - label_noise, label_noise / (num_classes - 1)
    return -kept * math.log(kept) - label_noise * math.log(other), 1 - max(kept, other)


def _num_classes(known: FieldFacts) -> int:
    if known.num_classes is None:
        raise SpecError("classification needs to know how many classes the labels are of; this data does not say")
    return known.num_classes
