"""What a Parquet file claims to unpack to, read from its footer and the heads of its pages before any is unpacked.

A page of a few kilobytes may unpack to gigabytes, a value may be a gigabyte, and what the footer says need not be what
the pages say. Arrow's own view of a footer is not asked: a damaged one ends the process in C++.

Source: apache/parquet-format, parquet.thrift (FileMetaData, PageHeader), and the compact protocol of Apache Thrift.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.records.errors import DataError
from levelfield.records.files import most_unpacked, open_regular, regular_stat

MIN_ROW_BYTES = 8
"""Of a file that holds images, for each row that it claims: no image is as small."""

MAX_NAMED_ROWS = 2**25
"""Of a file that merely names images: as many as a folder may hold. Rows of such take a bit or two."""

MAX_PAGE_BYTES = MAX_ENCODED_BYTES + 16 * 2**20
"""Unpacked: a page of usual size, a MiB, that ends with the largest picture there may be."""

MAX_VALUES = 2**22
"""In a footer; a column in a row group takes some fifty."""

_HEAD_BYTES, _LONGEST_HEAD_BYTES = 2**12, 2**24
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12
_ROW_GROUPS, _COLUMNS, _COLUMN, _NUM_ROWS = 4, 1, 3, 3  # fields of FileMetaData, RowGroup, ColumnChunk, RowGroup
_PATH, _PACKED_SIZE, _DATA_PAGE, _DICTIONARY_PAGE = 3, 7, 9, 11  # fields of ColumnMetaData
_UNPACKED, _PACKED, _OF_DICTIONARY = 2, 3, 7  # fields of PageHeader


@dataclass(frozen=True, kw_only=True)
class Claims:
    """``most_bytes`` is what a file may unpack to; by row group, ``num_rows`` and ``dictionary_bytes``, the unpacked
    size of what may be spelt out for any row, 0 where nothing is."""

    most_bytes: int
    num_rows: tuple[int, ...]
    dictionary_bytes: tuple[int, ...]


def read_claims(path: str | Path, columns: Sequence[str], *, holds_images: bool) -> Claims:
    """What the Parquet file at ``path`` claims of its ``columns``, of which some hold images or none does.

    Raises:
        DataError: it claims more than its size allows, or its footer or the head of a page is damaged.
    """
    size = regular_stat(path).st_size
    most = most_unpacked(size)
    total = 0
    num_rows: list[int] = []
    dictionary_bytes: list[int] = []
    with open_regular(path) as file:
        try:
            for group in _footer(file, size).get(_ROW_GROUPS, ()):
                num_rows.append(group[_NUM_ROWS])
                dictionary_bytes.append(0)
                most_rows = size // MIN_ROW_BYTES if holds_images else MAX_NAMED_ROWS
                if min(num_rows) < 0 or sum(num_rows) > most_rows:
                    raise DataError(f"{path} has {size:,} bytes and claims {sum(num_rows):,} rows: it is damaged")
                for chunk in group[_COLUMNS] if num_rows[-1] else ():
                    name = chunk[_COLUMN][_PATH][0].decode()
                    if name in columns:
                        unpacked, of_dictionary = _unpacked(file, chunk[_COLUMN], size, f"{name!r} of {path}")
                        total += unpacked
                        dictionary_bytes[-1] += of_dictionary
                    if total > most:
                        raise DataError(f"{path} has {size:,} bytes and unpacks to {total:,} or more: it is no data")
        except (IndexError, KeyError, TypeError, AttributeError, ValueError, struct.error) as error:
            raise DataError(f"{path} cannot be read as Parquet: its footer or a page is damaged ({error})") from None
    return Claims(most_bytes=most, num_rows=tuple(num_rows), dictionary_bytes=tuple(dictionary_bytes))


def _footer(file: BinaryIO, size: int) -> dict[int, Any]:
    file.seek(max(0, size - 8))
    length, magic = struct.unpack("<I4s", file.read(8))
    if magic != b"PAR1" or length > size - 8:
        raise ValueError("no end as Parquet has it")
    file.seek(size - 8 - length)
    return Compact(file.read(length)).struct()


def _unpacked(file: BinaryIO, column: dict[int, Any], size: int, where: str) -> tuple[int, int]:
    """What the pages of a column chunk claim to unpack to, in bytes, and what its dictionary does."""
    dictionary, first = column.get(_DICTIONARY_PAGE), column[_DATA_PAGE]
    place = dictionary if dictionary and 0 < dictionary < first else first
    end, total, of_dictionary = place + column[_PACKED_SIZE], 0, 0
    if not 0 <= place <= end <= size:
        raise ValueError("pages outside the file")
    while place < end:
        head, length = _page_head(file, place, end)
        if min(head[_UNPACKED], head[_PACKED]) < 0:
            raise ValueError("a page of negative size")
        if head[_UNPACKED] > MAX_PAGE_BYTES:
            raise DataError(
                f"a value or page of {head[_UNPACKED]:,} bytes lies in {where}, expected at most {MAX_PAGE_BYTES:,}: "
                "make the picture smaller"
            )
        total += head[_UNPACKED]
        of_dictionary += head[_UNPACKED] if _OF_DICTIONARY in head else 0
        place += length + head[_PACKED]
    return total, of_dictionary


def _page_head(file: BinaryIO, place: int, end: int) -> tuple[dict[int, Any], int]:
    """The fields of the page's header at ``place`` by number, and its length."""
    for most in (_HEAD_BYTES, _LONGEST_HEAD_BYTES):
        file.seek(place)
        content = file.read(min(most, end - place))
        reader = Compact(content)
        try:
            return reader.struct(), reader.place
        except IndexError:  # its statistics are longer
            if len(content) < most:
                break
    raise ValueError(f"the head of a page at byte {place:,}")


class Compact:
    """Thrift's compact protocol: a structure as its fields by number, lists as lists, texts as bytes, the rest None."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place, self._values = content, 0, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The structure that begins here.

        Raises:
            IndexError: the content ends before it.
            ValueError: it is damaged, or holds more than a footer does.
        """
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self._zigzag()
            fields[number] = None if kind in _BOOLEANS else self._value(kind, depth + 1)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        self._values += 1
        if self._values > MAX_VALUES or depth > 16:
            raise ValueError("more values, or nested deeper, than a footer is")
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in _LISTS:
            head = self._byte()
            length, inner = (head >> 4 if head >> 4 != 15 else self._varint()), head & 15
            return [self._value(_BYTE if inner in _BOOLEANS else inner, depth + 1) for _ in range(length)]
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind not in (_BYTE, _DOUBLE):
            raise ValueError(f"a value of kind {kind}")
        self._bytes(8 if kind == _DOUBLE else 1)
        return None

    def _bytes(self, length: int) -> bytes:
        self.place += length
        if self.place > len(self.content):
            raise IndexError("it ends early")
        return self.content[self.place - length : self.place]

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
