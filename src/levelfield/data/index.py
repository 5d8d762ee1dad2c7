"""Where every picture of a set lies: five columns by row, in canonical order, mapped from one Arrow file.

Opening costs the same for a thousand rows and for a billion: nothing is read but the end of the file, and what is
resident are the pages of rows that were asked for. Who copies the columns out (``labels[...]``, ``bincount``) pays for
all rows; an opened source asks for held-out rows alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levelfield.data.arrow_messages import refuse_compressed
from levelfield.data.canonical import DIGEST_BYTES, canonical_order, paired_order, said_order
from levelfield.data.draws import Int64s
from levelfield.records.errors import DataError, first_line
from levelfield.records.files import regular_stat

_FIELDS = (
    ("label", pa.int32()),
    ("digest", pa.binary(DIGEST_BYTES)),
    ("shard", pa.uint32()),
    ("offset", pa.uint64()),
    ("length", pa.uint64()),
)
_NAME = ("name", pa.large_binary())


@dataclass(frozen=True, kw_only=True, eq=False)
class ListedRows:
    """Pictures as they were listed, in any order: arrays by row.

    ``shard`` uint32 is the number of a file, ``offset`` and ``length`` uint64 where in it a picture lies, in whatever
    the store counts (bytes of a tar, rows of a table). ``names`` are what to call each, None where its place will do.
    """

    label: NDArray[np.int32]
    digest: NDArray[np.uint8]
    shard: NDArray[np.uint32]
    offset: NDArray[np.uint64]
    length: NDArray[np.uint64]
    names: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.label)

    def called(self, names: list[bytes]) -> ListedRows:
        """The same under other names."""
        return dataclasses.replace(self, names=names)


class Index:
    """The columns of a set of pictures by row: ``labels`` int32 [N], ``digests`` uint8 [N, 16], ``shards`` uint32 [N],
    ``offsets`` and ``lengths`` uint64 [N]."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self.labels: NDArray[np.int32] = _numbers(batch, "label", np.int32)
        self.digests: NDArray[np.uint8] = _digests(batch)
        self.shards: NDArray[np.uint32] = _numbers(batch, "shard", np.uint32)
        self.offsets: NDArray[np.uint64] = _numbers(batch, "offset", np.uint64)
        self.lengths: NDArray[np.uint64] = _numbers(batch, "length", np.uint64)
        self._name_ends, self._names = _texts(batch) if _NAME[0] in batch.schema.names else (None, None)

    def __len__(self) -> int:
        return self._batch.num_rows

    @classmethod
    def of(cls, rows: ListedRows) -> Index:
        """The index in memory of ``rows``, brought into canonical order."""
        return cls._in_order(rows, canonical_order(rows.label, rows.digest))

    @classmethod
    def pair_of(cls, pictures: ListedRows, masks: ListedRows) -> tuple[Index, Index]:
        """The indices in memory of pictures and of their masks, row by row, brought into their canonical order."""
        order = paired_order(pictures.digest, masks.digest)
        return cls._in_order(pictures, order), cls._in_order(masks, order)

    @classmethod
    def said_of(cls, pictures: ListedRows, texts: ListedRows) -> tuple[Index, Index]:
        """The indices in memory of pictures and of what is said of them, row by row, in their canonical order."""
        order = said_order(pictures.label, pictures.digest, texts.digest)
        return cls._in_order(pictures, order), cls._in_order(texts, order)

    @classmethod
    def unordered(cls, rows: ListedRows) -> Index:
        """The index in memory of ``rows`` in the order that they have, to read them by before they are hashed."""
        return cls._in_order(rows, np.arange(len(rows)))

    @classmethod
    def _in_order(cls, rows: ListedRows, order: Int64s) -> Index:
        digests = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(DIGEST_BYTES), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows.digest[order]))]
        )
        arrays = [
            pa.array(rows.label[order], pa.int32()),
            digests,
            pa.array(rows.shard[order], pa.uint32()),
            pa.array(rows.offset[order], pa.uint64()),
            pa.array(rows.length[order], pa.uint64()),
        ]
        fields = [*_FIELDS]
        if rows.names is not None:
            arrays.append(pa.array([rows.names[row] for row in order.tolist()], pa.large_binary()))
            fields.append(_NAME)
        return cls(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)))

    @classmethod
    def merged(cls, indices: Sequence[Index]) -> Index:
        """The index in memory of the rows of all ``indices``, brought into canonical order."""
        digests = np.concatenate([index.digests for index in indices])
        return cls._taken(indices, canonical_order(np.concatenate([index.labels for index in indices]), digests))

    @classmethod
    def merged_pairs(cls, pictures: Sequence[Index], masks: Sequence[Index]) -> tuple[Index, Index]:
        """The same of pictures and of their masks, row by row, in their canonical order."""
        order = paired_order(*(np.concatenate([index.digests for index in each]) for each in (pictures, masks)))
        return cls._taken(pictures, order), cls._taken(masks, order)

    @classmethod
    def merged_said(cls, pictures: Sequence[Index], texts: Sequence[Index]) -> tuple[Index, Index]:
        """The same of pictures and of what is said of them."""
        labels = np.concatenate([index.labels for index in pictures])
        digests = (np.concatenate([index.digests for index in each]) for each in (pictures, texts))
        order = said_order(labels, *digests)
        return cls._taken(pictures, order), cls._taken(texts, order)

    def at(self, places: Int64s) -> Index:
        """The index in memory of the rows at ``places``, in that order."""
        return self.unordered(self.rows(places, self.digests[places]))

    @classmethod
    def _taken(cls, indices: Sequence[Index], order: Int64s) -> Index:
        table = pa.Table.from_batches([index._batch for index in indices])
        batches = table.take(pa.array(order)).combine_chunks().to_batches()
        return cls(batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema))

    def rows(self, places: Int64s, digests: NDArray[np.uint8]) -> ListedRows:
        """The rows at ``places`` [n], with ``digests`` [n, 16]."""
        names = [self.name(place) for place in places.tolist()]
        return ListedRows(
            label=self.labels[places],
            digest=digests,
            shard=self.shards[places],
            offset=self.offsets[places],
            length=self.lengths[places],
            names=None if None in names else [os.fsencode(name or "") for name in names],
        )

    def write(self, path: Path) -> None:
        """Write the Arrow file ``path``, which must not be there, and bring it to the disk."""
        with open(path, "xb") as file:
            with pa.ipc.new_file(file, self._batch.schema) as writer:
                writer.write_batch(self._batch)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def open(cls, path: Path) -> Index:
        """The index in the Arrow file ``path``, mapped.

        Raises:
            DataError: it is no such file, or damaged where that shows without reading all of it.
            OSError: it is missing.
        """
        regular_stat(path)
        try:
            with pa.memory_map(str(path)) as file:
                if not refuse_compressed(file, path):
                    raise DataError(f"{path} cannot be read as an index: it is no Arrow file")
                reader = pa.ipc.open_file(file)
                if reader.num_record_batches != 1:
                    raise DataError(f"{path} is no index: it has {reader.num_record_batches} batches, expected one")
                batch = reader.get_batch(0)
            if [(field.name, field.type) for field in batch.schema][:5] != [*_FIELDS]:
                raise DataError(f"{path} is no index: it has the columns {batch.schema.names}")
            batch.validate()
            return cls(batch)
        except (pa.ArrowException, OSError, ValueError, TypeError, IndexError) as error:
            raise DataError(f"{path} cannot be read as an index: {first_line(error)}") from None

    def name(self, row: int) -> str | None:
        """What to call the picture of ``row``; None where names are not kept."""
        if self._name_ends is None or self._names is None:
            return None
        first, end = self._name_ends[row].item(), self._name_ends[row + 1].item()
        if not 0 <= first <= end <= len(self._names):
            raise DataError(f"the index is damaged: the name of row {row} lies outside of it")
        return os.fsdecode(self._names[first:end].tobytes())


def _numbers(batch: pa.RecordBatch, name: str, dtype: type) -> NDArray:
    column = batch.column(name)
    if column.null_count:
        raise DataError(f"the index is damaged: column {name!r} has rows without a value")
    return column.to_numpy(zero_copy_only=True).view(dtype)


def _digests(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    column = batch.column("digest")
    content = column.buffers()[1]
    assert content is not None
    found = np.frombuffer(content, dtype=np.uint8, count=DIGEST_BYTES * (column.offset + len(column)))
    return found.reshape(-1, DIGEST_BYTES)[column.offset :]


def _texts(batch: pa.RecordBatch) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Where each name ends, one more than there are rows, and all names."""
    _, ends, content = batch.column(_NAME[0]).buffers()
    assert ends is not None
    names = np.frombuffer(content, dtype=np.uint8) if content is not None else np.zeros(0, dtype=np.uint8)
    return np.frombuffer(ends, dtype=np.int64)[: batch.num_rows + 1], names
