"""What a Parquet file claims to unpack to, read from its footer and the heads of its pages before any is unpacked.

A page of a few kilobytes may unpack to gigabytes, a value may be a gigabyte, and what the footer says need not be what
the pages say.

Source: apache/parquet-format, parquet.thrift (PageHeader), and the compact protocol of Apache Thrift.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.records.errors import DataError
from levelfield.records.files import open_regular, regular_stat

UNPACKED_RATIO, UNPACKED_SLACK_BYTES = 8, 64 * 2**20
"""The images and labels of a file unpack to no more than so many times its size and this: encoded images do not
compress."""

MIN_ROW_BYTES = 8
"""Of a file, for each row that it claims: no image is as small."""

MAX_PAGE_BYTES = MAX_ENCODED_BYTES + 16 * 2**20
"""Unpacked: a page of usual size, a MiB, that ends with the largest picture there may be."""

MAX_PAGES = 2**20
_HEAD_BYTES, _LONGEST_HEAD_BYTES = 2**12, 2**24
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12


def refuse_claims(path: Path, metadata: Any, columns: Sequence[str]) -> int:
    """Refuse a file that claims more than its size allows; else the bytes that its ``columns`` may unpack to.

    Raises:
        DataError: it does, or the head of a page is damaged.
    """
    size = regular_stat(path).st_size
    most = UNPACKED_RATIO * size + UNPACKED_SLACK_BYTES
    if not 0 <= metadata.num_rows <= size // MIN_ROW_BYTES:
        raise DataError(f"{path} has {size:,} bytes and claims {metadata.num_rows:,} rows: it is damaged")
    total = 0
    with open_regular(path) as file:
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for place in range(row_group.num_columns if row_group.num_rows else 0):
                chunk = row_group.column(place)
                if chunk.path_in_schema.partition(".")[0] in columns:
                    total += max(chunk.total_uncompressed_size, _unpacked(file, chunk, path))
                    if total > most:
                        raise DataError(f"{path} has {size:,} bytes and unpacks to {total:,} or more: it is no data")
    return most


def _unpacked(file: Any, chunk: Any, path: Path) -> int:
    """What the pages of a column chunk claim to unpack to, in bytes."""
    dictionary, first = chunk.dictionary_page_offset, chunk.data_page_offset
    place = dictionary if dictionary and 0 < dictionary < first else first
    end, total = place + chunk.total_compressed_size, 0
    for _ in range(MAX_PAGES):
        if place >= end:
            return total
        head, length = _page_head(file, place, end, path)
        unpacked, packed = head.get(2), head.get(3)
        if not isinstance(unpacked, int) or not isinstance(packed, int) or min(unpacked, packed) < 0:
            break
        if unpacked > MAX_PAGE_BYTES:
            raise DataError(
                f"{path} holds a value or page of {unpacked:,} bytes in {chunk.path_in_schema!r}, expected at most "
                f"{MAX_PAGE_BYTES:,}: make the picture smaller"
            )
        total += unpacked
        place += length + packed
    raise DataError(f"{path} cannot be read as Parquet: the head of a page of {chunk.path_in_schema!r} is damaged")


def _page_head(file: Any, place: int, end: int, path: Path) -> tuple[dict[int, Any], int]:
    """The fields of the page's header at ``place`` by number, and its length."""
    for most in (_HEAD_BYTES, _LONGEST_HEAD_BYTES):
        file.seek(place)
        reader = _Compact(file.read(min(most, end - place)))
        try:
            return reader.struct(), reader.place
        except (IndexError, KeyError, ValueError):
            continue
    raise DataError(f"{path} cannot be read as Parquet: the head of a page at byte {place:,} is damaged")


class _Compact:
    """As much of Thrift's compact protocol as page headers need: whole numbers by field, all else passed over."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        if depth > 8:
            raise ValueError("nested too deep")
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self._zigzag()
            fields[number] = self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _BOOLEANS:
            return None
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in _LISTS:
            head = self._byte()
            for _ in range(head >> 4 if head >> 4 != 15 else self._varint()):
                self._value(_BYTE if head & 15 in _BOOLEANS else head & 15, depth + 1)
            return None
        self._skip({_BYTE: 1, _DOUBLE: 8}[kind] if kind != _BINARY else self._varint())
        return None

    def _skip(self, length: int) -> None:
        self.place += length
        if self.place > len(self.content):
            raise IndexError("the head ends early")

    def _byte(self) -> int:
        self.place += 1
        return self.content[self.place - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number without end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
