"""What a run needs next, told to a source whose pictures lie far away as long before as its order gives reason to."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from levelfield.data.blocks import BlockOrder
from levelfield.data.draws import Int64s
from levelfield.data.order import ExampleOrder
from levelfield.data.source import Source
from levelfield.records.data import Split

AHEAD_EXAMPLES = 4096
"""Examples that are told ahead in an order without blocks: seconds of any training."""


@runtime_checkable
class Far(Protocol):
    """A source that reads from afar, and fetches ahead what it is told of."""

    @property
    def far(self) -> bool: ...

    def expect(self, split: Split, ids: Int64s) -> None:
        """``ids`` are asked for next, in that order."""
        ...


class Foresight:
    """Tells ``source`` what ``rank`` of ``world_size`` takes of the batches of ``order`` from ``start`` on, once each.

    In an order of blocks it tells the rest of a window and all of the next one, whose blocks are then fetched whole.
    """

    def __init__(
        self,
        source: Source,
        order: ExampleOrder,
        *,
        start: int,
        global_batch_size: int,
        rank: int,
        world_size: int,
    ) -> None:
        self._source = source if isinstance(source, Far) and source.far else None
        self._order, self._start, self._told = order, start, start
        self._batch = global_batch_size
        self._share = range(rank * global_batch_size // world_size, (rank + 1) * global_batch_size // world_size)

    def tell(self, position: int) -> None:
        """What lies before ``position`` is asked for now."""
        if self._source is None or (end := horizon(self._order, position)) <= self._told:
            return
        positions = np.arange(self._told, end, dtype=np.int64)
        within = (positions - self._start) % self._batch
        own = positions[(within >= self._share.start) & (within < self._share.stop)]
        self._source.expect("train", self._order.ids(own)[1])
        self._told = end


def horizon(order: ExampleOrder, position: int) -> int:
    """The position up to which a run that stands at ``position`` tells what it needs."""
    if isinstance(order, BlockOrder):
        return order.window_end(order.window_end(position))
    return position + AHEAD_EXAMPLES
