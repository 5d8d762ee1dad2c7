"""The order of a mixture: several parts, each in its own exact order, at shares that hold exactly.

Positions come in blocks as long as the sum of the weights. A block holds exactly ``weights[i]`` examples of part i, in
an order that is keyed by (data, seed, block), and the j-th example that a run takes of a part is the j-th that a run
over this part alone would take. So shares are exact over every whole block and off by less than a weight anywhere, each
part keeps its own exact epochs, and position, part, epoch and id are told from one another in O(1) memory.

**An epoch of a mixture** ends where the first of its parts has been seen once: it has ``N_i * sum(weights) /
weights[i]`` positions, rounded down, for the part i where that is least. So no example is seen more often than epochs
are counted, and a limit of epochs bounds the repetition of every part; a part of lesser share is seen less often.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.data.draws import Int64s, UInt64s, draw_bits, key_words
from levelfield.data.order import ORDER_VERSION, Order, Turns


@dataclass(frozen=True, kw_only=True)
class MixtureOrder:
    """An :class:`levelfield.data.order.ExampleOrder` over ``parts``, mixed by whole ``weights``.

    Ids number the examples of the first part, then those of the second, and so on. ``fingerprint`` is that of the
    mixture. An epoch that is told of an example is its part's. ``multiplicity`` is as in :class:`Order`; those of the
    parts are 1.

    Raises:
        ValueError: parts and weights are not as many, a weight is not positive, or a part has views of its own.
    """

    parts: tuple[Order, ...]
    weights: tuple[int, ...]
    seed: int
    fingerprint: str
    multiplicity: int = 1

    def __post_init__(self) -> None:
        if not self.parts or len(self.parts) != len(self.weights):
            raise ValueError(f"a mixture needs a weight for every part, saw {len(self.weights)} of {len(self.parts)}")
        if min(self.weights) < 1:
            raise ValueError(f"weights are whole and positive, saw {min(self.weights)}")
        if self.multiplicity < 1 or any(part.multiplicity != 1 for part in self.parts):
            raise ValueError(
                "views are those of the mixture, at least one of an example; its parts have none of their own"
            )

    @property
    def num_ids(self) -> int:
        return self._firsts[-1]

    @property
    def block_length(self) -> int:
        """Positions, each view of an example counted once, of which every part has exactly its share."""
        return sum(self.weights)

    def ids(self, positions: Int64s) -> tuple[Int64s, Int64s]:
        """Epochs of their own parts, and ids, at ``positions``; all ``[n]``.

        Raises:
            ValueError: a position is negative.
        """
        positions = np.asarray(positions, dtype=np.int64)
        if positions.size and positions.min() < 0:
            raise ValueError(f"positions count from 0, saw {positions.min()}")
        blocks, slots = np.divmod(positions // self.multiplicity, np.int64(self.block_length))
        distinct, where = np.unique(blocks, return_inverse=True)
        pattern, ranks = self._patterns(distinct)
        part_of, rank = pattern[where, slots], ranks[where, slots]
        epochs, ids = np.empty_like(positions), np.empty_like(positions)
        for place, part in enumerate(self.parts):
            here = np.flatnonzero(part_of == place)
            epochs[here], own = part.ids(blocks[here] * self.weights[place] + rank[here])
            ids[here] = own + self._firsts[place]
        return epochs, ids

    def positions(self, epochs: Int64s, ids: Int64s) -> Int64s:
        """Where ``ids`` first stand in the ``epochs`` of their parts: the exact inverse of :meth:`ids`. All ``[n]``.

        Raises:
            ValueError: an id is none of this order's.
        """
        epochs, ids = np.asarray(epochs, dtype=np.int64), np.asarray(ids, dtype=np.int64)
        if ids.size and (ids.min() < 0 or ids.max() >= self.num_ids):
            raise ValueError(f"ids lie in [0, {self.num_ids}), saw {ids.min()} to {ids.max()}")
        part_of = self.part_of(ids)
        found = np.empty_like(ids)
        for place, part in enumerate(self.parts):
            here = np.flatnonzero(part_of == place)
            turns = part.positions(epochs[here], ids[here] - self._firsts[place])
            blocks, ranks = np.divmod(turns, np.int64(self.weights[place]))
            distinct, where = np.unique(blocks, return_inverse=True)
            slots = np.nonzero(self._patterns(distinct)[0] == place)[1].reshape(len(distinct), self.weights[place])
            found[here] = blocks * self.block_length + slots[where, ranks]
        return found * self.multiplicity

    def part_of(self, ids: Int64s) -> Int64s:
        """Which part each of ``ids`` is of."""
        return np.searchsorted(self._firsts, ids, side="right") - 1

    def views(self, positions: Int64s) -> Int64s:
        """See :class:`levelfield.data.order.ExampleOrder`."""
        return positions % self.multiplicity

    def augment_keys(self, epochs: Int64s, views: Int64s | int = 0) -> UInt64s:
        """See :class:`levelfield.data.order.ExampleOrder`; keys are those of the mixture, as its ids are."""
        return self._plain.augment_keys(epochs, views)

    def turns(self, examples: int) -> tuple[Turns, ...]:
        """See :class:`levelfield.data.order.ExampleOrder`: one a part."""
        whole = -(-examples // self.multiplicity)
        missing = whole * self.multiplicity - examples
        counts = self._counts(whole)
        last = self.part_of(self.ids(np.array([examples - 1]))[1])[0] if missing else -1
        return tuple(
            Turns(
                first=self._firsts[place],
                num_examples=part.num_examples,
                turns=counts[place],
                missing_views=missing if place == last else 0,
            )
            for place, part in enumerate(self.parts)
        )

    def _counts(self, examples: int) -> list[int]:
        """How many of the first ``examples`` are of each part."""
        blocks, rest = divmod(examples, self.block_length)
        begun = self._patterns(np.array([blocks]))[0][0, :rest]
        return [blocks * weight + int((begun == place).sum()) for place, weight in enumerate(self.weights)]

    def _patterns(self, blocks: Int64s) -> tuple[Int64s, Int64s]:
        """Of every slot of ``blocks`` ``[n]`` its part, and how many of it stand before: ``[n, block_length]``.

        Slots are sorted by random words; of two equal ones the first comes first.
        """
        bits = draw_bits(self._pattern_key, blocks, self.block_length)
        pattern = np.repeat(np.arange(len(self.parts)), self.weights)[np.argsort(bits, axis=1, kind="stable")]
        ranks = np.empty_like(pattern)
        for place in range(len(self.parts)):
            of_part = pattern == place
            ranks[of_part] = (np.cumsum(of_part, axis=1) - 1)[of_part]
        return pattern, ranks

    @functools.cached_property
    def _pattern_key(self) -> UInt64s:
        return key_words(1, "mixture", ORDER_VERSION, self.fingerprint, self.seed, *self.weights)

    @functools.cached_property
    def _firsts(self) -> list[int]:
        """The first id of every part, and of what would come after them."""
        return [0, *np.cumsum([part.num_ids for part in self.parts]).tolist()]

    @functools.cached_property
    def _plain(self) -> Order:
        ids = self.num_ids
        return Order(num_examples=ids, seed=self.seed, fingerprint=self.fingerprint, multiplicity=self.multiplicity)


def epoch_of_mixture(sizes: Sequence[int], weights: Sequence[int]) -> int:
    """The positions of an epoch of a mixture of parts of these ``sizes``: see the module."""
    total = sum(weights)
    return max(1, min(size * total // weight for size, weight in zip(sizes, weights, strict=True)))


def least_weights(weights: Sequence[int]) -> tuple[int, ...]:
    """``weights`` without their common factor: what says the same shares is the same mixture."""
    common = math.gcd(*weights)
    return tuple(weight // common for weight in weights)


def subset_sizes(num_examples: int, weights: Sequence[int], fingerprint: str) -> tuple[int, ...]:
    """How many of a nested subset of ``num_examples`` each part gives: its share, and never fewer in a larger one.

    The examples of a block that is not whole are given out in an order that depends on the data alone.
    """
    blocks, rest = divmod(num_examples, sum(weights))
    slots = np.repeat(np.arange(len(weights)), weights)
    bits = draw_bits(key_words(1, "subset of a mixture", fingerprint, *weights), np.array([0]), len(slots))
    begun = slots[np.argsort(bits[0], kind="stable")][:rest]
    return tuple(blocks * weight + int((begun == place).sum()) for place, weight in enumerate(weights))
