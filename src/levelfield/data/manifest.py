"""What is known of a set of labelled pictures as a whole: found out once and kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from levelfield.data.canonical import content_fingerprint, num_twins
from levelfield.data.classes import Classes
from levelfield.data.index import Index
from levelfield.records.codec import later, record

SkipReason: TypeAlias = Literal[
    "not-a-picture",
    "video",
    "sidecar",
    "link",
    "outside",
    "special",
    "sparse",
    "empty",
    "format",
    "damaged",
    "pixels",
    "unlabelled",
    "missing",
    "unreadable",
    "same-name",
]
"""Why a file is none of the pictures; the sentences are in report/words/skipped.py."""


class Skipped(NamedTuple):
    """A file that is none of the pictures."""

    name: str
    why: SkipReason


@record
class Contents:
    """``num_by_class`` are the pictures of each of ``class_names``; ``twins`` those that stand there twice, byte for
    byte; ``fingerprint`` names labels and bytes, see :func:`levelfield.data.canonical.content_fingerprint`."""

    class_names: tuple[str, ...]
    num_by_class: tuple[int, ...]
    twins: int
    fingerprint: str
    sorted_as_text: bool = later(default=False)

    @property
    def num_examples(self) -> int:
        return sum(self.num_by_class)

    @property
    def used(self) -> list[int]:
        """The classes that pictures have."""
        return [label for label, number in enumerate(self.num_by_class) if number]

    def classes(self, of: str) -> Classes:
        """The classes, of a set that messages call ``of``."""
        return Classes(names=self.class_names, of=of, sorted_as_text=self.sorted_as_text)


def contents_of(index: Index, class_names: Sequence[str], *, sorted_as_text: bool) -> Contents:
    """What is known of the pictures of ``index`` as a whole; every row is looked at."""
    return Contents(
        class_names=tuple(class_names),
        num_by_class=tuple(np.bincount(index.labels, minlength=len(class_names)).tolist()),
        twins=num_twins(index.digests),
        fingerprint=content_fingerprint(index.labels, index.digests),
        sorted_as_text=sorted_as_text,
    )
