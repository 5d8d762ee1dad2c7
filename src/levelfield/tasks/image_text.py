"""Which text is of which image: contrastive pairing, judged by retrieval and by naming classes.

What a network puts out for an example is one row: where its image lies on the unit sphere, where each of its texts
does, the factor of similarities and what is added to them. See docs/decisions/0035-image-text.md for what decides.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from levelfield.data.transforms import fed
from levelfield.records.errors import SpecError
from levelfield.records.fields import FieldFacts
from levelfield.records.head import TextHead
from levelfield.records.measure import Measure
from levelfield.records.trial import RecipeSpec
from levelfield.tasks.base import Fields
from levelfield.tasks.retrieval import RECALLS, hits

if TYPE_CHECKING:
    from torch import Tensor

Objective: TypeAlias = Literal["sigmoid", "softmax"]

BEGINNINGS: dict[Objective, tuple[float, float | None]] = {"sigmoid": (10.0, -10.0), "softmax": (1 / 0.07, None)}
"""Factor of similarities and what is added to them, before anything is learnt.

Source: arXiv 2303.15343, section 3.2; arXiv 2103.00020, section 2.5.
"""

MEAN_RECALL = "mean recall"
ZERO_SHOT_ERROR = "zero-shot error"
IMAGE_TO_TEXT, TEXT_TO_IMAGE = "image to text", "text to image"

_FAR = -1e9
"""A logit of what is no candidate: its share is 0 in float32, and no gradient of it is NaN."""


class _Placed(NamedTuple):
    """What rows of outputs say: images [B, E], texts [B, C, E], and the factor and bias of similarities, [B] each."""

    images: Tensor
    texts: Tensor
    scale: Tensor
    bias: Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageText:
    """SigLIP's sigmoid loss over all pairs of a batch, or CLIP's softmax over its texts and over its images.

    The tower that reads texts has ``depth`` blocks of ``width`` features; both meet in ``embedding`` dimensions. A
    module of one's own names another size: ``Mine = functools.partial(ImageText, width=256, depth=6)``.
    """

    objective: Objective = "sigmoid"
    width: int = 32
    depth: int = 2
    heads: int = 2
    embedding: int = 64

    fields = ("image", "text")
    additive = False

    def head(self, known: FieldFacts) -> TextHead:
        if known.vocabulary is None or known.context is None:
            raise SpecError("image-text pairing needs texts as tokens; this data has none")
        scale, bias = BEGINNINGS[self.objective]
        return TextHead(
            num_outputs=self.embedding,
            vocabulary=known.vocabulary,
            context=known.context,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            scale=scale,
            bias=bias,
        )

    def measures(self, known: FieldFacts) -> tuple[Measure, ...]:
        """The mean of six recalls decides, as a shortfall from 1: the loss depends on the batch."""
        among = known.candidates
        by_chance = {most: None if among is None else min(1.0, most / among) for most in RECALLS}
        mean = None if among is None else sum(min(1.0, most / among) for most in RECALLS) / len(RECALLS)
        recalls = tuple(
            Measure(name=f"{way} recall@{most}", better="higher", chance=by_chance[most], ceiling=1.0)
            for way in (IMAGE_TO_TEXT, TEXT_TO_IMAGE)
            for most in RECALLS
        )
        named = ()
        if known.num_classes is not None:
            named = (Measure(name=ZERO_SHOT_ERROR, unit="share", chance=1 - 1 / known.num_classes),)
        guess = math.log(among) if among is not None and self.objective == "softmax" else None
        loss = Measure(name="loss", unit="nats", chance=guess, equal_batch=True)
        return (Measure(name=MEAN_RECALL, better="higher", chance=mean, ceiling=1.0), *recalls, *named, loss)

    def weight(self, fields: Fields, valid: Tensor) -> Tensor:
        return valid.sum()

    def answers(self, network: Any, fields: Fields) -> Tensor:
        """See :class:`levelfield.tasks.base.PairingTask`: [B, (1 + C) * E + 2]."""
        import torch

        images = network(fed(fields["image"]))
        texts = network.head.placed(fields["text"])
        scale, bias = (each.float().expand(len(images), 1) for each in network.head.similarity())
        return torch.cat([images, texts.flatten(1), scale, bias], dim=1)

    def loss(self, outputs: Tensor, fields: Fields, valid: Tensor, recipe: RecipeSpec) -> Tensor:
        import torch

        with torch.autocast(outputs.device.type, enabled=False):
            placed, smoothed = _placed(outputs, fields["text"].shape[1]), recipe.label_smoothing
            share = valid / valid.sum().clamp(min=1)  # the factor is one number: every whole example hands it back
            logits = placed.images @ placed.texts[:, 0].T * (placed.scale @ share) + placed.bias @ share
            if self.objective == "sigmoid":
                if smoothed:
                    raise SpecError("label_smoothing is of shares over candidates; the sigmoid loss has none: set it 0")
                return torch.where(valid, _sigmoid_losses(logits, valid), 0.0).sum()
            both = _softmax_losses(logits, valid, smoothed) + _softmax_losses(logits.T, valid, smoothed)
            return torch.where(valid, both / 2, 0.0).sum()

    def scores(self, outputs: Tensor, fields: Fields) -> dict[str, Tensor]:
        """Of the examples of a batch among one another."""
        import torch

        among = FieldFacts(candidates=len(outputs))
        return self.rankings(outputs, fields, torch.ones_like(outputs[:, 0], dtype=torch.bool), among, None)

    def rankings(
        self, outputs: Tensor, fields: Fields, valid: Tensor, known: FieldFacts, classes: Tensor | None
    ) -> dict[str, Tensor]:
        """See :class:`levelfield.tasks.base.RankingTask`: every example among ``known.candidates``, itself and its
        neighbours in the split; the last ones among as many before them."""
        import torch

        number = len(outputs)
        among = min(known.candidates or number, number)
        found: dict[str, list[Tensor]] = {}
        for start in range(0, number, among):
            first = min(start, number - among)
            block = slice(first, first + among)
            own = self._among(outputs[block], fields["text"][block], valid[block])
            for name, values in own.items():
                found.setdefault(name, []).append(values[start - first :])
        scores = {name: torch.cat(values) for name, values in found.items()}
        if classes is not None:
            placed = _placed(outputs.float(), fields["text"].shape[1])
            wrong = (placed.images @ classes.T).argmax(dim=1) != fields["label"]
            scores[ZERO_SHOT_ERROR] = torch.where(_finite(outputs, classes), wrong.float(), torch.nan)
        return scores

    def named(self, network: Any, prompts: Tensor) -> Tensor:
        """Where the classes lie: the mean of the ways to call each, on the sphere again.

        Source: arXiv 2103.00020, section 3.1.4 ("prompt engineering and ensembling").
        """
        import torch.nn.functional as F

        return F.normalize(network.head.placed(prompts).float().mean(1), dim=-1)

    def _among(self, outputs: Tensor, tokens: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """The scores of some examples, each among all of them."""
        import torch

        placed = _placed(outputs.float(), tokens.shape[1])
        similar = placed.images @ placed.texts.flatten(0, 1).T
        ways = dict(zip((IMAGE_TO_TEXT, TEXT_TO_IMAGE), hits(similar, tokens, valid), strict=True))
        scores = {f"{way} recall@{most}": hit for way, own in ways.items() for most, hit in own.items()}
        scores = {MEAN_RECALL: torch.stack(list(scores.values())).mean(0), **scores}
        logits = similar.view(len(outputs), len(outputs), -1)[:, :, 0] * placed.scale[:, None] + placed.bias[:, None]
        if self.objective == "sigmoid":
            scores["loss"] = _sigmoid_losses(logits, valid)
        else:
            scores["loss"] = (_softmax_losses(logits, valid, 0.0) + _softmax_losses(logits.T, valid, 0.0)) / 2
        whole = _finite(outputs[valid])
        return {name: torch.where(whole, values, torch.nan) for name, values in scores.items()}


def _finite(*tensors: Tensor) -> Tensor:
    """Whether all numbers are: comparisons with what is none are false, which would look like an answer."""
    import torch

    return torch.stack([tensor.isfinite().all() for tensor in tensors]).all()


def _placed(outputs: Tensor, num_texts: int) -> _Placed:
    import torch

    width = (outputs.shape[1] - 2) // (1 + num_texts)
    images, texts, scale, bias = torch.split(outputs, [width, num_texts * width, 1, 1], dim=1)
    return _Placed(images, texts.unflatten(1, (num_texts, width)), scale[:, 0], bias[:, 0])


def _sigmoid_losses(logits: Tensor, valid: Tensor) -> Tensor:
    """Of every image over all texts [B]. Source: arXiv 2303.15343, equation 1; open_clip/loss.py, ``SigLipLoss``."""
    import torch
    import torch.nn.functional as F

    signs = 2 * torch.eye(len(logits), device=logits.device) - 1
    return torch.where(valid, -F.logsigmoid(signs * logits), 0.0).sum(1)


def _softmax_losses(logits: Tensor, valid: Tensor, smoothed: float) -> Tensor:
    """Of every row over all columns that are candidates [B]. Source: open_clip/loss.py, ``ClipLoss``."""
    import torch

    shares = torch.where(valid, logits, _FAR).log_softmax(dim=1)
    losses = -shares.diagonal()
    if smoothed:
        evenly = -torch.where(valid, shares, 0.0).sum(1) / valid.sum().clamp(min=1)
        losses = (1 - smoothed) * losses + smoothed * evenly
    return losses
