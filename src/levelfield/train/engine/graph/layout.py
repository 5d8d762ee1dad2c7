"""Where parameters lie in one flat buffer: those that are treated alike side by side, so that they are one tensor.

Units of equal length of neighbours are the rows of one matrix (a :class:`Block`), by which norms are taken and weights
are standardised; blocks of equal decay and rate follow one another (a :class:`Group`), and an optimiser steps them as
one tensor. Blocks begin at multiples of 64 numbers; what lies between them is 0, and stays so.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from levelfield.families.base import StandardisedWeight
from levelfield.records.errors import SpecError
from levelfield.train.clipping import unit_axis
from levelfield.train.policy import TensorPolicy

_ALIGNED = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class FlatTensor:
    """A parameter: ``rows`` units of ``size`` numbers from ``start`` on, and how it is standardised, if it is."""

    parameter: Tensor
    policy: TensorPolicy
    start: int
    rows: int
    size: int
    standardised: StandardisedWeight | None

    @property
    def name(self) -> str:
        return self.policy.name

    def within(self, buffer: Tensor) -> Tensor:
        """Its part of a ``buffer`` [length], in its own shape and order."""
        return buffer.as_strided(self.parameter.shape, self.parameter.stride(), self.start)


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Tensors whose units are of one length, one after the other from ``start`` on."""

    tensors: tuple[FlatTensor, ...]

    @property
    def start(self) -> int:
        return self.tensors[0].start

    @property
    def size(self) -> int:
        return self.tensors[0].size

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.tensors)

    @property
    def standardised(self) -> tuple[StandardisedWeight, ...]:
        """How its tensors are standardised: all of them are, or none."""
        return tuple(each.standardised for each in self.tensors if each.standardised is not None)

    def within(self, buffer: Tensor) -> Tensor:
        """Its part of a ``buffer`` [length]: [rows, size]."""
        return buffer[self.start : self.start + self.rows * self.size].view(self.rows, self.size)


@dataclass(frozen=True, kw_only=True)
class Group:
    """What lies from ``start`` to ``end`` has one decay, and one factor to its rate."""

    start: int
    end: int
    decayed: bool
    lr_scale: float


@dataclass(frozen=True, kw_only=True, eq=False)
class FlatLayout:
    """All of it, of buffers of so many numbers as ``length``."""

    blocks: tuple[Block, ...]
    groups: tuple[Group, ...]
    length: int

    @property
    def tensors(self) -> tuple[FlatTensor, ...]:
        return tuple(each for block in self.blocks for each in block.tensors)


def layout_of(
    parameters: Mapping[str, Tensor], policy: Sequence[TensorPolicy], standardised: Sequence[StandardisedWeight]
) -> FlatLayout:
    """Where the ``parameters`` that ``policy`` names lie.

    Raises:
        SpecError: the units of one do not lie one after another in memory.
    """
    by_weight = {id(each.weight): each for each in standardised}
    shapes = []
    for row in policy:
        parameter = parameters[row.name]
        rows = parameter.shape[0] if unit_axis(parameter) == 0 else 1
        _refuse_scattered(parameter, row.name)
        shapes.append((row, rows, parameter.numel() // rows, by_weight.get(id(parameter))))
    shapes.sort(key=lambda each: (not each[0].decayed, each[0].lr_scale, each[3] is None, each[2]))
    blocks: list[Block] = []
    groups: list[Group] = []
    at = 0
    for (decayed, lr_scale), of_group in itertools.groupby(shapes, lambda each: (each[0].decayed, each[0].lr_scale)):
        begin = at
        for _, alike in itertools.groupby(of_group, lambda each: (each[3] is None, each[2])):
            held = []
            for row, rows, size, how in alike:
                tensor = parameters[row.name]
                held.append(FlatTensor(parameter=tensor, policy=row, start=at, rows=rows, size=size, standardised=how))
                at += rows * size
            blocks.append(Block(tensors=tuple(held)))
            at += -at % _ALIGNED
        groups.append(Group(start=begin, end=at, decayed=decayed, lr_scale=lr_scale))
    return FlatLayout(blocks=tuple(blocks), groups=tuple(groups), length=at)


def _refuse_scattered(parameter: Tensor, name: str) -> None:
    axes = sorted(range(parameter.ndim), key=lambda axis: parameter.stride(axis), reverse=True)
    dense = parameter.permute(axes).is_contiguous()
    if not dense or (parameter.ndim > 1 and parameter.stride(0) * parameter.shape[0] != parameter.numel()):
        raise SpecError(
            f"the graph engine steps tensors whose units lie one after another, and {name} of shape "
            f"{tuple(parameter.shape)} has strides {parameter.stride()}: say execution.engine = 'plain'"
        )
