"""MixUp and CutMix inside fixed blocks of positions: who is mixed with whom depends on no batch, rank or restart.

A block of a run's positions is mixed in one way, drawn by (seed, block): by MixUp or by CutMix, by one share and one
box. Every example has the one half a block away as its partner, and is its partner's. Pixels are mixed as whole
numbers, shares are whole 256ths (MixUp) or exactly what the box leaves (CutMix).

Source: Zhang et al., arXiv 1710.09412; Yun et al., arXiv 1905.04899; boxes and the even choice between both as timm 1.0
``data/mixup.py`` has them, a block for its batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betainc
from torch import Tensor

from levelfield.data.draws import Int64s, below, draw_bits, key_words, unit_interval
from levelfield.records.fields import OWN_SHARE, PARTNER

_STEPS = 256
"""A share is a whole number of as many parts."""


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How examples are mixed: ``mixup_alpha`` and ``cutmix_alpha`` are those of the Beta distribution that shares are
    drawn from, 0 where that is not done; where both are, each has half the blocks. ``block`` positions are a block."""

    mixup_alpha: float
    cutmix_alpha: float
    block: int
    seed: int

    def check_shares(self, start_examples: int, global_batch_size: int, world_size: int) -> None:
        """Refuse to cut a block.

        Raises:
            ValueError: a rank's share is not whole blocks.
        """
        whole = self.block * world_size
        if start_examples % self.block or global_batch_size % whole:
            raise ValueError(
                f"examples are mixed in blocks of {self.block}, which no rank can share: with {world_size} ranks the "
                f"global batch must be a multiple of {whole} and a run go on at a multiple of {self.block}, saw a "
                f"batch of {global_batch_size} from example {start_examples} on"
            )

    def mixed(self, positions: Int64s, fields: Mapping[str, Tensor], valid: Tensor) -> dict[str, Tensor]:
        """``fields`` of whole blocks of examples at ``positions`` [B] with their images mixed.

        To them come ``PARTNER`` int64 [B], the label of what was mixed in, and ``OWN_SHARE`` float32 [B], how much of
        the example is its own. Where either of two is not ``valid`` both stay as they are.
        """
        images, labels = fields["image"], fields["label"]
        places = np.arange(len(positions)).reshape(-1, self.block)
        partners = torch.from_numpy(np.roll(places, -(self.block // 2), axis=1).reshape(-1)).to(images.device)
        blocks = positions[:: self.block] // self.block
        shares, boxes = self._drawn(blocks, images.shape[-1])
        whole = (valid & valid[partners.to(valid.device)]).numpy()
        mixed, own = images.clone(), np.ones(len(positions), dtype=np.float32)
        for number, rows in enumerate(places):
            kept = rows[whole[rows]]
            if not len(kept):
                continue
            theirs = images[partners[kept]]
            if (box := boxes[number]) is None:
                share = int(shares[number])
                mixture = images[kept].int() * share + theirs.int() * (_STEPS - share) + _STEPS // 2
                mixed[kept], own[kept] = (mixture >> 8).to(torch.uint8), share / _STEPS
            else:
                top, bottom, left, right = box
                mixed[kept, :, top:bottom, left:right] = theirs[:, :, top:bottom, left:right]
                own[kept] = 1 - (bottom - top) * (right - left) / images.shape[-1] ** 2
        return {**fields, "image": mixed, PARTNER: labels[partners.to(labels.device)], OWN_SHARE: torch.from_numpy(own)}

    def _drawn(self, blocks: Int64s, side: int) -> tuple[Int64s, list[tuple[int, int, int, int] | None]]:
        """Of each of ``blocks`` the share in 256ths, and the box that is cut, None where all is mixed."""
        bits = draw_bits(key_words(1, "mix", self.seed), blocks, 4)
        cuts = below(bits[:, 0], 2).astype(bool) if self.mixup_alpha else np.ones(len(blocks), dtype=bool)
        cuts &= self.cutmix_alpha > 0
        evenly = unit_interval(bits[:, 1])
        shares = np.where(cuts, _quantile(evenly, self.cutmix_alpha), _quantile(evenly, self.mixup_alpha))
        centres = below(bits[:, 2:4], side).tolist()
        boxes = [
            _box(share / _STEPS, side, *centre) if cut else None
            for cut, share, centre in zip(cuts.tolist(), shares.tolist(), centres, strict=True)
        ]
        return shares, boxes


def _quantile(evenly: NDArray[np.float64], alpha: float) -> Int64s:
    """The quantiles of Beta(alpha, alpha) at ``evenly`` in [0, 1), to the nearest 256th."""
    if not alpha:
        return np.full(len(evenly), _STEPS, dtype=np.int64)
    edges = betainc(alpha, alpha, (np.arange(_STEPS) + 0.5) / _STEPS)
    return np.searchsorted(edges, evenly, side="right").astype(np.int64)


def _box(share: float, side: int, row: int, column: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the square of the area 1 - ``share`` about a pixel, as far as it lies inside."""
    cut = int(side * (1 - share) ** 0.5)
    top, left = max(0, row - cut // 2), max(0, column - cut // 2)
    return top, min(side, row + (cut + 1) // 2), left, min(side, column + (cut + 1) // 2)
