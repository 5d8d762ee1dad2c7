"""Speeds that were measured before, kept by everything that they depend on.

They lie in ``$LEVELFIELD_CACHE/speeds`` (an empty variable keeps none), else in ``levelfield/speeds`` of
``$XDG_CACHE_HOME`` or ``~/.cache``: one sealed record a speed, with its whole key in it. This is a cache and no truth:
what is damaged, cut short, of another key or of another version is measured anew, and a place that cannot be written to
keeps nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TypeVar

from levelfield.data.kept_digests import cached
from levelfield.records.codec import record
from levelfield.records.errors import DamagedError, SpecError, StoreError
from levelfield.records.fingerprint import fingerprint
from levelfield.records.sealed import read_record_if_there, write_record
from levelfield.records.writing import make_directory
from levelfield.study.bill.speed import Conditions, DataSpeed, NetworkSpeed, Rendering, Shape

logger = logging.getLogger(__name__)


@record
class KeptNetworkSpeed:
    """A network's speed, and all that it depends on."""

    conditions: Conditions
    of: Shape
    speed: NetworkSpeed


@record
class KeptDataSpeed:
    """The same of data."""

    conditions: Conditions
    of: Rendering
    speed: DataSpeed


Kept = TypeVar("Kept", KeptNetworkSpeed, KeptDataSpeed)


def known_network(conditions: Conditions, shape: Shape) -> NetworkSpeed | None:
    """What was measured of ``shape`` under ``conditions``; None where nothing is kept of it."""
    found = _read(KeptNetworkSpeed, conditions, shape)
    return None if found is None else found.speed


def known_data(conditions: Conditions, rendering: Rendering) -> DataSpeed | None:
    """The same of data."""
    found = _read(KeptDataSpeed, conditions, rendering)
    return None if found is None else found.speed


def keep(kept: KeptNetworkSpeed | KeptDataSpeed) -> None:
    """Keep what was measured, where there is a place for it."""
    path = _path(type(kept), kept.conditions, kept.of)
    if path is None:
        return
    try:
        make_directory(path.parent)
        write_record(path, kept)
    except (StoreError, OSError) as error:
        logger.debug("speeds are not kept: %s", error)


def _read(kind: type[Kept], conditions: Conditions, of: Any) -> Kept | None:
    path = _path(kind, conditions, of)
    if path is None:
        return None
    try:
        found = read_record_if_there(kind, path)
    except (DamagedError, StoreError, SpecError, OSError) as error:
        logger.debug("measured anew: %s", error)
        return None
    return found if found is not None and (found.conditions, found.of) == (conditions, of) else None


def _path(kind: type, conditions: Conditions, of: Shape | Rendering) -> Path | None:
    folder = cached("speeds")
    name = fingerprint("speed", {"kind": kind.__name__, "conditions": conditions, "of": of})
    return None if folder is None else folder / f"{name}.json"
