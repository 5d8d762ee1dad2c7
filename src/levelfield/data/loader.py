"""From an order and a source to batches of tensors. The whole state is one integer: global examples consumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from levelfield.data.audit import SeenAudit
from levelfield.data.draws import Int64s, UInt64s
from levelfield.data.foresight import Foresight
from levelfield.data.order import ExampleOrder, shard
from levelfield.data.source import Examples, Source
from levelfield.records.data import Split
from levelfield.records.errors import DataError

_IMAGES_A_RUN = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """One rank's share of a global batch.

    ``fields`` by name and ``valid`` bool ``[B]`` are tensors as :class:`levelfield.data.source.Examples` has
    them; ``positions``, ``epochs``, ``ids`` (int64) and ``augment_keys`` (uint64) are NumPy arrays ``[B]`` that say
    which examples these are.
    """

    positions: Int64s
    epochs: Int64s
    ids: Int64s
    augment_keys: UInt64s
    fields: Mapping[str, Tensor]
    valid: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def audited(self, audit: SeenAudit) -> SeenAudit:
        """``audit`` with this batch seen."""
        return audit.including(self.positions, self.epochs, self.ids, self.augment_keys)


class Loader:
    """An endless stream of training batches, resumable at any step, on any number of ranks.

    ``examples_seen`` is the state: the global examples consumed once the batch in hand is trained on. Store it with
    the weights; a new Loader with ``start_examples`` set to it goes on exactly there, with any ``world_size`` or
    ``global_batch_size``. ``prefetch`` runs of batches are rendered ahead in one background thread, with equal results;
    they are no part of the state.

    Raises:
        DataError: the order was made for other data.
        ValueError: rank, world size or batch cannot be.
    """

    def __init__(
        self,
        source: Source,
        *,
        order: ExampleOrder,
        global_batch_size: int,
        start_examples: int = 0,
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 0,
    ) -> None:
        size = source.split_sizes["train"]
        if order.fingerprint != source.fingerprint or order.num_ids != size:
            raise DataError(
                f"the order was made for {order.num_ids} examples of {order.fingerprint}, the source holds {size} of "
                f"{source.fingerprint}: the data has changed; train again from the beginning"
            )
        if start_examples < 0 or prefetch < 0:
            raise ValueError(f"start_examples and prefetch count from 0, saw {start_examples} and {prefetch}")
        shard(start_examples, global_batch_size, rank, world_size)
        self.source, self.order, self.global_batch_size = source, order, global_batch_size
        self.rank, self.world_size, self.prefetch = rank, world_size, prefetch
        self.examples_seen = start_examples
        self._batches_a_run = max(1, _IMAGES_A_RUN // global_batch_size)

    def __iter__(self) -> Iterator[Batch]:
        runs = self._rendered_ahead() if self.prefetch else map(self._render, self._starts())
        for run in runs:
            for batch in run:
                self.examples_seen += self.global_batch_size
                yield batch

    def _starts(self) -> Iterator[int]:
        """Where each run of batches starts, which are rendered at once: most of the cost of a small one is fixed."""
        start = self.examples_seen
        foresight = Foresight(
            self.source,
            self.order,
            start=start,
            global_batch_size=self.global_batch_size,
            rank=self.rank,
            world_size=self.world_size,
        )
        while True:
            end = start + self._batches_a_run * self.global_batch_size
            foresight.tell(end)
            yield start
            start = end

    def _render(self, start: int) -> list[Batch]:
        starts = [start + index * self.global_batch_size for index in range(self._batches_a_run)]
        shares = [shard(first, self.global_batch_size, self.rank, self.world_size) for first in starts]
        positions = np.concatenate([np.asarray(share, dtype=np.int64) for share in shares])
        epochs, ids = self.order.ids(positions)
        augment_keys = self.order.augment_keys(epochs, self.order.views(positions))
        fields, valid = _tensors(self.source.batch("train", ids, augment_keys))
        ends = np.cumsum([len(share) for share in shares])
        return [
            Batch(
                positions=positions[part],
                epochs=epochs[part],
                ids=ids[part],
                augment_keys=augment_keys[part],
                fields={name: field[part] for name, field in fields.items()},
                valid=valid[part],
            )
            for part in (slice(end - len(share), end) for share, end in zip(shares, ends, strict=True))
        ]

    def _rendered_ahead(self) -> Iterator[list[Batch]]:
        starts = self._starts()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="levelfield-loader") as renderer:
            ahead: deque[Future[list[Batch]]] = deque()
            try:
                while True:
                    while len(ahead) <= self.prefetch:
                        ahead.append(renderer.submit(self._render, next(starts)))
                    yield ahead.popleft().result()
            finally:
                for run in ahead:
                    run.cancel()


def evaluation_batches(source: Source, split: Split, batch_size: int) -> Iterator[Batch]:
    """Every example of ``split`` once, in the order of ids, never augmented; the last batch may be smaller.

    Raises:
        ValueError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, saw {batch_size}")
    size = source.split_sizes[split]
    for start in range(0, size, batch_size):
        ids = np.arange(start, min(start + batch_size, size), dtype=np.int64)
        fields, valid = _tensors(source.batch(split, ids))
        yield Batch(
            positions=ids,
            epochs=np.zeros_like(ids),
            ids=ids,
            augment_keys=np.zeros(len(ids), dtype=np.uint64),
            fields=fields,
            valid=valid,
        )


def _tensors(examples: Examples) -> tuple[dict[str, Tensor], Tensor]:
    fields = {name: torch.as_tensor(field) for name, field in examples.fields.items()}
    return fields, torch.as_tensor(examples.valid)
