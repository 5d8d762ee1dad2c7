"""The Vision Transformer itself, readable next to big_vision's models/vit.py."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.families.gelu import gelu
from levelfield.families.noise import DropSite, KeyedNoise
from levelfield.families.pixels import handed
from levelfield.families.vit.attention import attention
from levelfield.families.vit.spec import Gelu, ViTSpec
from levelfield.records.errors import SpecError

NORM_EPS = 1e-6
MLP_BIAS_STD = 1e-6
SINCOS_TEMPERATURE = 10_000.0
APPROXIMATE: dict[Gelu, str] = {"tanh": "tanh", "erf": "none"}


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and MLP, (batch, tokens, width) to the same.

    ``drop_rate`` is the chance that an image skips a branch; kept branches are scaled up by 1 / (1 - ``drop_rate``).
    """

    def __init__(self, spec: ViTSpec, *, dropout: float, drop_rate: float, noise: KeyedNoise) -> None:
        super().__init__()
        self.num_heads, self.approximate = spec.num_heads, APPROXIMATE[spec.gelu]
        self.drop_mixed, self.drop_hidden, self.drop_found = (DropSite(noise, dropout) for _ in range(3))
        self.skip_attention, self.skip_mlp = (DropSite(noise, drop_rate, whole=True) for _ in range(2))
        self.norm1 = nn.LayerNorm(spec.width, eps=NORM_EPS)
        self.qkv = _linear(spec.width, 3 * spec.width, parts=3)
        self.proj = _linear(spec.width, spec.width)
        self.norm2 = nn.LayerNorm(spec.width, eps=NORM_EPS)
        self.fc1 = _linear(spec.width, spec.mlp_width, bias_std=MLP_BIAS_STD)
        self.fc2 = _linear(spec.mlp_width, spec.width, bias_std=MLP_BIAS_STD)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = _heads(self.qkv(self.norm1(x)), self.num_heads, parts=3)
        mixed = attention(query, key, value)
        found = self.drop_mixed(self.proj(mixed.transpose(1, 2).flatten(2)), self.training)
        x = x + self.skip_attention(found, self.training)
        hidden = self.drop_hidden(gelu(self.fc1(self.norm2(x)), approximate=self.approximate), self.training)
        found = self.drop_found(self.fc2(hidden), self.training)
        return x + self.skip_mlp(found, self.training)


class MapHead(nn.Module):
    """Multi-head attention pooling: (batch, tokens, width) to (batch, width) by one learned query.

    Source: arXiv 2106.04560; big_vision models/vit.py, MAPHead.
    """

    def __init__(self, spec: ViTSpec) -> None:
        super().__init__()
        self.num_heads, self.approximate = spec.num_heads, APPROXIMATE[spec.gelu]
        self.probe = nn.Parameter(torch.empty(1, 1, spec.width))
        self.query = _linear(spec.width, spec.width)
        self.key_value = _linear(spec.width, 2 * spec.width, parts=2)
        self.proj = _linear(spec.width, spec.width)
        self.norm = nn.LayerNorm(spec.width, eps=NORM_EPS)
        self.fc1 = _linear(spec.width, spec.mlp_width, bias_std=MLP_BIAS_STD)
        self.fc2 = _linear(spec.mlp_width, spec.width, bias_std=MLP_BIAS_STD)
        nn.init.xavier_uniform_(self.probe[0])

    def forward(self, x: Tensor) -> Tensor:
        probe = self.probe.expand(x.shape[0], -1, -1)
        (query,) = _heads(self.query(probe), self.num_heads, parts=1)
        key, value = _heads(self.key_value(x), self.num_heads, parts=2)
        mixed = attention(query, key, value)
        x = self.proj(mixed.transpose(1, 2).flatten(1))
        return x + self.fc2(gelu(self.fc1(self.norm(x)), approximate=self.approximate))


class ViT(nn.Module):
    """Images (batch, channels, height, width) to logits (batch, num_outputs).

    ``dropout`` applies after the positions and in every branch, as in big_vision. ``stochastic_depth`` is the last
    block's rate; the first block's is 0 and it grows linearly between (DeiT, arXiv 2012.12877).
    """

    def __init__(
        self,
        spec: ViTSpec,
        *,
        num_outputs: int,
        resolution: int,
        in_channels: int = 3,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.spec, self.num_features, self.noise = spec, spec.num_features, KeyedNoise()
        self.drop_tokens = DropSite(self.noise, dropout)
        grid, pixels = spec.grid(resolution), in_channels * spec.patch_size**2
        self.patch_embed = nn.Conv2d(in_channels, spec.width, spec.patch_size, spec.patch_size)
        _lecun_normal_(self.patch_embed.weight, fan_in=pixels)
        nn.init.zeros_(self.patch_embed.bias)  # pyright: ignore[reportArgumentType]
        if spec.position == "learned":
            self.position = nn.Parameter(torch.empty(grid**2, spec.width).normal_(std=spec.width**-0.5))
        else:
            self.register_buffer("position", sincos_positions(grid, spec.width), persistent=False)
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.width)) if spec.pooling == "token" else None
        rates = [stochastic_depth * index / max(1, spec.depth - 1) for index in range(spec.depth)]
        self.blocks = nn.ModuleList(
            EncoderBlock(spec, dropout=dropout, drop_rate=rate, noise=self.noise) for rate in rates
        )
        self.norm = nn.LayerNorm(spec.width, eps=NORM_EPS)
        self.map_head = MapHead(spec) if spec.pooling == "map" else None
        self.head = nn.Linear(spec.width, num_outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (batch, width)."""
        x = self._tokens(images)
        if self.map_head is not None:
            return self.map_head(x)
        if self.spec.pooling == "map":
            raise SpecError(f"this {self.spec.text} answers every pixel and has nothing that pools features")
        return x[:, 0] if self.class_token is not None else x.mean(1)

    def feature_map(self, images: Tensor) -> Tensor:
        """The tokens of the patches where these lie (batch, width, grid, grid)."""
        x = self._tokens(images)
        patches = x if self.class_token is None else x[:, 1:]
        return patches.transpose(1, 2).unflatten(2, (images.shape[2] // self.spec.patch_size, -1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(handed(self, images))

    def _tokens(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, tokens, width), normalised."""
        x = self._embed(images) + self.position
        if self.class_token is not None:  # after the positions: the class token has none
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.drop_tokens(x, self.training)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def _embed(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, patches, width): the convolution as one matrix product."""
        batch, channels, height, width = images.shape
        patch = self.spec.patch_size
        grid = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
        pixels = grid.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return F.linear(pixels, self.patch_embed.weight.flatten(1), self.patch_embed.bias)


def build(
    spec: ViTSpec,
    *,
    num_outputs: int,
    resolution: int,
    in_channels: int = 3,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> ViT:
    """The network of ``spec`` for square images of ``resolution`` pixels.

    Raises:
        SpecError: ``resolution`` is not a multiple of the patch size.
    """
    return ViT(
        spec,
        num_outputs=num_outputs,
        resolution=resolution,
        in_channels=in_channels,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
    )


def sincos_positions(grid: int, width: int) -> Tensor:
    """(grid * grid, width) fixed two-dimensional positions, a quarter each of sin x, cos x, sin y, cos y.

    Source: MoCo v3 (arXiv 2104.02057) in the form of big_vision's ``posemb_sincos_2d``.
    """
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    quarter = width // 4
    omega = SINCOS_TEMPERATURE ** -(torch.arange(quarter) / max(1, quarter - 1))
    x, y = x.flatten()[:, None] * omega, y.flatten()[:, None] * omega
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)


def _heads(x: Tensor, num_heads: int, *, parts: int) -> tuple[Tensor, ...]:
    """(batch, tokens, parts * width) to ``parts`` tensors (batch, heads, tokens, head width)."""
    batch, tokens, width = x.shape
    split = x.view(batch, tokens, parts, num_heads, width // (parts * num_heads))
    return split.permute(2, 0, 3, 1, 4).unbind(0)


def _linear(in_features: int, out_features: int, *, parts: int = 1, bias_std: float = 0.0) -> nn.Linear:
    """Xavier-uniform, each of ``parts`` fused maps on its own; bias zero or normal."""
    linear = nn.Linear(in_features, out_features)
    for part in linear.weight.chunk(parts):
        nn.init.xavier_uniform_(part)
    nn.init.normal_(linear.bias, std=bias_std) if bias_std else nn.init.zeros_(linear.bias)
    return linear


def _lecun_normal_(weight: Tensor, *, fan_in: int) -> None:
    """Flax's default for convolutions: normal cut at two deviations, rescaled so that the variance is 1 / fan-in."""
    std = 1 / (math.sqrt(fan_in) * 0.87962566103423978)
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
