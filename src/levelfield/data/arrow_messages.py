"""Whether an Arrow file may be mapped: what is packed in it would unpack to any size before anybody could look."""

from __future__ import annotations

import struct
from pathlib import Path

import pyarrow as pa

from levelfield.records.errors import DataError

_MAGIC, _HEAD_BYTES = b"ARROW1", 8


def refuse_compressed(file: pa.MemoryMappedFile, path: str | Path) -> bool:
    """Whether ``file`` is an Arrow file and not a stream; it stands at its beginning then.

    Raises:
        DataError: its buffers are packed.
        ValueError, OSError: it is damaged.
    """
    in_a_file = file.read(len(_MAGIC)) == _MAGIC
    file.seek(_HEAD_BYTES if in_a_file else 0)
    if any(map(_is_compressed, pa.ipc.MessageReader.open_stream(file))):
        raise DataError(f"{path} is compressed, so that it cannot be mapped: save it without compression")
    file.seek(0)
    return in_a_file


def _is_compressed(message: pa.ipc.Message) -> bool:
    """Whether a message says that its buffers are packed: a small one may then unpack to any size.

    Source: apache/arrow, format/Message.fbs (Message.header, RecordBatch.compression), and the layout of FlatBuffers.
    """
    if message.type != "record batch":
        return False
    content = message.metadata.to_pybytes()
    try:
        header = _field(content, struct.unpack_from("<I", content)[0], 2)
        if header is None:
            raise ValueError("a message without a header")
        return _field(content, header + struct.unpack_from("<I", content, header)[0], 3) is not None
    except struct.error:
        raise ValueError("a message that is damaged") from None


def _field(content: bytes, table: int, number: int) -> int | None:
    """Where the field of a table of FlatBuffers stands; None where it is absent."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", content, fields)[0]:
        return None
    offset = struct.unpack_from("<H", content, fields + 4 + 2 * number)[0]
    return table + offset if offset else None
