"""Pictures and what is said of them: listed by any format that lists texts, as an index beside that of the pictures.

A row of texts has no place in a file: they stand in the index itself, as its name, with their number as its length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.data.canonical import as_digests
from levelfield.data.index import Index, ListedRows
from levelfield.data.ingest.format import Listing
from levelfield.data.manifest import Skipped
from levelfield.data.texts import kept, text_digest, texts_in
from levelfield.records.errors import DataError


def rows_of_texts(texts: Sequence[tuple[str, ...]], labels: NDArray[np.int32]) -> ListedRows:
    """``texts`` as rows of an index, in the order that they have."""
    contents = [kept(each) for each in texts]
    none = np.zeros(len(texts), dtype=np.uint64)
    return ListedRows(
        label=labels,
        digest=as_digests([text_digest(content) for content in contents]),
        shard=np.zeros(len(texts), dtype=np.uint32),
        offset=none,
        length=np.array([len(each) for each in texts], dtype=np.uint64),
        names=contents,
    )


def texts_at(index: Index, row: int) -> tuple[str, ...]:
    """What the texts of a ``row`` say."""
    return texts_in(index.name(row) or "[]")


def of_which_something_is_said(listing: Listing, *, of: str) -> Listing:
    """``listing`` without the pictures that have no text, which are noted.

    Raises:
        DataError: none has.
    """
    texts = listing.texts or []
    rows = np.array([row for row, each in enumerate(texts) if each], dtype=np.int64)
    if not len(rows):
        raise DataError(
            f"{of} says nothing of its pictures: expected KEY.txt or a caption in KEY.json beside KEY.jpg, or a column "
            "of texts (text_column, --text-column)"
        )
    if len(rows) == len(listing):
        return listing
    names = listing.names
    left = np.setdiff1d(np.arange(len(listing)), rows).tolist()
    called = [f"row {row}" if names is None else names[row].decode("utf-8", "replace") for row in left]
    return dataclasses.replace(
        listing,
        labels=listing.labels[rows],
        shards=listing.shards[rows],
        offsets=listing.offsets[rows],
        lengths=listing.lengths[rows],
        names=None if names is None else [names[row] for row in rows.tolist()],
        texts=[texts[row] for row in rows.tolist()],
        skipped=[*listing.skipped, *(Skipped(name, "no-text") for name in called)],
    )
