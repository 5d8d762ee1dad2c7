"""The class of every pixel by softmax cross-entropy; see docs/decisions/0019-segmentation.md for what decides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from levelfield.records.errors import SpecError
from levelfield.records.fields import IGNORED, FieldFacts
from levelfield.records.head import PixelHead
from levelfield.records.measure import Measure
from levelfield.records.trial import RecipeSpec
from levelfield.tasks.base import Fields

if TYPE_CHECKING:
    from torch import Tensor

OUTPUT_STRIDE = 8
"""Pixels to a cell of the map that is classified, whatever a family's own stride is.

Source: the finest stride at which dilated ConvNets are run (arXiv 1706.05587, section 4.1).
"""

PIXEL_ERROR = "pixel error"
IMAGE_MIOU = "image mIoU"
MIOU = "mIoU"


class Segmentation:
    """Cross-entropy a pixel, smoothed by the recipe in training and plain when held out; the share of wrong pixels; and
    the mean intersection over union of the classes of a picture. Pixels of no class weigh nothing.

    Of a split as a whole it counts which class was called which, whence the customary mIoU.
    """

    fields = ("image", "mask")
    additive = True

    def head(self, known: FieldFacts) -> PixelHead:
        return PixelHead(num_outputs=_num_classes(known), output_stride=OUTPUT_STRIDE)

    def measures(self, known: FieldFacts) -> tuple[Measure, ...]:
        classes = _num_classes(known)
        return (
            Measure(name="loss", unit="nats", chance=math.log(classes)),
            Measure(name=PIXEL_ERROR, unit="share", chance=1 - 1 / classes),
            Measure(name=IMAGE_MIOU, better="higher", ceiling=1.0),
        )

    def weight(self, fields: Fields, valid: Tensor) -> Tensor:
        return (_judged(fields) & valid[:, None, None]).sum()

    def loss(self, outputs: Tensor, fields: Fields, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        import torch

        losses = _losses(outputs, fields, smoothed=recipe.label_smoothing)
        return torch.where(valid[:, None, None], losses, 0.0).sum()

    def scores(self, outputs: Tensor, fields: Fields) -> dict[str, Tensor]:
        judged = _judged(fields)
        pixels = judged.sum((1, 2)).clamp(min=1)
        wrong = judged & (outputs.argmax(dim=1) != fields["mask"])
        return {
            "loss": _losses(outputs, fields, smoothed=0.0).sum((1, 2)) / pixels,
            PIXEL_ERROR: wrong.sum((1, 2)) / pixels,
            IMAGE_MIOU: _mean_iou(self.tallies(outputs, fields)).float(),
        }

    def tallies(self, outputs: Tensor, fields: Fields) -> Tensor:
        """How many pixels of every class [i] of every picture were called every class [j]: int64 [B, C, C]."""
        import torch

        classes, judged = outputs.shape[1], _judged(fields)
        pair = fields["mask"].long() * classes + outputs.argmax(dim=1)
        pair += classes**2 * torch.arange(len(outputs), device=outputs.device)[:, None, None]
        counted = torch.bincount(pair[judged], minlength=len(outputs) * classes**2)
        return counted.view(len(outputs), classes, classes)

    def whole(self, total: Tensor) -> dict[str, float]:
        """The mIoU of all pictures together, of their confusion ``total`` [C, C]."""
        return {MIOU: float(_mean_iou(total[None])[0])}


def _mean_iou(confusion: Tensor) -> Tensor:
    """Of every confusion [B, C, C] the mean over the classes that occur in it, on either side; 1 where none does."""
    import torch

    both = confusion.diagonal(dim1=-2, dim2=-1).double()
    union = confusion.sum(-1) + confusion.sum(-2) - both
    occurs = union > 0
    ious = torch.where(occurs, both / union.clamp(min=1), 0.0).sum(-1)
    return torch.where(occurs.any(-1), ious / occurs.sum(-1).clamp(min=1), 1.0)


def _judged(fields: Fields) -> Tensor:
    return fields["mask"] != IGNORED


def _losses(outputs: Tensor, fields: Fields, *, smoothed: float) -> Tensor:
    """[B, H, W], 0 where a pixel is of no class."""
    import torch.nn.functional as F

    return F.cross_entropy(
        outputs.float(), fields["mask"].long(), ignore_index=IGNORED, reduction="none", label_smoothing=smoothed
    )


def _num_classes(known: FieldFacts) -> int:
    if known.num_classes is None:
        raise SpecError("segmentation needs to know how many classes the masks are of; this data does not say")
    return known.num_classes
