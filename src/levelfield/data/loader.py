"""From an order and a source to batches of tensors. The whole state is one integer: global examples consumed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from levelfield.data.ahead import Ahead
from levelfield.data.audit import SeenAudit
from levelfield.data.augment.mixing import Mixing
from levelfield.data.draws import Int64s, UInt64s
from levelfield.data.foresight import Foresight
from levelfield.data.order import ExampleOrder, shard
from levelfield.data.source import Examples, Source
from levelfield.records.data import Split
from levelfield.records.errors import DataError

_IMAGES_AT_ONCE = 128
"""Rendered together, by one thread: most of the cost of a few small ones is fixed."""

_BYTES_AHEAD = 2**24
"""Of small pictures so many may lie ahead, that threads are woken seldom."""


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
    """A stream of training batches, resumable at any step, on any number of ranks; endless without ``end_examples``.

    ``examples_seen`` is the state: the global examples consumed once the batch in hand is trained on. Store it with
    the weights; a new Loader with ``start_examples`` set to it goes on exactly there, with any ``world_size`` or
    ``global_batch_size``. The last batch is the first that reaches ``end_examples``: nothing beyond it is rendered.
    ``prefetch`` threads render batches ahead, with equal results; they are no part of the state.
    With ``pinned``, what they render lies in memory that a GPU copies from by itself. ``mixing`` mixes examples with
    one another; then a rank's share is whole blocks of positions.

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
        end_examples: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 0,
        pinned: bool = False,
        mixing: Mixing | None = None,
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
        if mixing is not None:
            mixing.check_shares(start_examples, global_batch_size, world_size)
        self.source, self.order, self.global_batch_size = source, order, global_batch_size
        self.rank, self.world_size, self.prefetch, self.mixing = rank, world_size, prefetch, mixing
        self.examples_seen, self.waited_seconds, self._end = start_examples, 0.0, end_examples
        self._pinned = pinned and torch.cuda.is_available()
        self._batches_a_run = max(1, _IMAGES_AT_ONCE // global_batch_size)
        self._ahead: Ahead[_Run] | None = None

    def __iter__(self) -> Iterator[Batch]:
        runs = self._rendered_at_once()
        if self.prefetch:
            self._ahead = Ahead(self._runs(), threads=self.prefetch, runs_ahead=self._runs_ahead())
            runs = iter(self._ahead)
        while True:
            begin = time.perf_counter()
            run = next(runs, None)
            self.waited_seconds += time.perf_counter() - begin
            if run is None:
                return
            for batch in run.batches():
                self.examples_seen += self.global_batch_size
                yield batch

    def cpu_seconds_ahead(self) -> float:
        """CPU seconds that the threads have taken by now."""
        return self._ahead.cpu_seconds() if self._ahead else 0.0

    def _runs_ahead(self) -> int:
        images_a_run = self._batches_a_run * max(1, self.global_batch_size // self.world_size)
        small = _BYTES_AHEAD // (self.source.in_channels * self.source.resolution**2)
        images = max(2 * self.prefetch * _IMAGES_AT_ONCE, min(small, 16 * _IMAGES_AT_ONCE))
        return max(1, -(-images // images_a_run))

    def _rendered_at_once(self) -> Iterator[_Run]:
        for run, tasks in self._runs():
            for task in tasks:
                task()
            yield run

    def _runs(self) -> Iterator[tuple[_Run, list[Callable[[], None]]]]:
        """Runs of batches that are rendered together, and for each the tasks that do it.

        The first is one batch, which is waited for; each has up to twice the batches of the one before.
        """
        start, batches = self.examples_seen, 1
        foresight = Foresight(
            self.source,
            self.order,
            start=start,
            global_batch_size=self.global_batch_size,
            rank=self.rank,
            world_size=self.world_size,
        )
        while self._end is None or start < self._end:
            starts = range(start, start + batches * self.global_batch_size, self.global_batch_size)
            starts = [first for first in starts if self._end is None or first < self._end]
            run = _Run([shard(first, self.global_batch_size, self.rank, self.world_size) for first in starts])
            at_once = _IMAGES_AT_ONCE if self.prefetch else len(run)
            parts = [slice(first, first + at_once) for first in range(0, len(run), at_once)]
            start += batches * self.global_batch_size
            foresight.tell(start)
            yield run, [partial(self._render, run, part, whole=len(parts) == 1) for part in parts]
            batches = min(2 * batches, self._batches_a_run)

    def _render(self, run: _Run, part: slice, *, whole: bool) -> None:
        positions = run.positions[part]
        epochs, ids = self.order.ids(positions)
        keys = self.order.augment_keys(epochs, self.order.views(positions))
        fields, valid = _tensors(self.source.batch("train", ids, keys))
        if self.mixing is not None:
            fields = self.mixing.mixed(positions, fields, valid)
        run.epochs[part], run.ids[part], run.augment_keys[part] = epochs, ids, keys
        run.hold(part, {**fields, _VALID: valid}, whole=whole, pinned=self._pinned)


_VALID = "valid"


class _Run:
    """Batches that are rendered together: their arrays, filled a part at a time, by any thread."""

    def __init__(self, shares: list[range]) -> None:
        self.positions = np.concatenate([np.asarray(share, dtype=np.int64) for share in shares])
        self.epochs, self.ids = np.empty_like(self.positions), np.empty_like(self.positions)
        self.augment_keys = np.empty(len(self.positions), dtype=np.uint64)
        self._ends = np.cumsum([len(share) for share in shares]).tolist()
        self._lengths = [len(share) for share in shares]
        self._tensors: dict[str, Tensor] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.positions)

    def hold(self, part: slice, tensors: Mapping[str, Tensor], *, whole: bool, pinned: bool) -> None:
        """Put what was rendered of ``part`` into its place; what is the whole run, and may lie anywhere, is that."""
        for name, tensor in tensors.items():
            pins = pinned and tensor.device.type == "cpu"
            if whole and not pins:
                self._tensors[name] = tensor
                continue
            with self._lock:
                if name not in self._tensors:
                    shape = (len(self), *tensor.shape[1:])
                    self._tensors[name] = torch.empty(shape, dtype=tensor.dtype, device=tensor.device, pin_memory=pins)
            self._tensors[name][part] = tensor

    def batches(self) -> Iterator[Batch]:
        for end, length in zip(self._ends, self._lengths, strict=True):
            part = slice(end - length, end)
            fields = {name: tensor[part] for name, tensor in self._tensors.items()}
            yield Batch(
                positions=self.positions[part],
                epochs=self.epochs[part],
                ids=self.ids[part],
                augment_keys=self.augment_keys[part],
                valid=fields.pop(_VALID),
                fields=fields,
            )


def evaluation_batches(
    source: Source, split: Split, batch_size: int, *, rank: int = 0, world_size: int = 1
) -> Iterator[Batch]:
    """Every example of ``split`` once, in the order of ids, never augmented; the last batch may be smaller.

    Of ``world_size`` ranks each takes every so many-th batch, the first the first one.

    Raises:
        ValueError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, saw {batch_size}")
    size = source.split_sizes[split]
    for start in range(rank * batch_size, size, world_size * batch_size):
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
