"""The order in which a run sees its examples: a pure, invertible function of (seed, epoch, position).

A *position* counts every training example a run has consumed, over all devices, from 0. ``epoch, offset =
divmod(position, N)`` and a keyed permutation of that epoch turns the offset into an example id, so

- each example is seen exactly once an epoch, and a fractional epoch is a sample without replacement;
- global batches straddle the ends of epochs: nothing is dropped or padded;
- no worker, device count or restart can change it, and no state or memory grows with N.

The permutation is an alternating Feistel network of 8 rounds on the smallest 2^b >= N, walked along its cycles until it
lands below N. Widths alternate, so b may be odd and a walk takes under two steps on average. Four rounds show in
neighbour statistics (z = 13.9 at N = 1000); eight do not. b comes from
integers: a float log2 loses an example at 2^k + 1.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from levelfield.data.draws import Int64s, UInt64s, key_words, mix64

ORDER_VERSION = 1
"""Part of every key. A change to this file that moves a single id must change it."""

MAX_EXAMPLES = 2**62
NUM_ROUNDS = 8


@dataclass(frozen=True)
class Permutation:
    """A keyed bijection of ``0 .. size - 1`` in O(1) memory.

    ``keys`` holds 8 words: ``[8]`` for one permutation, or ``[len(values), 8]`` for one a value.
    """

    size: int
    keys: UInt64s

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_EXAMPLES:
            raise ValueError(f"a permutation needs 1 to 2^62 examples, saw {self.size}")

    @classmethod
    def of(cls, size: int, *purpose: str | int) -> Permutation:
        """The permutation of ``size`` examples that serves ``purpose`` and nothing else."""
        return cls(size, _round_keys(*purpose))

    def forward(self, offsets: Int64s) -> Int64s:
        """Ids at ``offsets``, in any shape ``[n]``."""
        return self._walk(offsets, self._encrypt)

    def inverse(self, ids: Int64s) -> Int64s:
        """Offsets at which ``ids`` stand: ``inverse(forward(x)) == x``."""
        return self._walk(ids, self._decrypt)

    def _walk(self, start: Int64s, step) -> Int64s:
        size = np.uint64(self.size)
        values = step(start.astype(np.uint64), self.keys)
        outside = np.flatnonzero(values >= size)
        while outside.size:
            keys = self.keys if self.keys.ndim == 1 else self.keys[outside]
            values[outside] = walked = step(values[outside], keys)
            outside = outside[walked >= size]
        return values.astype(np.int64)

    def _widths(self) -> tuple[int, int]:
        bits = max(2, (self.size - 1).bit_length())
        return bits // 2, bits - bits // 2

    def _encrypt(self, values: UInt64s, keys: UInt64s) -> UInt64s:
        left_bits, right_bits = self._widths()
        split = np.uint64(right_bits)
        left, right = values >> split, values & np.uint64((1 << right_bits) - 1)
        for turn in range(NUM_ROUNDS):
            left, right = right, left ^ _round(right, keys[..., turn], left_bits)
            left_bits, right_bits = right_bits, left_bits
        return (left << split) | right

    def _decrypt(self, values: UInt64s, keys: UInt64s) -> UInt64s:
        left_bits, right_bits = self._widths()
        split = np.uint64(right_bits)
        left, right = values >> split, values & np.uint64((1 << right_bits) - 1)
        for turn in reversed(range(NUM_ROUNDS)):
            left_bits, right_bits = right_bits, left_bits
            left, right = right ^ _round(left, keys[..., turn], left_bits), left
        return (left << split) | right


def _round(half: UInt64s, key: UInt64s, out_bits: int) -> UInt64s:
    return mix64(half + key) >> np.uint64(64 - out_bits)


@functools.lru_cache(maxsize=1024)
def _round_keys(*purpose: str | int) -> UInt64s:
    return key_words(NUM_ROUNDS, "permutation", ORDER_VERSION, *purpose)


class ExampleOrder(Protocol):
    """Which example stands at which position of a run, whatever it is made of: see :class:`Order`, the plain one.

    ``num_ids`` bounds the ids, which number the train split of the source with this ``fingerprint``.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def multiplicity(self) -> int: ...
    @property
    def num_ids(self) -> int: ...

    def ids(self, positions: Int64s) -> tuple[Int64s, Int64s]:
        """Epochs and example ids at ``positions``, both ``[n]``."""
        ...

    def positions(self, epochs: Int64s, ids: Int64s) -> Int64s:
        """The positions ``[n]`` at which ``ids`` first stand in their ``epochs``, both ``[n]``: the inverse."""
        ...

    def views(self, positions: Int64s) -> Int64s:
        """Which view of its example stands at each of ``positions``, from 0. ``[n]``"""
        ...

    def augment_keys(self, epochs: Int64s, views: Int64s | int = 0) -> UInt64s:
        """One 64-bit key an example: with its id, all that its augmentation may depend on. ``[n]``"""
        ...

    def turns(self, examples: int) -> tuple[Turns, ...]:
        """What a run over the first ``examples`` positions takes of each part of the data; a plain order has one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Turns:
    """A run takes ``turns`` examples, one after the other, out of the ``num_examples`` whose ids begin at ``first``.

    Each epoch of them is whole before the next begins, so the examples were taken ``turns // num_examples`` times, and
    ``turns % num_examples`` of them once more. The last one taken may lack ``missing_views`` of its views.
    """

    first: int
    num_examples: int
    turns: int
    missing_views: int = 0


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which example stands at which position of a run.

    ``fingerprint`` is the data's, so the same seed orders other data otherwise. With ``subset_of`` the run sees only
    ``num_examples`` of that many examples: ids of rank below ``num_examples`` in one permutation that depends on the
    data alone, so that small subsets lie inside large ones. With ``multiplicity`` each example stands that many times
    side by side, a view of it each time, augmented on its own (repeated augmentation; Fort et al., arXiv 2105.13343).

    Raises:
        ValueError: there are no examples, more than 2^62, fewer than the subset takes, or no view of them.
    """

    num_examples: int
    seed: int
    fingerprint: str
    subset_of: int | None = None
    multiplicity: int = 1

    def __post_init__(self) -> None:
        if self.multiplicity < 1:
            raise ValueError(f"an example needs at least one view, saw a multiplicity of {self.multiplicity}")
        if not 1 <= self.num_examples <= MAX_EXAMPLES:
            raise ValueError(f"an order needs 1 to 2^62 examples, saw {self.num_examples}")
        if self.subset_of is not None and self.subset_of < self.num_examples:
            raise ValueError(f"a subset of {self.num_examples} cannot be drawn from {self.subset_of} examples")

    def ids(self, positions: Int64s) -> tuple[Int64s, Int64s]:
        """Epochs and example ids at ``positions``, both ``[n]``.

        Raises:
            ValueError: a position is negative.
        """
        positions = np.asarray(positions, dtype=np.int64)
        if positions.size == 0:
            return positions, positions
        if positions.min() < 0:
            raise ValueError(f"positions count from 0, saw {positions.min()}")
        epochs, offsets = np.divmod(positions // self.multiplicity, np.int64(self.num_examples))
        ids = self._permuted(epochs, offsets)
        return epochs, self._subset.forward(ids) if self._subset else ids

    def positions(self, epochs: Int64s, ids: Int64s) -> Int64s:
        """Where ``ids`` ``[n]`` first stand in ``epochs`` ``[n]``: the exact inverse of :meth:`ids`.

        Raises:
            ValueError: an id is none of this order's.
        """
        epochs, ids = np.asarray(epochs, dtype=np.int64), np.asarray(ids, dtype=np.int64)
        if ids.size == 0:
            return ids
        if ids.min() < 0 or ids.max() >= self.num_ids:
            raise ValueError(f"ids lie in [0, {self.num_ids}), saw {ids.min()} to {ids.max()}")
        ranks = self._subset.inverse(ids) if self._subset else ids
        if ranks.max() >= self.num_examples:
            raise ValueError(f"example {ids[ranks.argmax()]} is outside the subset of {self.num_examples}")
        return (epochs * self.num_examples + self._offsets(epochs, ranks)) * self.multiplicity

    @property
    def num_ids(self) -> int:
        """What bounds the ids: the examples that there are, of which a subset takes some."""
        return self.subset_of or self.num_examples

    def turns(self, examples: int) -> tuple[Turns, ...]:
        """See :class:`ExampleOrder`."""
        turns = -(-examples // self.multiplicity)
        missing = turns * self.multiplicity - examples
        return (Turns(first=0, num_examples=self.num_examples, turns=turns, missing_views=missing),)

    def _permuted(self, epochs: Int64s, offsets: Int64s) -> Int64s:
        """What stands at ``offsets`` within ``epochs``."""
        return Permutation(self.num_examples, self._keys(epochs)).forward(offsets)

    def _offsets(self, epochs: Int64s, ranks: Int64s) -> Int64s:
        """The inverse of :meth:`_permuted`."""
        return Permutation(self.num_examples, self._keys(epochs)).inverse(ranks)

    def views(self, positions: Int64s) -> Int64s:
        """Which view of its example stands at each of ``positions``, from 0. ``[n]``"""
        return positions % self.multiplicity

    def augment_keys(self, epochs: Int64s, views: Int64s | int = 0) -> UInt64s:
        """One 64-bit key an example: with its id, all that its augmentation may depend on. ``[n]``"""

        def key_of(code: int) -> np.uint64:
            epoch, view = divmod(code, self.multiplicity)
            own = (view,) if view else ()
            return key_words(1, "augment", self.fingerprint, self.seed, epoch, *own)[0]

        return self._each(epochs * self.multiplicity + views, key_of)

    def _keys(self, epochs: Int64s) -> UInt64s:
        if epochs[0] == epochs[-1] == epochs.max() == epochs.min():
            return _round_keys("order", self.fingerprint, self.seed, int(epochs[0]))
        return self._each(epochs, lambda epoch: _round_keys("order", self.fingerprint, self.seed, epoch))

    def _each(self, codes: Int64s, key_of) -> UInt64s:
        distinct, where = np.unique(codes, return_inverse=True)
        return np.stack([key_of(int(code)) for code in distinct])[where]

    @functools.cached_property
    def _subset(self) -> Permutation | None:
        return None if self.subset_of is None else Permutation.of(self.subset_of, "subset", self.fingerprint)


def shard(start: int, global_batch_size: int, rank: int, world_size: int) -> range:
    """The positions that ``rank`` of ``world_size`` takes of the global batch that begins at position ``start``.

    Shards of all ranks, in rank order, are the batch; their sizes differ by one at most.

    Raises:
        ValueError: the rank does not exist, or the batch cannot be given to so many ranks.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in [0, {world_size}), saw {rank}")
    if global_batch_size < world_size:
        raise ValueError(f"a global batch of {global_batch_size} leaves some of {world_size} ranks without examples")
    first, last = (start + part * global_batch_size // world_size for part in (rank, rank + 1))
    return range(first, last)
