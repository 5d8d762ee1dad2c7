"""The tower that reads texts, and the space in which images and texts meet.

Source: CLIP's text transformer (arXiv 2103.00020, section 2.4), as open_clip builds and begins it
(open_clip/transformer.py, ``TextTransformer``).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.families.heads import TEXT_MLP_RATIO
from levelfield.records.head import MOST_SCALE, TextHead

_TOKEN_STD, _POSITION_STD = 0.02, 0.01


class TextBlock(nn.Module):
    """(batch, tokens, width) to the same: causal attention, then two maps with a gelu between, each beside itself."""

    def __init__(self, head: TextHead) -> None:
        super().__init__()
        width = head.width
        self.heads = head.heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        branch_std = width**-0.5 * (2 * head.depth) ** -0.5
        self.qkv = _linear(width, 3 * width, std=width**-0.5)
        self.proj = _linear(width, width, std=branch_std)
        self.fc1 = _linear(width, TEXT_MLP_RATIO * width, std=(2 * width) ** -0.5)
        self.fc2 = _linear(TEXT_MLP_RATIO * width, width, std=branch_std)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class TextTower(nn.Module):
    """Tokens int (batch, context) to (batch, num_outputs)."""

    def __init__(self, head: TextHead) -> None:
        super().__init__()
        self.tokens = nn.Embedding(head.vocabulary, head.width)
        nn.init.normal_(self.tokens.weight, std=_TOKEN_STD)
        self.position = nn.Parameter(torch.empty(head.context, head.width).normal_(std=_POSITION_STD))
        self.blocks = nn.ModuleList(TextBlock(head) for _ in range(head.depth))
        self.norm = nn.LayerNorm(head.width)
        self.projection = nn.Linear(head.width, head.num_outputs, bias=False)
        nn.init.normal_(self.projection.weight, std=head.width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.position
        for block in self.blocks:
            x = block(x)
        ends = tokens.argmax(dim=-1)  # nothing after the end is looked at by it, nor is anything else read
        last = x[torch.arange(len(x), device=x.device), ends]
        return self.projection(self.norm(last))


class TextPairing(nn.Module):
    """Pooled features (batch, num_features) to where the image lies on the unit sphere (batch, num_outputs)."""

    def __init__(self, head: TextHead, *, num_features: int) -> None:
        super().__init__()
        self.image = nn.Linear(num_features, head.num_outputs, bias=False)
        nn.init.normal_(self.image.weight, std=num_features**-0.5)
        self.texts = TextTower(head)
        self.log_scale = nn.Parameter(torch.tensor(math.log(head.scale)))
        self.bias_of_pairs = None if head.bias is None else nn.Parameter(torch.tensor(head.bias))

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(self.image(features), dim=-1)

    def placed(self, tokens: Tensor) -> Tensor:
        """Where texts lie on it: tokens int (..., context) to (..., num_outputs)."""
        return F.normalize(self.texts(tokens.flatten(0, -2)), dim=-1).unflatten(0, tokens.shape[:-1])

    def similarity(self) -> tuple[Tensor, Tensor]:
        """The factor of similarities and what is added to them, scalars.

        The factor never exceeds CLIP's bound, and has its gradient there, so that it can come back.
        """
        over = (self.log_scale - math.log(MOST_SCALE)).clamp(min=0).detach()
        scale = (self.log_scale - over).exp()
        return scale, scale.new_zeros(()) if self.bias_of_pairs is None else self.bias_of_pairs


def _linear(into: int, out: int, *, std: float) -> nn.Linear:
    linear = nn.Linear(into, out)
    nn.init.normal_(linear.weight, std=std)
    nn.init.zeros_(linear.bias)
    return linear
