"""A column of encoded images in Parquet files: read by file and row, its row groups kept while there is room."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from levelfield.data.stores.parquet_file import ParquetFile
from levelfield.records.errors import DataError

logger = logging.getLogger(__name__)

ENCODED_LIMIT_BYTES = 4 * 2**30
"""Row groups are kept in memory, the least recently read dropped first, up to this many bytes of a column."""


class RowGroups:
    """The images of ``column`` in ``files``, each opened by a call when it is first read."""

    def __init__(self, files: Sequence[Callable[[], ParquetFile]], column: str) -> None:
        self._openers, self._column = files, column
        self._files: dict[int, tuple[ParquetFile, np.ndarray]] = {}
        self._kept: OrderedDict[tuple[int, int], pa.ChunkedArray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, number: int, row: int) -> bytes:
        """The image in ``row`` of file ``number``.

        Raises:
            DataError: the file is damaged, or has no image there.
        """
        images, inside = self._group_of(number, row)
        found = images[inside].as_py()
        if found is None:
            raise DataError(f"{self._files[number][0].path} row {row} has no {self._column}: fill the row or remove it")
        return found

    def _group_of(self, number: int, row: int) -> tuple[pa.ChunkedArray, int]:
        """The column of the row group that holds ``row``, and where in it that is."""
        with self._lock:
            if number not in self._files:
                file = self._openers[number]()
                rows = [file.num_rows(group) for group in range(file.num_row_groups)]
                self._files[number] = file, np.cumsum([0, *rows])
            file, firsts = self._files[number]
            if not 0 <= row < firsts[-1]:
                raise DataError(
                    f"{file.path} has {firsts[-1]} rows, and row {row} was listed: it has changed; run again"
                )
            group = int(np.searchsorted(firsts, row, side="right")) - 1
            return self._images(number, group), row - int(firsts[group])

    def _images(self, number: int, group: int) -> pa.ChunkedArray:
        place = number, group
        if place not in self._kept:
            self._kept[place] = self._files[number][0].encoded(group, self._column)
            self._bytes += self._kept[place].nbytes
            while len(self._kept) > 1 and self._bytes > ENCODED_LIMIT_BYTES:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
                logger.debug("row groups exceed %d bytes; reading them again as needed", ENCODED_LIMIT_BYTES)
        self._kept.move_to_end(place)
        return self._kept[place]
