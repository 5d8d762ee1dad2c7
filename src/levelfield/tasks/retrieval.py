"""Which of some texts is an image's, and which of some images a text's: how often the right one is among the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

RECALLS = (1, 5, 10)
"""How many of the first are looked at. Source: Karpathy and Fei-Fei, arXiv 1412.2306, section 4.1."""


def hits(similar: Tensor, tokens: Tensor, valid: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """How often the right text of every image, and the right image of every text of it, is among the first: float32 [B]
    by how many first ones.

    ``similar`` [B, B * C] holds the similarity of every image to the C texts of every example, ``tokens`` [B, C, L]
    says what they say, 0 throughout where an example has fewer, and ``valid`` [B] which examples are candidates. Any
    text of an image is right, and so is an equal text of another. Of equal similarities the wrong ones come first, so
    that a network that tells nothing apart finds nothing. Over the texts of an image their share is taken.
    """
    import torch

    said = (tokens != 0).any(-1)
    candidates = (said & valid[:, None]).flatten()
    _, kinds = torch.unique(tokens.flatten(0, 1), dim=0, return_inverse=True)
    own = torch.where(said, kinds.view(said.shape), -1)
    right = (own[:, :, None] == kinds).any(1) & candidates  # [B, B * C]
    wrong = ~right & candidates
    of_images = _better(similar, right, wrong)
    of_texts = _better(similar.T, (right & valid[:, None]).T, (wrong & valid[:, None]).T).view(said.shape)
    number = said.sum(1).clamp(min=1)
    images = {most: (of_images < most).float() for most in RECALLS}
    texts = {most: ((of_texts < most) & said).sum(1) / number for most in RECALLS}
    return images, texts


def _better(similar: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """How many wrong ones come before the best right one, by rows [rows]; all where there is no right one."""
    best = similar.masked_fill(~right, float("-inf")).amax(1, keepdim=True)
    return (wrong & (similar >= best)).sum(1)
