"""A column of encoded images in the files of one table: read by row, its row groups kept while there is room."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from levelfield.data.sources.digests import KeptDigests
from levelfield.data.sources.images import DIGEST_RULE, digest_of
from levelfield.data.sources.parquet_file import ParquetFile
from levelfield.records.errors import DataError

logger = logging.getLogger(__name__)

ENCODED_LIMIT_BYTES = 4 * 2**30
"""Row groups are kept in memory, the least recently read dropped first, up to this many bytes of a column."""


class EncodedColumn:
    """The images of ``column`` over all row groups of ``files``, the table ``of`` that name, numbered by row.

    ``digests`` are uint8 [N, 16], see :func:`levelfield.data.sources.images.digest_of`.

    Raises:
        DataError: there are no rows, or one of them has no image.
    """

    def __init__(self, files: Sequence[ParquetFile], column: str, *, of: str, rehash: bool = False) -> None:
        self._column = column
        self._groups = [(file, group) for file in files for group in range(file.num_row_groups)]
        self._kept: OrderedDict[int, pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()
        num_rows = [file.num_rows(group) for file, group in self._groups]
        self._first_rows = np.cumsum([0, *num_rows])
        if not self._first_rows[-1]:
            raise DataError(f"{of} holds no rows: expected images in column {column!r}")
        kept, first, digests = KeptDigests(of, f"{DIGEST_RULE} in {column}", rehash=rehash), 0, []
        for file in files:
            places = range(first, first := first + file.num_row_groups)
            rows = sum(num_rows[place] for place in places)
            digests.append(kept.of(file.path, partial(self._digests, places), rows=rows))
        self.digests = np.concatenate(digests)
        kept.save()

    def read(self, row: int) -> bytes:
        place = self._place(row)
        return self._images(place)[row - int(self._first_rows[place])].as_py()

    def name(self, row: int) -> str:
        """What to call the image in a message."""
        place = self._place(row)
        file, group = self._groups[place]
        return f"{file.path} row {row - int(self._first_rows[place - group])}"

    def _place(self, row: int) -> int:
        return int(np.searchsorted(self._first_rows, row, side="right")) - 1

    def _digests(self, places: range) -> list[bytes]:
        found: list[bytes] = []
        for place in places:
            images = self._images(place)
            if images.null_count:
                row = int(self._first_rows[place]) + images.is_null().to_pylist().index(True)
                raise DataError(f"{self.name(row)} has no {self._column}: fill the row or remove it")
            found.extend(digest_of(image.as_buffer()) for image in images)
        return found

    def _images(self, place: int) -> pa.ChunkedArray:
        """The column of one row group, from memory where it is still there."""
        with self._lock:
            if place not in self._kept:
                file, group = self._groups[place]
                self._kept[place] = file.encoded(group, self._column)
                while len(self._kept) > 1 and sum(part.nbytes for part in self._kept.values()) > ENCODED_LIMIT_BYTES:
                    self._kept.popitem(last=False)
                    logger.debug("row groups exceed %d bytes; reading them again as needed", ENCODED_LIMIT_BYTES)
            self._kept.move_to_end(place)
            return self._kept[place]
