"""Scaled weight standardisation over the rows of one matrix, forward and backward, in closed form.

Source: levelfield/families/nfnet/standardise.py, of which this is the form outside of autograd; arXiv 2102.06171,
section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from levelfield.train.engine.graph.layout import Block


@dataclass(frozen=True, kw_only=True, eq=False)
class StandardisedRows:
    """A block of standardised weights: of every row its constants [rows, 1], and where its gain lies in the buffer."""

    block: Block
    gains: Tensor
    input_scales: Tensor
    floors: Tensor
    added: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What the backward pass needs of the forward one, [rows, 1] each."""

    mean: Tensor
    inverse: Tensor
    factor: Tensor
    is_open: Tensor


def rows_of(block: Block, starts: dict[int, int], device: torch.device, dtype: torch.dtype) -> StandardisedRows:
    """``starts`` says where a parameter lies, by its id."""
    gains: list[int] = []
    constants: list[tuple[float, float, float]] = []
    for each in block.standardised:
        begin, count = starts[id(each.gain)], each.gain.numel()
        gains += range(begin, begin + count)
        constants += [(each.input_scale, each.floor, each.added)] * count
    columns = torch.tensor(constants, dtype=dtype, device=device).T.unsqueeze(-1)
    index = torch.tensor(gains, device=device)
    return StandardisedRows(block=block, gains=index, input_scales=columns[0], floors=columns[1], added=columns[2])


def standardise(rows: StandardisedRows, weights: Tensor, into: Tensor) -> Facts:
    """Write into the block's part of ``into`` what activations meet of the buffer ``weights``."""
    weight = rows.block.within(weights)
    mean = weight.mean(1, keepdim=True)
    centred = weight - mean
    energy = (centred * centred).sum(1, keepdim=True)
    inverse = (torch.maximum(energy, rows.floors) + rows.added).rsqrt_()
    factor = weights.index_select(0, rows.gains)[:, None] * rows.input_scales * inverse
    rows.block.within(into).copy_(centred.mul_(factor))
    return Facts(mean=mean, inverse=inverse, factor=factor, is_open=energy >= rows.floors)


def gradients(rows: StandardisedRows, facts: Facts, weights: Tensor, met: Tensor, into: Tensor) -> None:
    """Write into the buffer ``into`` the gradients of weights and gains, by those of what activations ``met``."""
    centred = rows.block.within(weights) - facts.mean
    gradient = rows.block.within(met).to(into.dtype)
    slope = (gradient * centred).sum(1, keepdim=True).mul_(facts.inverse)
    into.index_copy_(0, rows.gains, (slope * rows.input_scales).view(-1))
    spread = slope.mul_(facts.inverse).mul_(facts.is_open)
    change = (gradient - gradient.mean(1, keepdim=True)).addcmul_(centred, spread, value=-1)
    torch.mul(change, facts.factor, out=rows.block.within(into))
