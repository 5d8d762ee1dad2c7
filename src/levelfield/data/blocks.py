"""Two-level order: blocks of neighbours are shuffled, and within a window of such blocks the examples are.

A remote store, or a disk that turns, reads a run of neighbouring rows at once for little more than one of them. So an
epoch permutes blocks of ``block_examples`` consecutive ids, puts ``window_blocks`` consecutive permuted blocks into a
window, and permutes the examples inside it. All of it is a keyed function: each example stands exactly once in an
epoch, where it stands is told in O(1) memory and inverted exactly, and what is needed next is known ahead.

What it costs in randomness: two examples of a block stand in one window in every epoch, at most a window apart, while a
plain order would put them anywhere. Batches are as random as a plain order's where neighbours are no more alike than
others: ids are ranks of a keyed permutation of the data, never its classes or files one after the other. Measured
(``python -m benchmarks.block_order``): see ``benchmarks/results/block_order_cpu_202611.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from levelfield.data.draws import Int64s, UInt64s, key_words
from levelfield.data.order import NUM_ROUNDS, ORDER_VERSION, Order, Permutation
from levelfield.records.fingerprint import digest


@dataclass(frozen=True, kw_only=True)
class BlockOrder(Order):
    """An :class:`levelfield.data.order.Order` whose epochs are permuted in two levels.

    Where the examples are no whole number of blocks the last block is shorter, and so is the window that it falls into.

    Raises:
        ValueError: a block or a window holds nothing, or a subset is asked for: its ids are no neighbours.
    """

    block_examples: int
    window_blocks: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_examples < 1 or self.window_blocks < 1:
            raise ValueError(f"a block and a window hold at least 1, saw {self.block_examples}, {self.window_blocks}")
        if self.subset_of is not None:
            raise ValueError("a subset is drawn from everywhere, so it has no blocks of neighbours: order it plainly")

    @property
    def num_blocks(self) -> int:
        return -(-self.num_examples // self.block_examples)

    def window_end(self, position: int) -> int:
        """The first position of the window after the one that ``position`` lies in."""
        turn = position // self.multiplicity
        epochs, offsets = (np.array([each]) for each in divmod(turn, self.num_examples))
        short_at = self._short_at(epochs)
        end = self._start_of(self._window_of(offsets, short_at) + 1, short_at)
        return int(epochs[0] * self.num_examples + end[0]) * self.multiplicity

    def _permuted(self, epochs: Int64s, offsets: Int64s) -> Int64s:
        short_at = self._short_at(epochs)
        windows = self._window_of(offsets, short_at)
        starts = self._start_of(windows, short_at)
        places = starts + self._shuffled(epochs, windows, short_at, offsets - starts, inverse=False)
        blocks, within = self._split(places, short_at)
        return self._blocks(epochs).forward(blocks) * self.block_examples + within

    def _offsets(self, epochs: Int64s, ranks: Int64s) -> Int64s:
        short_at = self._short_at(epochs)
        blocks, within = np.divmod(ranks, np.int64(self.block_examples))
        at = self._blocks(epochs).inverse(blocks)
        places = at * self.block_examples + within - self._lacking * (at > short_at)
        windows = at // self.window_blocks
        starts = self._start_of(windows, short_at)
        return starts + self._shuffled(epochs, windows, short_at, places - starts, inverse=True)

    @property
    def _lacking(self) -> int:
        """What the last block is short of."""
        return self.num_blocks * self.block_examples - self.num_examples

    def _blocks(self, epochs: Int64s) -> Permutation:
        return Permutation(self.num_blocks, self._of_epochs(epochs, "blocks"))

    def _short_at(self, epochs: Int64s) -> Int64s:
        """Where in its epoch the short block stands."""
        distinct, where = np.unique(epochs, return_inverse=True)
        return self._blocks(distinct).inverse(np.full_like(distinct, self.num_blocks - 1))[where]

    def _start_of(self, windows: Int64s, short_at: Int64s) -> Int64s:
        """The offsets at which ``windows`` begin; that of the one past the last is the number of examples."""
        first = np.minimum(windows * self.window_blocks, self.num_blocks)
        return first * self.block_examples - self._lacking * (short_at < first)

    def _window_of(self, offsets: Int64s, short_at: Int64s) -> Int64s:
        if self.block_examples * self.window_blocks > self.num_examples:  # the product may be past 64 bits
            return np.zeros_like(offsets)
        windows = offsets // (self.block_examples * self.window_blocks)
        return windows + (offsets >= self._start_of(windows + 1, short_at))

    def _split(self, places: Int64s, short_at: Int64s) -> tuple[Int64s, Int64s]:
        """The block, by its place in the epoch, and the place in it, of ``places`` in the epoch."""
        after = places >= (short_at + 1) * self.block_examples - self._lacking
        return np.divmod(places + self._lacking * after, np.int64(self.block_examples))

    def _shuffled(self, epochs: Int64s, windows: Int64s, short_at: Int64s, within: Int64s, *, inverse: bool) -> Int64s:
        """``within`` their windows, exchanged; windows have three sizes at most."""
        sizes = self._start_of(windows + 1, short_at) - self._start_of(windows, short_at)
        found = np.empty_like(within)
        for size in np.unique(sizes).tolist():
            here = sizes == size
            window = Permutation(size, self._of_windows(epochs[here], windows[here]))
            found[here] = window.inverse(within[here]) if inverse else window.forward(within[here])
        return found

    def _of_epochs(self, epochs: Int64s, purpose: str) -> UInt64s:
        return self._each(epochs, lambda epoch: self._words(purpose, epoch))

    def _of_windows(self, epochs: Int64s, windows: Int64s) -> UInt64s:
        pairs, where = np.unique(np.stack([epochs, windows]), axis=1, return_inverse=True)
        return np.stack([self._words("window", *pair) for pair in pairs.T.tolist()])[where.ravel()]

    def _words(self, purpose: str, *of: int) -> UInt64s:
        shape = (self.block_examples, self.window_blocks)
        return key_words(NUM_ROUNDS, "block order", ORDER_VERSION, *shape, self.fingerprint, self.seed, purpose, *of)


class PackedRanks:
    """Which image has which rank where neighbours in rank are to be neighbours in a store.

    Ranks follow ``rows``, the rows of a packed store in the order in which they lie, or where none was packed a
    permutation that is keyed by the content; in either case from a place that depends on ``seed``, so that other seeds
    hold out other images. How a store was packed decides what is seen when, so it is part of what names the data.
    """

    def __init__(self, size: int, fingerprint: str, seed: int, rows: Int64s | None) -> None:
        self._rows, self._drawn = rows, Permutation.of(size, "packing", fingerprint)
        self._shift = int(key_words(1, "packed ranks", fingerprint, seed)[0]) % size

    def named(self, fingerprint: str) -> str:
        """The ``fingerprint`` of content that is seen by these ranks."""
        return fingerprint if self._rows is None else digest(f"{fingerprint} packed ".encode() + self._rows.tobytes())

    def forward(self, ranks: Int64s) -> Int64s:
        """The numbers of the images of ``ranks`` in the canonical order of their content."""
        at = (ranks + self._shift) % self._drawn.size
        return self._drawn.forward(at) if self._rows is None else self._rows[at]
