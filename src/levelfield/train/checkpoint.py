"""Checkpoints that a crash cannot spoil: digest first, temporary name, fsync, rename, the last two kept."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from levelfield.data.order import ORDER_VERSION
from levelfield.records.attempts import CHECKPOINT
from levelfield.records.difference import refuse_other_data, refuse_other_start
from levelfield.records.errors import DamagedError, StoreError
from levelfield.records.sealed import read_file
from levelfield.records.store import MOST_COMPANION_BYTES
from levelfield.records.writing import make_directory, write_atomically

logger = logging.getLogger(__name__)

_KEPT = 2
_DIGEST_BYTES = 16
_AGAIN = "move it away and run again"


class CheckpointFolder:
    """The checkpoints of one trial, by step; each names the ``trial``, the ``data`` and the weights to ``start`` from
    that it was made of, and the version of the order in which it sees examples.

    They are written to the folder ``path``, whose own folder must be there, and read from ``earlier`` ones as well.
    """

    def __init__(
        self, path: Path, *, trial: str, data: str, start: str | None = None, earlier: Sequence[Path] = ()
    ) -> None:
        self.path, self.trial, self.data, self.start = path, trial, data, start
        self._earlier = tuple(earlier)
        self._names = {"trial": trial, "data": data, "start": start, "order": ORDER_VERSION}

    def save(self, step: int, plain: dict[str, Any]) -> None:
        """Write one and drop all but the last two.

        Raises:
            StoreError: the disk is full or cannot be written; earlier checkpoints are untouched.
        """
        make_directory(self.path, parents=False)
        buffer = io.BytesIO()
        torch.save({**self._names, **plain}, buffer)
        payload = buffer.getvalue()
        write_atomically(self.path / CHECKPOINT.format(f"{step:010d}"), _digest(payload) + payload)
        for old in _newest_first(self.path)[_KEPT:]:
            if not old.is_dir():
                old.unlink(missing_ok=True)

    def load_latest(self) -> dict[str, Any] | None:
        """The newest whole checkpoint, or None; a torn one is passed over with a warning.

        Raises:
            DamagedError: it was made of another trial.
            StoreError: it was made of other data, in another order, or of other weights to start from.
        """
        for path in _newest_first(self.path, *self._earlier):
            try:
                found = _read(path)
            except DamagedError as error:
                logger.warning("%s; falling back to the one before", error.seen)
                continue
            if found.get("trial") != self.trial:
                raise DamagedError(
                    f"{path} is a checkpoint of another trial ({found.get('trial')}, not {self.trial})", _AGAIN
                )
            refuse_other_data(found["data"], self.data, where=path)
            refuse_other_start(found["start"], self.start, where=path)
            if found.get("order") != ORDER_VERSION:
                raise StoreError(
                    f"{path}: it saw its examples in order version {found.get('order')}, here they stand in version "
                    f"{ORDER_VERSION}; finish it with the Levelfield that began it, or run in another directory"
                )
            return found
        return None


def _newest_first(*folders: Path) -> list[Path]:
    found = (path for folder in folders for path in folder.glob(CHECKPOINT.format("[0-9]" * 10)))
    return sorted(found, key=lambda path: path.name, reverse=True)


def _read(path: Path) -> dict[str, Any]:
    content = read_file(path, limit=MOST_COMPANION_BYTES, remedy=_AGAIN) or b""
    payload = content[_DIGEST_BYTES:]
    if content[:_DIGEST_BYTES] != _digest(payload):
        raise DamagedError(f"{path} is torn: its content does not match its digest", _AGAIN)
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise DamagedError(f"{path} is no checkpoint of this version ({error})", _AGAIN) from error


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest()
