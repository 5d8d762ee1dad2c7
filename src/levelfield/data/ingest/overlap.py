"""How many held-out pictures are also among those that are trained on: counted once for every pair of contents."""

from __future__ import annotations

import logging

from levelfield.data.canonical import num_shared
from levelfield.data.kept_digests import cached
from levelfield.data.stores.base import Store
from levelfield.records.codec import record
from levelfield.records.errors import LevelfieldError
from levelfield.records.sealed import read_record_if_there, write_record

logger = logging.getLogger(__name__)


@record
class Overlap:
    """``shared`` of the ``distinct`` pictures of a held-out part are also in the training part, byte for byte."""

    shared: int
    distinct: int


def num_shared_by(train: Store, held_out: Store) -> tuple[int, int]:
    """How many distinct pictures of ``held_out`` are also in ``train``, and how many there are.

    Both contents are named by what they hold, so the answer is kept under their names and holds wherever they lie.
    """
    folder = cached("overlaps")
    path = None
    if folder is not None:
        path = folder / f"{train.contents.fingerprint}-{held_out.contents.fingerprint}.json"
        try:
            if (kept := read_record_if_there(Overlap, path)) is not None:
                return kept.shared, kept.distinct
        except LevelfieldError as error:
            logger.warning("%s; counted again", error)
    shared, distinct = num_shared(train.digests, held_out.digests)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_record(path, Overlap(shared=shared, distinct=distinct))
        except (OSError, LevelfieldError) as error:
            logger.debug("the overlap is not kept: %s", error)
    return shared, distinct
