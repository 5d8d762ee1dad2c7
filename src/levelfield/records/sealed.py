"""Records as files: JSON that people can read, with a seal, so that what is read is what was written.

The seal is the fingerprint of everything else in the file. It stands against accidents and second thoughts, not against
forgery: who rewrites a record can rewrite its seal, and ``levelfield verify`` is there to find that out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from levelfield.records.codec import from_json, from_plain, json_of_plain, plain_from_json, to_plain
from levelfield.records.errors import DamagedError, SpecError, StoreError
from levelfield.records.files import FileRefusedError, read_regular
from levelfield.records.fingerprint import fingerprint_of_plain
from levelfield.records.verbatim import unsealed
from levelfield.records.writing import is_there, write_atomically

T = TypeVar("T")
SEAL = "seal"
SCHEMA_KEY, SCHEMA = "schema", 3
"""What every record says of its own form. A change after which older records would be read for something else, or
called damaged, counts it up; those that say nothing are of form 1."""
MOST_BYTES = 32 << 20
"""What a record may take: far more than any does, and little enough to be read at once."""
_PURPOSE = "record"
MEND = "restore it from a copy; where it belongs to a study, `levelfield run` mends or retrains what it can"


def write_record(path: Path, value: Any) -> None:
    """Write a record as JSON with its seal, whole or not at all; equal records give equal bytes.

    Raises:
        StoreError: it is larger than a record may be, or the directory cannot be written.
    """
    plain = to_plain(value)
    plain[SCHEMA_KEY] = SCHEMA
    content = json_of_plain({**plain, SEAL: _seal(plain)}, indent=2).encode()
    if len(content) > MOST_BYTES:
        raise StoreError(f"cannot write {path}: it takes {len(content):,} bytes, a record may have {MOST_BYTES:,}")
    write_atomically(path, content)


def read_record(cls: type[T], path: Path, *, remedy: str = MEND) -> T:
    """Read what :func:`write_record` wrote.

    Raises:
        DamagedError: the file is missing, or is not what was written; the message ends with ``remedy``.
        StoreError: another version wrote it, in another form.
    """
    found = read_record_if_there(cls, path, remedy=remedy)
    if found is None:
        raise DamagedError(f"{path} is missing", remedy)
    return found


def read_record_if_there(cls: type[T], path: Path, *, remedy: str = MEND) -> T | None:
    """The same, or None where nothing has that name."""
    content = read_file(path, limit=MOST_BYTES, remedy=remedy)
    if content is None:
        return None
    # What lies as it was written is told by its text; all else is looked at value by value, to say what is wrong.
    text = unsealed(content, purpose=_PURPOSE, seal=SEAL, schema=(SCHEMA_KEY, SCHEMA))
    if text is not None and (value := from_json(cls, text)) is not None:
        return value
    try:
        plain = plain_from_json(content)
    except json.JSONDecodeError as error:
        raise DamagedError(f"{path} is not JSON ({error})", remedy) from None
    except ValueError as error:
        raise DamagedError(f"{path} is no record: {error}", remedy) from None
    if not isinstance(plain, dict):
        raise DamagedError(f"{path} is no record: it holds a {type(plain).__name__}, expected an object", remedy)
    if SEAL not in plain:
        raise DamagedError(
            f"{path} bears no seal: another version of Levelfield wrote it, or it was written by hand", remedy
        )
    seal = plain.pop(SEAL)
    if seal != _seal(plain):
        raise DamagedError(f"{path} was changed or damaged after it was written", remedy)
    refuse_other_schema(plain.pop(SCHEMA_KEY, 1), where=path)
    try:
        return from_plain(cls, plain, where=str(path))
    except SpecError as error:
        raise DamagedError(str(error), remedy) from None


def refuse_other_schema(schema: Any, *, where: object) -> None:
    """Nothing is read that was written in another form than ours, nor is it mended: it is whole, to who wrote it.

    Raises:
        StoreError: ``schema`` is not ours.
    """
    if schema != SCHEMA:
        other = "an older" if isinstance(schema, int) and schema < SCHEMA else "a newer"
        raise StoreError(
            f"{where} was written by {other} version of Levelfield (records of form {schema}, here they are of form "
            f"{SCHEMA}): read it with that version, or run in another directory"
        )


def read_file(path: Path, *, limit: int, remedy: str) -> bytes | None:
    """The content of the regular file ``path``, or None where nothing has that name.

    Raises:
        DamagedError: something else lies there, it may not be read, or it has more than ``limit`` bytes.
    """
    try:
        return read_regular(path, at_most=limit)
    except FileNotFoundError:
        return None
    except FileRefusedError as error:
        raise DamagedError(str(error), remedy) from None
    except OSError as error:
        if not is_there(path):
            return None  # it went away meanwhile, or what should be its folder is none
        raise DamagedError(f"{path} cannot be read: {error.strerror}", remedy) from None


def _seal(plain: dict[str, Any]) -> str:
    return fingerprint_of_plain(_PURPOSE, plain)
