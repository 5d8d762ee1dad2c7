"""A column of encoded images in the files of one table, by row over all of them, with the digest of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from levelfield.data.canonical import DIGEST_RULE, digest_of
from levelfield.data.kept_digests import KeptDigests
from levelfield.data.stores.parquet_file import ParquetFile
from levelfield.data.stores.row_groups import RowGroups
from levelfield.records.errors import DataError


class EncodedColumn:
    """The images of ``column`` over all row groups of ``files``, the table ``of`` that name, numbered by row.

    ``digests`` are uint8 [N, 16], see :func:`levelfield.data.canonical.digest_of`.

    Raises:
        DataError: there are no rows, or one of them has no image.
    """

    def __init__(self, files: Sequence[ParquetFile], column: str, *, of: str, rehash: bool = False) -> None:
        self._files = files
        self._groups = RowGroups([partial(_itself, file) for file in files], column)
        rows = [sum(file.num_rows(group) for group in range(file.num_row_groups)) for file in files]
        self._first_rows = np.cumsum([0, *rows])
        if not self._first_rows[-1]:
            raise DataError(f"{of} holds no rows: expected images in column {column!r}")
        kept = KeptDigests(of, f"{DIGEST_RULE} in {column}", rehash=rehash)
        self.digests = np.concatenate(
            [
                kept.of(file.path, partial(self._digests, number, rows[number]), rows=rows[number])
                for number, file in enumerate(files)
            ]
        )
        kept.save()

    def read(self, row: int) -> bytes:
        number = self._file_of(row)
        return self._groups.read(number, row - int(self._first_rows[number]))

    def name(self, row: int) -> str:
        """What to call the image in a message."""
        number = self._file_of(row)
        return f"{self._files[number].path} row {row - int(self._first_rows[number])}"

    def _file_of(self, row: int) -> int:
        return int(np.searchsorted(self._first_rows, row, side="right")) - 1

    def _digests(self, number: int, rows: int) -> list[bytes]:
        return [digest_of(self._groups.read(number, row)) for row in range(rows)]


def _itself(file: ParquetFile) -> ParquetFile:
    return file
