"""Why an attempt at a trial or a probe ended of which nothing came."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.errors import (
    InputError,
    LeaseLostError,
    RankLostError,
    StoreError,
    UnfinishedError,
    first_line,
    lacks_memory,
)

EndKind: TypeAlias = Literal["memory", "input", "store", "lease", "stopped", "time", "hang", "rank", "error"]

_KINDS: tuple[tuple[type[BaseException], EndKind], ...] = (
    (LeaseLostError, "lease"),
    (RankLostError, "rank"),
    (UnfinishedError, "time"),
    (InputError, "input"),
    (StoreError, "store"),
    (KeyboardInterrupt, "stopped"),
)


@record
class End:
    """Why an attempt ended of which nothing came: memory ran out; the input, or the store, is to blame; its lease was
    lost; it was stopped, or its time was over; it hung; another rank had died or hung; or anything else."""

    kind: EndKind
    reason: str


def end_of(error: BaseException) -> End:
    """What ``error`` says of the attempt that it ended."""
    said = first_line(error) or type(error).__name__
    for kind, name in _KINDS:
        if isinstance(error, kind):
            return End(kind=name, reason=said)
    if isinstance(error, Exception) and lacks_memory(error):
        return End(kind="memory", reason=f"out of memory ({type(error).__name__}: {said})")
    return End(kind="error", reason=f"{type(error).__name__}: {said}")
