"""How archives are laid out, kept by what the system says of them: headers are walked once, not at each opening."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence

from levelfield.data.ingest.kept_index import stamp
from levelfield.data.kept_digests import cached
from levelfield.records.codec import record
from levelfield.records.errors import LevelfieldError
from levelfield.records.sealed import read_record_if_there, write_record

logger = logging.getLogger(__name__)

_LAYOUT_RULE = "layout 1"
"""A change to how layouts are told must change it."""


@record
class ArchiveLayout:
    """The folder of each part of some archives that holds its class folders, None where samples are told by keys;
    ``files`` is what the system said of the archives."""

    files: str
    below: dict[str, str | None]


def kept_layout(paths: Sequence[str], find: Callable[[], dict[str, str | None]]) -> dict[str, str | None]:
    """What ``find`` tells of the archives at ``paths``, which it is asked where that is not known."""
    folder, now = cached("layouts"), stamp(paths)
    if folder is None or now is None:
        return find()
    named = "\0".join((_LAYOUT_RULE, *map(os.path.abspath, paths)))
    note = folder / f"{hashlib.blake2b(os.fsencode(named), digest_size=16).hexdigest()}.json"
    try:
        known = read_record_if_there(ArchiveLayout, note)
        if known is not None and known.files == now:
            return known.below
    except LevelfieldError as error:
        logger.warning("%s; the archives are walked again", error)
    found = find()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_record(note, ArchiveLayout(files=now, below=found))
    except (OSError, LevelfieldError) as error:
        logger.debug("the layout is not kept: %s", error)
    return found
