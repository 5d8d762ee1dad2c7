"""How archives are laid out, kept by what the system says of them: headers are walked once, not at each opening."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from levelfield.data.ingest.kept_index import stamp
from levelfield.data.kept_digests import cached
from levelfield.records.codec import record
from levelfield.records.errors import LevelfieldError
from levelfield.records.sealed import read_record_if_there, write_record

logger = logging.getLogger(__name__)

_LAYOUT_RULE = "layout 2"
"""A change to how layouts are told must change it."""


class Layout(NamedTuple):
    """The folder of each part of some archives that holds its class folders, or its pictures and masks, None where
    samples are told by keys; and what a list in the archives calls the classes of masks."""

    below: dict[str, str | None]
    class_names: tuple[str, ...] = ()


@record
class ArchiveLayout:
    """A :class:`Layout` as it is kept; ``files`` is what the system said of the archives."""

    files: str
    below: dict[str, str | None]
    class_names: tuple[str, ...]


def kept_layout(paths: Sequence[str], find: Callable[[], Layout], *, of: str) -> Layout:
    """What ``find`` tells ``of`` the archives at ``paths``, which it is asked where that is not known."""
    folder, now = cached("layouts"), stamp(paths)
    if folder is None or now is None:
        return find()
    named = "\0".join((_LAYOUT_RULE, of, *map(os.path.abspath, paths)))
    note = folder / f"{hashlib.blake2b(os.fsencode(named), digest_size=16).hexdigest()}.json"
    try:
        known = read_record_if_there(ArchiveLayout, note)
        if known is not None and known.files == now:
            return Layout(known.below, known.class_names)
    except LevelfieldError as error:
        logger.warning("%s; the archives are walked again", error)
    found = find()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_record(note, ArchiveLayout(files=now, below=found.below, class_names=found.class_names))
    except (OSError, LevelfieldError) as error:
        logger.debug("the layout is not kept: %s", error)
    return found
